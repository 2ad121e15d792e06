-- Takes a deleted job out of the index and tells the feed. KEYS as in
-- index.lua. ARGV: the feed's length, the tombstone's key, ID, incarnation ('':
-- whichever). A tombstone keeps a node that is behind from bringing the job
-- back. Gives 1 if it was there.

local JOBS, HEADS, ORDER, ENDED, FEED, LEASES = unpack(KEYS)
local length, gone, id, inc = ARGV[1], ARGV[2], ARGV[3], ARGV[4]

if inc ~= '' then redis.call('SET', gone, inc, 'EX', 300) end
local head = redis.call('HGET', HEADS, id)
if not head then return 0 end
local was_inc, place = string.match(head, '^%S+ (%S+) (%S+)')
if inc ~= '' and inc < was_inc then return 0 end
redis.call('HDEL', JOBS, id)
redis.call('HDEL', HEADS, id)
redis.call('HDEL', LEASES, id)
redis.call('ZREM', ORDER, place .. id)
redis.call('ZREM', ENDED, id)
redis.call('XADD', FEED, 'MAXLEN', '~', length, '*', 'job', id, 'inc', was_inc, 'deleted', '1')
return 1
