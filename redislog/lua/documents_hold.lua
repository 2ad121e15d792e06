-- Takes, renews or gives up the lease on a group of documents. KEYS: the lease.
-- ARGV: node, duration in ms (0 gives it up). Gives the epoch, or 0 if the lease
-- is another's. Epochs begin at the clock, so that they go up even if the key
-- was lost.

local node, duration = ARGV[1], tonumber(ARGV[2])
local held = redis.call('HMGET', KEYS[1], 'node', 'until', 'epoch')
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local epoch = tonumber(held[3] or 0)

if held[1] ~= node then
  if duration == 0 or now < tonumber(held[2] or 0) then return 0 end
  epoch = math.max(epoch + 1, now)
end
redis.call('HSET', KEYS[1], 'node', node, 'until', duration > 0 and now + duration or 0, 'epoch', string.format('%.0f', epoch))
return epoch
