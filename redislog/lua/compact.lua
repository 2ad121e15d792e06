-- Rewrites the stream of an ended log in less memory. ARGV: incarnation.

local m = redis.call('HMGET', META, 'inc', 'end')
if m[1] ~= ARGV[1] or not m[2] then return 0 end
local ttl = redis.call('PTTL', STREAM)
if ttl == -2 then return 0 end
redis.call('RESTORE', STREAM, math.max(ttl, 0), redis.call('DUMP', STREAM), 'REPLACE')
return 1
