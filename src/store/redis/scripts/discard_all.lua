-- Discards the waiting SETs of a disabled stream, except its announcement.
-- ARGV: stream, now, reason, the most to discard.
-- Returns how many; there may be more if these are the most.

local id, count = ARGV[1], 0
local stream = stream_of(id)
if not stream or status_of(stream) ~= 'd' then return 0 end
local provider = provider_of(stream)
for _, member in ipairs(call('ZREVRANGEBYLEX', key('wait', id), '(2', '-', 'LIMIT', 0, ARGV[4])) do
  local seq = sub(member, 2, 17)
  local set, before = call('HGET', key('sets', id), seq), call('HGET', key('state', id), seq)
  discard(id, seq, set, before, provider, ARGV[2], ARGV[3])
  count = count + 1
end
return count
