-- Puts SETs of any state into the outboxes of the slot, behind what is there, each unless its stream has
-- one of this jti.
-- ARGV: of each SET: stream, jti, record, state or nothing.

local sets, newest = #ARGV / 4, ''
for n = 3, #ARGV, 4 do
  if newest < appended_of(ARGV[n]) then newest = appended_of(ARGV[n]) end
end
local first = numbers(sets, newest)
for n = 1, sets do
  local id, jti, set, after = unpack(ARGV, n * 4 - 3, n * 4)
  local stream, seq = stream_of(id), digits(first + n - 1)
  if stream and call('HSETNX', key('jtis', id), jti, seq) == 1 then
    call('HSET', key('sets', id), seq, set)
    if waits(after ~= '' and after) then
      enter(id, seq, kind_of(set), lane_of(set))
      if after ~= '' then put_off(id, seq, set, false, after) end
    else
      settle(id, seq, set, provider_of(stream), after)
    end
    local original = copy_of(set)
    if original then call('ZADD', key('copies', id), 0, original .. '|' .. seq) end
  end
end
