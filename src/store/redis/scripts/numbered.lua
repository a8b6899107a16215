-- SETs of a stream by their numbers: number, record and state of each that is there.
-- ARGV: stream, then numbers.

local id, seqs, answer = ARGV[1], {}, {}
for n = 2, #ARGV do seqs[n - 1] = ARGV[n] end
local sets, states = fields_of(key('sets', id), seqs), fields_of(key('state', id), seqs)
for n, seq in ipairs(seqs) do
  if sets[n] then
    local at = #answer
    answer[at + 1], answer[at + 2], answer[at + 3] = seq, sets[n], states[n] or ''
  end
end
return answer
