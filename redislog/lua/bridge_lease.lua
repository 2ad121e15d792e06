-- Takes, renews or gives up the lease of the bridge. KEYS: the bridge's hash.
-- ARGV: node, duration in ms (0 gives it up), the term to renew (0 begins one),
-- the least term to begin. Gives the term and the feed's cursor, or 0 if the
-- lease is another's. Each term is begun once, and terms count up, so that what
-- is still under way from an earlier one can be refused.

local node, duration, renew = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local held = redis.call('HMGET', KEYS[1], 'node', 'until', 'term', 'cursor')
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local mine = held[1] == node
local term = tonumber(held[3] or 0)

if renew > 0 then
  if not mine or term ~= renew then return { 0, '' } end
else
  if not mine and now < tonumber(held[2] or 0) then return { 0, '' } end
  term = math.max(term + 1, tonumber(ARGV[4]))
end
redis.call('HSET', KEYS[1], 'node', node, 'until', duration > 0 and now + duration or 0, 'term', term)
return { term, held[4] or '' }
