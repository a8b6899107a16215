-- Removes the list of a stream that is gone. Returns 1 if there may be more of it.
-- ARGV: stream, about how many rows to remove.

local stream = ARGV[1]
local rows = call('HSCAN', key('list', stream), 0, 'COUNT', ARGV[2])[2]
for n = 1, #rows, 2 do
  local entry, filed = string.match(rows[n], '^([^|]*)|(.*)$')
  remove_row(stream, entry, filed)
end
if call('EXISTS', key('list', stream)) == 1 then return 1 end
call('HDEL', key('listed'), stream)
return 0
