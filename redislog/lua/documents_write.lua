-- Replaces a document. KEYS: the document, the lease. ARGV: the data; "epoch" and
-- the epoch of a lease that must still be the last given, and to this node, or
-- "version" and the version that the document must have; the node. Gives 1, or 0 if
-- nothing was written.

local by, number = ARGV[2], tonumber(ARGV[3])
local version = tonumber(redis.call('HGET', KEYS[1], 'version') or 0)

if by == 'epoch' then
  local held = redis.call('HMGET', KEYS[2], 'node', 'epoch')
  if held[1] ~= ARGV[4] or tonumber(held[2] or 0) ~= number then return 0 end
elseif version ~= number then
  return 0
end
redis.call('HSET', KEYS[1], 'version', version + 1, 'data', ARGV[1])
return 1
