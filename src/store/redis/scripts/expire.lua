-- Removes settled SETs, ids and records of events of the slot that have expired.
-- ARGV: the most of a kind; before when ids may come again, and before when they lead nowhere; before
-- when SETs were settled, and events accepted, that are to go; then the last two of some providers,
-- behind the name of each.
-- Returns 1 if there may be more, else 0; and streams that were deleted and left something elsewhere,
-- each with provider|Receiver.

local most, more, own = tonumber(ARGV[1]), 0, {}
for n = 6, #ARGV, 3 do own[ARGV[n]] = { ARGV[n + 1], ARGV[n + 2] } end
for _, provider in ipairs(call('SMEMBERS', key('providers'))) do
  local settled_before, accepted_before = unpack(own[provider] or { ARGV[4], ARGV[5] })
  local settled = key('settled', provider)
  local old = call('ZRANGEBYSCORE', settled, '-inf', '(' .. settled_before, 'LIMIT', 0, most)
  for _, member in ipairs(old) do
    local id, seq = string.match(member, '^(.*)|(.*)$')
    local set, before = call('HGET', key('sets', id), seq), call('HGET', key('state', id), seq)
    -- With its stream it has gone before.
    call('ZREM', settled, member)
    if set and before then
      unsettle(id, seq, provider, before)
      forget(id, seq, set)
    end
  end
  if #old == most then more = 1 end
  local events = key('events_at', provider)
  old = call('ZRANGEBYLEX', events, '-', '(' .. accepted_before, 'LIMIT', 0, most)
  for _, event in ipairs(old) do
    call('ZREM', events, event)
    call('HDEL', key('events'), event)
  end
  if #old == most then more = 1 end
end

local before = call('GET', key('ids_before'))
if not before or before < ARGV[2] then call('SET', key('ids_before'), ARGV[2]) end
local old = call('ZRANGEBYSCORE', key('ids_at'), '-inf', '(' .. ARGV[3], 'LIMIT', 0, most)
for _, id in ipairs(old) do
  call('ZREM', key('ids_at'), id)
  call('HDEL', key('ids'), id)
end
if #old == most then more = 1 end
return { more, call('HGETALL', key('leaving')) }
