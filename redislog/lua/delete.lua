-- Deletes a log. ARGV: channel, publish command, incarnation that it must have
-- ('' any). Gives the incarnation that it had ('' never known), or false. A key
-- that is no stream is somebody else's and stays.

local inc = redis.call('HGET', META, 'inc')
if ARGV[3] ~= '' and inc ~= ARGV[3] then return false end
local kind_of = redis.call('TYPE', STREAM).ok
if kind_of ~= 'stream' and kind_of ~= 'none' then return redis.error_reply('WRONGTYPE the key holds a ' .. kind_of) end
if redis.call('UNLINK', STREAM, META) == 0 then return false end
if ARGV[2] ~= '' then redis.call(ARGV[2], ARGV[1], 'd ' .. (inc or '')) end
return inc or ''
