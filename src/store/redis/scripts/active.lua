-- When streams of the slot were last active. One that there is not is passed over; so is what is
-- earlier than what another node has recorded, unless that is the end of time: then nobody asked.
-- ARGV: the end of time; then of each stream its id and the time.

local never = ARGV[1]
for n = 2, #ARGV, 2 do
  local id, at = ARGV[n], ARGV[n + 1]
  local before = call('HGET', key('active'), id)
  if stream_of(id) and (not before or before == never or before < at) then
    call('HSET', key('active'), id, at)
  end
end
