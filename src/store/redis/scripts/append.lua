-- Puts SETs into the outboxes of the slot, each unless its stream has one of this jti.
-- ARGV: now; then of each SET: stream, jti, kind, lane, record.
-- Returns a text with a letter for each: `1`, or `0` if its stream takes nothing.

local now, sets = ARGV[1], (#ARGV - 1) / 5
local first = numbers(sets, now)

local open, answer = {}, {}
for n = 1, sets do
  local id, jti, kind, lane, set = unpack(ARGV, n * 5 - 3, n * 5 + 1)
  if open[id] == nil then
    local stream = stream_of(id)
    open[id] = stream and status_of(stream) ~= 'd'
  end
  if open[id] then
    local seq = digits(first + n - 1)
    if call('HSETNX', key('jtis', id), jti, seq) == 1 then
      call('HSET', key('sets', id), seq, set)
      enter(id, seq, kind, lane)
    end
  end
  answer[n] = open[id] and '1' or '0'
end
return table.concat(answer)
