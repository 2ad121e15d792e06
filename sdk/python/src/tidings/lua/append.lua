-- Appends a batch. ARGV: random tag, channel, publish command, most bytes to
-- announce, 1 if the batch ends the log, producer ('' none), epoch, sequence,
-- then for each event type, timestamp, envelope. Gives a code and details.

local random, channel, publish, most = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local ends, producer = ARGV[5] == '1', ARGV[6]
local epoch, seq = tonumber(ARGV[7]), tonumber(ARGV[8])
local field = producer ~= '' and 'p:' .. producer or nil

local function number(n) return string.format('%.0f', n) end

local log, complete = open(true, random, field)
if not complete then return { 'adopt' } end

local duplicate, stale, expected = false, nil, nil
if field then
  local known_epoch, known_seq
  if log.producer then known_epoch, known_seq = string.match(log.producer, '^(%d+) (%d+)$') end
  known_epoch, known_seq = tonumber(known_epoch), tonumber(known_seq)
  if known_epoch and epoch < known_epoch then stale = known_epoch
  elseif not known_epoch or epoch > known_epoch then
    if seq ~= 0 then expected = 0 end
  elseif seq <= known_seq then duplicate = true
  elseif seq > known_seq + 1 then expected = known_seq + 1 end
end
if duplicate then return { 'duplicate', log.inc, log['end'] or log.last } end
if stale then return { 'fenced', number(stale) } end
if log['end'] then return { 'closed', log['end'] } end
if expected then return { 'sequence', number(expected) } end

-- Where it can be known that nobody listens, the announcement is but a line.
local tell = publish ~= ''
if publish == 'SPUBLISH' then tell = redis.call('PUBSUB', 'SHARDNUMSUB', channel)[2] > 0 end
local ids, told, size, n = {}, { '' }, 0, 0
local id
for i = 9, #ARGV, 3 do
  local data = ARGV[i + 2]
  id = redis.call('XADD', STREAM, '*', 'event_type', ARGV[i], 'timestamp', ARGV[i + 1], 'data', data)
  n = n + 1
  ids[n] = id
  if tell then
    size = size + #data
    if size > most then told, tell = { '' }, false
    else told[2 * n], told[2 * n + 1] = id, data end
  end
end

local set = { 'last', id, 'n', log.n + n, 'len', log.len + n }
if ends then set[7], set[8] = 'end', id end
if field then
  set[#set + 1] = field
  set[#set + 1] = number(epoch) .. ' ' .. number(seq)
end
redis.call('HSET', META, unpack(set))

if publish ~= '' then
  told[1] = 'e ' .. log.inc .. ' ' .. log.last .. ' ' .. id
  redis.call(publish, channel, table.concat(told, '\n'))
end
-- IDs of one script mostly count on within a millisecond: the first and how
-- many tell the rest.
local first_ms, first_seq = string.match(ids[1], '^(%d+)-(%d+)$')
local last_ms, last_seq = string.match(id, '^(%d+)-(%d+)$')
local reply = { 'ok', log.inc, log.last, ids[1] }
if first_ms ~= last_ms or #last_seq > 15 or last_seq - first_seq ~= n - 1 then
  for i = 2, n do reply[i + 3] = ids[i] end
end
return reply
