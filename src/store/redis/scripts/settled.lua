-- The settled SETs of a stream, which are kept for a while.
--   settled:<provider>  of the slot: stream|seq by the time of settling, for expiry
--   kept     seq   events that were sent or are dead and repeat no other, for going back to a time
--   letters  seq   dead letters; `dead` of the slot has provider|stream of those that have any
--   reasons        how many there are of each reason
--   copies   jti|seq   SETs that repeat one of that jti

local function reason_of(state) return sub(state, 31, 30 + tonumber(sub(state, 28, 30))) end

-- Gives a SET that no longer waits its last state.
local function settle(id, seq, set, provider, after)
  local letter = sub(after, 1, 1)
  call('HSET', key('state', id), seq, after)
  call('ZADD', key('settled', provider), sub(after, 12, 27), id .. '|' .. seq)
  if letter ~= 'x' and kind_of(set) == '0' and not copy_of(set) then
    call('ZADD', key('kept', id), 0, seq)
  end
  if letter == 'd' then
    call('ZADD', key('letters', id), 0, seq)
    call('ZADD', key('dead'), 0, provider .. '|' .. id)
    call('HINCRBY', key('reasons', id), reason_of(after), 1)
  end
end

-- Takes a settled SET out of all that it is listed in.
local function unsettle(id, seq, provider, before)
  call('ZREM', key('settled', provider), id .. '|' .. seq)
  call('ZREM', key('kept', id), seq)
  call('HDEL', key('state', id), seq)
  if sub(before, 1, 1) == 'd' then
    call('ZREM', key('letters', id), seq)
    if call('EXISTS', key('letters', id)) == 0 then
      call('ZREM', key('dead'), provider .. '|' .. id)
    end
    if call('HINCRBY', key('reasons', id), reason_of(before), -1) <= 0 then
      call('HDEL', key('reasons', id), reason_of(before))
    end
  end
end

-- Removes all of a SET.
local function forget(id, seq, set)
  call('HDEL', key('sets', id), seq)
  call('HDEL', key('jtis', id), jti_of(set))
  local original = copy_of(set)
  if original then call('ZREM', key('copies', id), original .. '|' .. seq) end
end

-- Discards a SET that waits: removes its claims, and keeps the reason.
local function discard(id, seq, set, before, provider, now, reason)
  local goes_on = leave(id, seq, set, before)
  local names = 64 + tonumber(sub(set, 50, 52)) + tonumber(sub(set, 53, 55))
  local bare = sub(set, 1, 55) .. '00000000-' .. sub(set, 65, names)
  call('HSET', key('sets', id), seq, bare)
  settle(id, seq, bare, provider, state('x', attempts_of(before), now, reason))
  return goes_on
end

