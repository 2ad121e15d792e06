-- What every script on a log begins with. KEYS[1] is the stream, KEYS[2] the
-- companion hash. In the hash: inc the incarnation, last the last event that
-- scripts know of, n how many events ever were up to it, len the stream's length
-- when a script last looked, end the terminal event, trimmed the highest ID that retention removed, lease the end of the
-- lease in ms, p:<id> a producer's epoch and sequence, sum the fold of the
-- events up to the ID it names.

local STREAM, META = KEYS[1], KEYS[2]

local function less(a, b) -- IDs as text
  local am, as = string.match(a, '^(%d+)-(%d+)$')
  local bm, bs = string.match(b, '^(%d+)-(%d+)$')
  if #am ~= #bm then return #am < #bm end
  if am ~= bm then return am < bm end
  if #as ~= #bs then return #as < #bs end
  return as < bs
end

-- A tag that sorts by the time of its making, so that of two incarnations the
-- later one is known.
local function new_tag(random)
  local t = redis.call('TIME')
  local ms = t[1] * 1000 + math.floor(t[2] / 1000)
  local digits, out = '0123456789abcdefghijklmnopqrstuvwxyz', ''
  for _ = 1, 8 do
    local d = ms % 36
    out = string.sub(digits, d + 1, d + 1) .. out
    ms = (ms - d) / 36
  end
  return out .. random
end

local function tip_of()
  local e = redis.call('XREVRANGE', STREAM, '+', '-', 'COUNT', 1)[1]
  return e and e[1]
end

local function holds(id) return redis.call('XRANGE', STREAM, id, id)[1] ~= nil end

-- ever is how many entries the stream ever took, where the server counts them
-- (Redis 7).
local function ever()
  local info = redis.call('XINFO', 'STREAM', STREAM)
  for i = 1, #info, 2 do
    if info[i] == 'entries-added' then return info[i + 1] end
  end
end

local function begin(random)
  local inc, length, n = new_tag(random), redis.call('XLEN', STREAM), 0
  if length > 0 then n = math.max(0, (ever() or length) - length) end -- trimmed before we knew it
  redis.call('DEL', META)
  redis.call('HSET', META, 'inc', inc, 'last', '0-0', 'n', n)
  return { inc = inc, last = '0-0', n = n, len = length }
end

-- kind says what a foreign entry does to the log: 'open', 'end', or nil if only
-- the node can tell.
local function kind(fields)
  local t, data
  for i = 1, #fields, 2 do
    if fields[i] == 'event_type' then t = fields[i + 1] end
    if fields[i] == 'data' then data = fields[i + 1] end
  end
  if not t or t == '' then return nil end
  if t == 'done' or t == 'cancelled' then return 'end' end
  if t ~= 'error' then return 'open' end
  data = string.lower(data or '')
  if string.find(data, 'fatal', 1, true) or string.find(data, '\\u', 1, true) then return nil end
  return 'open'
end

-- adopt takes foreign entries behind log.last into account. It reports whether
-- all are; if not, the node has to read them.
local function adopt(log)
  local before, complete = log.last, true
  local news = redis.call('XRANGE', STREAM, '(' .. log.last, '+', 'COUNT', 100)
  for _, e in ipairs(news) do
    local k = kind(e[2])
    if not k then complete = false break end
    log.last, log.n = e[1], log.n + 1
    if k == 'end' then log['end'] = e[1] break end
  end
  if #news == 100 and not log['end'] then complete = false end
  if log.last ~= before then
    redis.call('HSET', META, 'last', log.last, 'n', log.n)
    if log['end'] then redis.call('HSET', META, 'end', log['end']) end
  end
  return complete
end

-- same_life reports whether the stream, whose last entry is tip, goes on with
-- the log that the hash tells of, or is another one under the same name.
local function same_life(log, tip)
  if not tip then return redis.call('EXISTS', STREAM) == 1 end
  if tip == log.last or log.last == '0-0' or holds(log.last) then return true end
  local count = ever() -- our last event is gone: removed by others, or another life
  if less(tip, log.last) then return count == log.n end
  return count ~= nil and count > log.n
end

-- open brings the hash up to the stream. It gives the log, or nil if there is
-- none and create is not set, and whether it knows all of the stream. Mostly
-- nothing is new, which two cheap commands tell.
local function open(create, random, producer)
  local m = redis.call('HMGET', META, 'inc', 'last', 'n', 'end', 'trimmed', 'len', producer or 'inc')
  local log
  if m[1] then
    log = { inc = m[1], last = m[2], n = tonumber(m[3]), ['end'] = m[4], trimmed = m[5], len = redis.call('XLEN', STREAM), producer = m[7] }
    local news = not log['end'] and redis.call('XRANGE', STREAM, '(' .. log.last, '+', 'COUNT', 1)[1]
    if not news and log.len > 0 and log.len == tonumber(m[6]) then return log, true end
    local tip = tip_of()
    if same_life(log, tip) then
      redis.call('HSET', META, 'len', log.len)
      return log, log['end'] or not tip or adopt(log)
    end
    redis.call('DEL', META)
  end
  if not create and redis.call('EXISTS', STREAM) == 0 then return nil, true end
  log = begin(random)
  redis.call('HSET', META, 'len', log.len)
  return log, log.len == 0 or adopt(log)
end
