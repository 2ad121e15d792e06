-- Deletes a log. ARGV: channel, publish command, incarnation that it must have
-- ('' any). Gives the incarnation that it had ('' never known), or false.

local inc = redis.call('HGET', META, 'inc')
if ARGV[3] ~= '' and inc ~= ARGV[3] then return false end
if redis.call('UNLINK', STREAM, META) == 0 then return false end
if ARGV[2] ~= '' then redis.call(ARGV[2], ARGV[1], 'd ' .. (inc or '')) end
return inc or ''
