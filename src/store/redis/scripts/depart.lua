-- Removes a node from the list, and frees the shares that it still holds.
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
