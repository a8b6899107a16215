-- About the first of the events that are kept which was appended at a time or later, found by
-- halving: numbers and times both grow, but for a clock that was set back. None was appended before
-- it was accepted.
-- ARGV: stream, time.
-- Returns its number, or nothing if all are older.

local id, kept = ARGV[1], key('kept', ARGV[1])
local low, high = 0, call('ZCARD', kept)
while low < high do
  local middle = math.floor((low + high) / 2)
  local seq = call('ZRANGE', kept, middle, middle)[1]
  local set = call('HGET', key('sets', id), seq)
  if appended_of(set) < ARGV[2] and accepted_of(set) < ARGV[2] then
    low = middle + 1
  else
    high = middle
  end
end
return call('ZRANGE', kept, low, low)[1] or ''
