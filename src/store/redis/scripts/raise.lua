-- A node that took a slot says so where the slot's results are written: those of an earlier epoch are
-- refused from now on. Answers 0, or the epoch that the slot has already and that is no earlier one.
-- ARGV: the epoch, the node.
-- Harmless to repeat.

local epoch, node = unpack(call('HMGET', key('owner'), 'epoch', 'node'))
local before = tonumber(epoch or 0)
if before > tonumber(ARGV[1]) or (before == tonumber(ARGV[1]) and node ~= ARGV[2]) then
  return epoch
end
call('HSET', key('owner'), 'epoch', ARGV[1], 'node', ARGV[2])
return '0'
