-- The last recorded event of a publisher's id: its time and origin, and its record; false if none is.
-- ARGV: provider/id.

local claim = call('HGET', key('ids'), ARGV[1])
local record = claim and call('HGET', key('events'), sub(claim, 2, 49))
if not record then return false end
return { sub(claim, 2, 49), record }
