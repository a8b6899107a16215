-- Reads the SETs of a stream that can be pushed: of each kind first heads that failed and are due, then
-- heads that were never tried.
-- ARGV: stream, now, fresh, retries, the most of another kind than events; then numbers that are
-- passed over.
-- Returns false without a stream; else by what its SETs have to be judged, when the next retry is due,
-- and number, record and state of each SET.

local id, now, control_max = ARGV[1], ARGV[2], tonumber(ARGV[5])
local stream = stream_of(id)
if not stream then return false end

local busy, passed = {}, #ARGV - 5
for n = 6, #ARGV do busy[ARGV[n]] = true end

-- The numbers in members, but for those that are busy.
local function pick(members, at, limit)
  local seqs = {}
  for _, member in ipairs(members) do
    local seq = sub(member, at, at + 15)
    if not busy[seq] and #seqs < limit then seqs[#seqs + 1] = seq end
  end
  return seqs
end

local seqs, next_retry, least = {}, '', least_of(stream)
local fresh, retry = key('fresh', id), key('retry', id)
for _, kind in ipairs({ '2', '1', '0' }) do
  if least <= kind then
    local limit, retries = control_max, math.floor(control_max / 2)
    if kind == '0' then
      limit, retries = ARGV[3] + ARGV[4], tonumber(ARGV[4])
    end
    local due = '(' .. kind .. now .. '~'
    local failed = pick(call('ZRANGEBYLEX', retry, '[' .. kind, due, 'LIMIT', 0, limit + passed), 18, limit)
    local places = limit - math.min(#failed, retries)
    local new = call('ZRANGEBYLEX', fresh, '[' .. kind, '(' .. kind .. ':', 'LIMIT', 0, places + passed)
    new = pick(new, 2, places)
    for n = 1, math.min(#failed, limit - #new) do seqs[#seqs + 1] = failed[n] end
    for _, seq in ipairs(new) do seqs[#seqs + 1] = seq end
    local later = call('ZRANGEBYLEX', retry, due, '(' .. kind .. ':', 'LIMIT', 0, 1)[1]
    if later and (next_retry == '' or sub(later, 2, 17) < next_retry) then
      next_retry = sub(later, 2, 17)
    end
  end
end

local answer = { judged_by(id, stream), next_retry }
local sets, states = fields_of(key('sets', id), seqs), fields_of(key('state', id), seqs)
for n, seq in ipairs(seqs) do
  answer[n * 3] = seq
  answer[n * 3 + 1] = sets[n] or ''
  answer[n * 3 + 2] = states[n] or ''
end
return answer
