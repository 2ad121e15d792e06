-- Renews a lease. ARGV: random tag, TTL in ms, producer ('' none), epoch. The
-- lease runs by the server's clock, which all nodes share.

local field = ARGV[3] ~= '' and 'p:' .. ARGV[3] or nil
local log, complete = open(false, ARGV[1], field)
if not log then return { 'unknown' } end
if not complete then return { 'adopt' } end
if field and log.producer then
  local known = tonumber(string.match(log.producer, '^(%d+) '))
  if tonumber(ARGV[4]) < known then return { 'fenced', string.format('%.0f', known) } end
end
if log['end'] then return { 'closed', log['end'] } end
local t = redis.call('TIME')
local until_ms = string.format('%.0f', t[1] * 1000 + math.floor(t[2] / 1000) + ARGV[2])
redis.call('HSET', META, 'lease', until_ms)
return { 'ok', until_ms }
