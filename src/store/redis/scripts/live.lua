-- Returns the names of the live nodes.

local time, live = call('TIME'), {}
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local entries = call('HGETALL', key('nodes'))
for i = 1, #entries, 2 do
  if tonumber(entries[i + 1]:match('^%d+')) > now then live[#live + 1] = entries[i] end
end
table.sort(live)
return live
