-- Stores publishers' ids and recorded events of the slot.
-- ARGV: of each id: provider/id, how its event was claimed, and nothing; of each event: provider, time
-- and origin, and the record.

for n = 1, #ARGV, 3 do
  local name, at, record = ARGV[n], ARGV[n + 1], ARGV[n + 2]
  if record == '' then
    call('HSET', key('ids'), name, at)
    call('ZADD', key('ids_at'), sub(at, 2, 17) + (tonumber(sub(at, 50)) or 0), name)
  else
    call('SADD', key('providers'), name)
    call('HSET', key('events'), at, record)
    call('ZADD', key('events_at', name), 0, at)
  end
end
