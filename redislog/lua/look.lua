-- Looks at a log. ARGV: random tag. Gives nothing if there is none, or: ok or
-- adopt, incarnation, last event, end or '', first entry held or '', trimmed or
-- '', lease in ms or '', whether entries were removed (1, 0, or '' unknown).

local log, complete, tip = open(false, ARGV[1])
if not log then return {} end
local lease = redis.call('HGET', META, 'lease')
local first, removed = '', ''
if tip then
  local info = redis.call('XINFO', 'STREAM', STREAM)
  local length, added
  for i = 1, #info, 2 do
    if info[i] == 'first-entry' and info[i + 1] then first = info[i + 1][1] end
    if info[i] == 'length' then length = info[i + 1] end
    if info[i] == 'entries-added' then added = info[i + 1] end
  end
  if added then removed = added > length and '1' or '0' end
end
return { complete and 'ok' or 'adopt', log.inc, log.last, log['end'] or '', first, log.trimmed or '',
  lease or '', removed }
