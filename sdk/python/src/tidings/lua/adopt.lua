-- Takes what the node has read of foreign entries into account: from the last
-- event known to the hash up to another. ARGV: incarnation, from, to, how many,
-- 1 if the last of them ends the log. Gives 1, or 0 if the log has moved on
-- meanwhile, which is as well.

local m = redis.call('HMGET', META, 'inc', 'last', 'n', 'end')
if m[1] ~= ARGV[1] or m[2] ~= ARGV[2] or m[4] then return 0 end
redis.call('HSET', META, 'last', ARGV[3], 'n', m[3] + ARGV[4])
if ARGV[5] == '1' then redis.call('HSET', META, 'end', ARGV[3]) end
return 1
