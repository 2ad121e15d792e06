-- Looks at a log. ARGV: random tag. Gives nothing if there is none, or: ok or
-- adopt, incarnation, last event, end or '', first entry held or '', trimmed or
-- '', lease in ms or '', 1 if entries were removed, else 0.

local log, complete = open(false, ARGV[1])
if not log then return {} end
local first = log.len > 0 and redis.call('XRANGE', STREAM, '-', '+', 'COUNT', 1)[1]
local removed = log.n > log.len -- behind an end there may be more entries than events
return { complete and 'ok' or 'adopt', log.inc, log.last, log['end'] or '', first and first[1] or '', log.trimmed or '',
  redis.call('HGET', META, 'lease') or '', removed and '1' or '0' }
