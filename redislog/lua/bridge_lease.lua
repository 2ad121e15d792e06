-- Takes or renews the lease of the bridge. KEYS: the bridge's hash. ARGV: node,
-- duration in ms (0 gives the lease up), the least term to start. Gives the
-- term and the feed's cursor, or 0 while another node holds the lease. Terms
-- count up, so that what an earlier holder still sends can be refused.

local held = redis.call('HMGET', KEYS[1], 'node', 'until', 'term', 'cursor')
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local mine = held[1] == ARGV[1]
local runs = now < tonumber(held[2] or 0)

if tonumber(ARGV[2]) == 0 then
  if mine then redis.call('HSET', KEYS[1], 'until', 0) end
  return { 0, '' }
end
if runs and not mine then return { 0, '' } end

local term = tonumber(held[3] or 0)
if not (runs and mine) then term = math.max(term + 1, tonumber(ARGV[3])) end
redis.call('HSET', KEYS[1], 'node', ARGV[1], 'until', now + ARGV[2], 'term', term)
return { term, held[4] or '' }
