-- Reads settled SETs of a stream in order.
-- ARGV: stream; `letters` for dead letters, `kept` for events that were sent or are dead; the number
-- behind which to begin, the last number or nothing for the last that there is, the most SETs, and
-- with how many bytes to stop.
-- Returns false without a stream; else its provider, the last number, and number, record and state
-- of each SET.

local id, listed, upto = ARGV[1], key(ARGV[2], ARGV[1]), ARGV[4]
local stream = stream_of(id)
if not stream then return false end
if upto == '' then upto = digits(call('GET', key('seq')) or 0) end

local answer, bytes = { provider_of(stream), upto }, 0
for _, seq in ipairs(call('ZRANGEBYLEX', listed, '(' .. ARGV[3], '[' .. upto, 'LIMIT', 0, ARGV[5])) do
  local set = call('HGET', key('sets', id), seq)
  local n = #answer
  answer[n + 1], answer[n + 2], answer[n + 3] = seq, set, call('HGET', key('state', id), seq)
  bytes = bytes + #set
  if bytes >= tonumber(ARGV[6]) then break end
end
return answer
