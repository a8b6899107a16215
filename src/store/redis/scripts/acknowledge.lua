-- Settles the SETs that a Receiver acknowledges or refuses by poll.
-- ARGV: stream, now, how many are acknowledged, their jtis; then of each that is refused: jti,
-- reason, detail.
-- Returns when each that is delivered now was appended, and which of those refused are dead now, by
-- their place.

local id, now, acked = ARGV[1], ARGV[2], tonumber(ARGV[3])
local stream = stream_of(id)
local delivered, dead = {}, {}
if not stream then return { delivered, dead } end
local provider = provider_of(stream)

-- Ends the wait of a SET. Returns its value, or nothing if the SET does not wait.
local function ended(jti, rest)
  local seq = call('HGET', key('jtis', id), jti)
  if not seq then return end
  local set, before = call('HGET', key('sets', id), seq), call('HGET', key('state', id), seq)
  if not set or not waits(before) then return end
  leave(id, seq, set, before)
  settle(id, seq, set, provider, state(rest and 'd' or 's', attempts_of(before), now, rest or ''))
  return set
end

for n = 4, 3 + acked do
  local set = ended(ARGV[n])
  if set then delivered[#delivered + 1] = appended_of(set) end
end
for n = 4 + acked, #ARGV, 3 do
  local reason, detail = ARGV[n + 1], ARGV[n + 2]
  if ended(ARGV[n], string.format('%03d', #reason) .. reason .. detail) then
    dead[#dead + 1] = (n - 4 - acked) / 3
  end
end
return { delivered, dead }
