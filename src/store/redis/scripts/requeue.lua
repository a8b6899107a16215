-- Puts events that were sent or are dead into the outbox again, behind all that waits.
-- ARGV: stream, now; then of each: `same` or `copy`, its number, and of a copy its jti and claims.
-- Returns how many. One that waits already or is gone, a control event, and all of a stream that takes
-- nothing, are left out.

local id, now, count = ARGV[1], ARGV[2], 0
local stream = stream_of(id)
if not stream or status_of(stream) == 'd' then return 0 end

local provider = provider_of(stream)
for n = 3, #ARGV, 4 do
  local what, seq, jti, claims = unpack(ARGV, n, n + 3)
  local set, before = call('HGET', key('sets', id), seq), call('HGET', key('state', id), seq)
  local letter = before and sub(before, 1, 1)
  if set and kind_of(set) == '0' and (letter == 's' or letter == 'd') then
    local last, lane = digits(numbers(1, now)), lane_of(set)
    if what == 'same' then
      unsettle(id, seq, provider, before)
      call('HDEL', key('sets', id), seq)
      call('HSET', key('sets', id), last, sub(set, 1, 17) .. now .. sub(set, 34))
      call('HSET', key('jtis', id), jti_of(set), last)
      local original = copy_of(set)
      if original then
        call('ZREM', key('copies', id), original .. '|' .. seq)
        call('ZADD', key('copies', id), 0, original .. '|' .. last)
      end
      enter(id, last, '0', lane)
      count = count + 1
    elseif call('HSETNX', key('jtis', id), jti, last) == 1 then
      local original = jti_of(set)
      local head = sub(set, 1, 17) .. now .. sub(set, 34, 49)
      local lengths = string.format('%03d%03d', #jti, #original) .. sub(set, 56, 63) .. 'c'
      local record = head .. lengths .. jti .. original .. identifiers_of(set) .. claims
      call('HSET', key('sets', id), last, record)
      call('ZADD', key('copies', id), 0, original .. '|' .. last)
      enter(id, last, '0', lane)
      count = count + 1
    end
  end
end
return count
