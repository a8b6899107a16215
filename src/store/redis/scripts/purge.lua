-- Removes dead letters of a stream. Returns how many there were.
-- ARGV: stream, then numbers.

local id, count = ARGV[1], 0
local stream = stream_of(id)
if not stream then return 0 end
for n = 2, #ARGV do
  local seq = ARGV[n]
  local set, before = call('HGET', key('sets', id), seq), call('HGET', key('state', id), seq)
  if set and before and sub(before, 1, 1) == 'd' then
    unsettle(id, seq, provider_of(stream), before)
    forget(id, seq, set)
    count = count + 1
  end
end
return count
