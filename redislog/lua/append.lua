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

local reply, told, size = { 'ok', log.inc, log.last }, {}, 0
local id
for i = 9, #ARGV, 3 do
  local data = ARGV[i + 2]
  id = redis.call('XADD', STREAM, '*', 'event_type', ARGV[i], 'timestamp', ARGV[i + 1], 'data', data)
  reply[#reply + 1] = id
  size = size + #data
  if size <= most then
    told[#told + 1] = id .. ' ' .. #ARGV[i] .. ' ' .. #ARGV[i + 1] .. ' ' .. #data .. '\n'
    told[#told + 1] = ARGV[i]
    told[#told + 1] = ARGV[i + 1]
    told[#told + 1] = data
  end
end

local n = #reply - 3
local set = { 'last', id, 'n', log.n + n }
if ends then set[5], set[6] = 'end', id end
if field then
  set[#set + 1] = field
  set[#set + 1] = number(epoch) .. ' ' .. number(seq)
end
redis.call('HSET', META, unpack(set))

if publish ~= '' then
  if size > most then told = {} end
  local head = 'e ' .. log.inc .. ' ' .. log.last .. ' ' .. id .. '\n'
  redis.call(publish, channel, head .. table.concat(told))
end
return reply
