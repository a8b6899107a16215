-- A node goes: what it still holds is free, and it is not among the others any more.
-- ARGV: the node.
-- Harmless to repeat.

for _, shares in ipairs({ key('slots'), key('partitions') }) do
  local held = call('HGETALL', shares)
  for i = 1, #held, 2 do
    local epoch, node = held[i + 1]:match('^(%d+) (.*)$')
    if node == ARGV[1] then call('HSET', shares, held[i], epoch .. ' ') end
  end
end
return call('HDEL', key('nodes'), ARGV[1])
