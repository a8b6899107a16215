-- Discards heads of a stream whose subjects are not on it, or any that a poll would hand out.
-- ARGV: stream, now, epoch, reason, then numbers.
-- Returns how many still waited; then the head that each lane has now, as number, record and state.

local id, now, reason = ARGV[1], ARGV[2], ARGV[4]
if is_fenced(ARGV[3]) then return redis.error_reply(FENCED) end
local stream = stream_of(id)
if not stream then return { '0' } end

local count, lanes, provider = 0, {}, provider_of(stream)
for n = 5, #ARGV do
  local seq = ARGV[n]
  local set, before = call('HGET', key('sets', id), seq), call('HGET', key('state', id), seq)
  if set and waits(before) then
    discard(id, seq, set, before, provider, now, reason)
    count = count + 1
    lanes[kind_of(set) .. lane_of(set)] = true
  end
end

local answer = { tostring(count) }
for lane in pairs(lanes) do
  local head = lane_members(id, sub(lane, 1, 1), sub(lane, 2), 1)[1]
  if head then
    local seq = sub(head, 18)
    answer[#answer + 1] = seq
    answer[#answer + 1] = call('HGET', key('sets', id), seq)
    answer[#answer + 1] = call('HGET', key('state', id), seq) or ''
  end
end
return answer
