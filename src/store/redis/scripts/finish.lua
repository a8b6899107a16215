-- Marks events as done: all of their SETs are durable, and another event of their id is a duplicate.
-- ARGV: now; then of each event: provider/id or nothing, origin, and what is recorded of it if that
-- is more than it was.

local now = ARGV[1]
for n = 2, #ARGV, 3 do
  local id, origin, record = ARGV[n], ARGV[n + 1], ARGV[n + 2]
  local claim = id ~= '' and call('HGET', key('ids'), id)
  if claim and sub(claim, 1, 49) == 'b' .. now .. origin then
    call('HSET', key('ids'), id, 'd' .. sub(claim, 2))
  end
  if record ~= '' and call('HEXISTS', key('events'), now .. origin) == 1 then
    call('HSET', key('events'), now .. origin, record)
  end
end
