-- Publishes messages and notes how far the feed is mirrored, in one step, so
-- that no crash repeats or skips one. KEYS: the bridge's hash. ARGV: term, the
-- feed's cursor after these, then channel and message of each. Gives 0 if the
-- term is over, else 1; what was done before is not done again.

local held = redis.call('HMGET', KEYS[1], 'term', 'cursor')
if held[1] ~= ARGV[1] then return 0 end
if held[2] == ARGV[2] then return 1 end
for i = 3, #ARGV, 2 do
  redis.call('PUBLISH', ARGV[i], ARGV[i + 1])
end
redis.call('HSET', KEYS[1], 'cursor', ARGV[2])
return 1
