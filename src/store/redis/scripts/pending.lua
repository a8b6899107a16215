-- Reads what waits of a stream and may go out, for inspection.
-- ARGV: stream, limit; then the number of each kind behind which to begin: announcement, control
-- event, event.
-- Returns number, record and state of each SET.

local id, left = ARGV[1], tonumber(ARGV[2])
local stream = stream_of(id)
if not stream then return {} end

local seqs = {}
for n, kind in ipairs({ '2', '1', '0' }) do
  if least_of(stream) <= kind then
    local from = '(' .. kind .. ARGV[n + 2] .. '~'
    local members = call('ZRANGEBYLEX', key('wait', id), from, '(' .. kind .. ':', 'LIMIT', 0, left)
    for _, member in ipairs(members) do seqs[#seqs + 1] = sub(member, 2, 17) end
    left = left - #members
  end
end

local answer, sets, states = {}, fields_of(key('sets', id), seqs), fields_of(key('state', id), seqs)
for n, seq in ipairs(seqs) do
  answer[n * 3 - 2] = seq
  answer[n * 3 - 1] = sets[n] or ''
  answer[n * 3] = states[n] or ''
end
return answer
