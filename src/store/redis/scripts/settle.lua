-- Records results of attempts. One for a SET that is settled already, or gone, is passed over.
-- ARGV: stream, now, epoch; then of each result: number, what it is, and two texts:
--   s  delivered
--   d  dead, by an attempt; g  dead without a further one: reason and detail
--   w  to be tried again: when it is due with the version of the stream by which that was judged, and
--      what was said. If the stream has another version, the SET is due at once, like all that waited
--      when the stream changed.
-- Returns 1 if one that was settled had another behind it in its lane, else 0.
-- Repeated, a result of `w` counts its attempt twice.

local id, now = ARGV[1], ARGV[2]
if is_fenced(ARGV[3]) then return redis.error_reply(FENCED) end
local stream = stream_of(id)
if not stream then return 0 end

local provider, goes_on = provider_of(stream), 0
for n = 4, #ARGV, 4 do
  local seq, what, one, other = ARGV[n], ARGV[n + 1], ARGV[n + 2], ARGV[n + 3]
  local set, before = call('HGET', key('sets', id), seq), call('HGET', key('state', id), seq)
  if set and waits(before) then
    local attempts = attempts_of(before) + 1
    if what == 'w' then
      local due = sub(one, 1, 16)
      if sub(one, 17) ~= stream_version_of(stream) then due = appended_of(set) end
      put_off(id, seq, set, before, state('w', attempts, due, 'e' .. other))
    else
      if leave(id, seq, set, before) then goes_on = 1 end
      local after = state('s', attempts, now, '')
      if what ~= 's' then
        if what == 'g' then attempts = attempts - 1 end
        after = state('d', attempts, now, string.format('%03d', #one) .. one .. other)
      end
      settle(id, seq, set, provider, after)
    end
  end
end
return goes_on
