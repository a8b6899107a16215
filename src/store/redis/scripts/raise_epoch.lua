-- Raises the fencing epoch of a slot for its new owner, so that results of lower epochs are
-- refused. Returns 0, or the slot's present epoch if that is not lower. ARGV: the epoch, the node.
-- Harmless to repeat.

local epoch, node = unpack(call('HMGET', key('owner'), 'epoch', 'node'))
local before = tonumber(epoch or 0)
if before > tonumber(ARGV[1]) or (before == tonumber(ARGV[1]) and node ~= ARGV[2]) then
  return epoch
end
call('HSET', key('owner'), 'epoch', ARGV[1], 'node', ARGV[2])
return '0'
