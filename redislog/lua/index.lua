-- Brings summaries of jobs into the index and their changes into the feed. KEYS:
-- jobs, heads, order, ended, feed, leases. ARGV: the feed's length, the prefix
-- of tombstones, then for each job: ID, incarnation, last event, place in the
-- order, end in ms or '', 1 if the log has ended, force, summary. The newest
-- wins, so nodes that do it at the same time agree; but force 'rewrite' takes
-- the same events again, and 'rewound' what seems older, because the log has
-- lost events: the feed then gives the job as deleted and all of it anew. Gives
-- how many were taken.

local JOBS, HEADS, ORDER, ENDED, FEED, LEASES = unpack(KEYS)
local length, gone = ARGV[1], ARGV[2]

local function less(a, b)
  local am, as = string.match(a, '^(%d+)-(%d+)$')
  local bm, bs = string.match(b, '^(%d+)-(%d+)$')
  if #am ~= #bm then return #am < #bm end
  if am ~= bm then return am < bm end
  if #as ~= #bs then return #as < #bs end
  return as < bs
end

local function tell(...)
  redis.call('XADD', FEED, 'MAXLEN', '~', length, '*', ...)
end

local taken = 0
for i = 3, #ARGV, 8 do
  local id, inc, last, place = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]
  local ended, closed, force, summary = ARGV[i + 4], ARGV[i + 5], ARGV[i + 6], ARGV[i + 7]
  local head, from, take = redis.call('HGET', HEADS, id), '0-0', true
  if head then
    local was_last, was_inc, was_place = string.match(head, '^(%S+) (%S+) (%S+)')
    local same = was_inc == inc
    if same and force ~= 'rewound' then
      from, take = was_last, less(was_last, last) or force == 'rewrite' and was_last == last
    else
      take = same or was_inc < inc
      if take then tell('job', id, 'inc', was_inc, 'deleted', '1') end
      if take and not same then redis.call('HDEL', LEASES, id) end
    end
    if take and was_place ~= place then redis.call('ZREM', ORDER, was_place .. id) end
  else
    local tombstone = redis.call('GET', gone .. id)
    take = not tombstone or tombstone < inc
  end
  if take then
    taken = taken + 1
    redis.call('HSET', JOBS, id, summary)
    redis.call('HSET', HEADS, id, last .. ' ' .. inc .. ' ' .. place .. ' ' .. closed)
    redis.call('ZADD', ORDER, 0, place .. id)
    if ended ~= '' then redis.call('ZADD', ENDED, ended, id)
    elseif head then redis.call('ZREM', ENDED, id) end
    if less(from, last) then tell('job', id, 'inc', inc, 'after', from, 'to', last) end
  end
end
return taken
