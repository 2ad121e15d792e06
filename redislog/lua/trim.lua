-- Trims a log by at most a step. ARGV: incarnation, how many events to keep (''
-- no matter), the first ID to keep ('' no matter), most to remove now, the
-- checkpoint: the last event it folds, and itself. What is removed stays in the
-- checkpoint. Gives how many were removed and 1 if there is more to do.

local inc, keep, first, step = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local folded, sum = ARGV[5], ARGV[6]

if redis.call('HGET', META, 'inc') ~= inc then return { 0, 0 } end
local excess = step
if keep ~= '' then excess = redis.call('XLEN', STREAM) - tonumber(keep) end
if excess <= 0 then return { 0, 0 } end
local doomed = redis.call('XRANGE', STREAM, '-', first ~= '' and '(' .. first or '+', 'COUNT', math.min(excess, step))
while #doomed > 0 and less(folded, doomed[#doomed][1]) do table.remove(doomed) end
if #doomed == 0 then return { 0, 0 } end
local last = doomed[#doomed][1]
local rest = redis.call('XRANGE', STREAM, '(' .. last, '+', 'COUNT', 1)[1]
if not rest then return { 0, 0 } end -- the newest event stays
redis.call('HSET', META, 'sum', sum, 'trimmed', last)
local removed = redis.call('XTRIM', STREAM, 'MINID', '=', rest[1])
redis.call('HSET', META, 'len', redis.call('XLEN', STREAM))
return { removed, #doomed == step and 1 or 0 }
