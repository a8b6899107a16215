-- The changes of the slot, and the streams that they were made to.
-- ARGV: the last change that the node knows; nothing, to ask only for the newest.
-- Returns the newest change, whether it is known what was changed since, and the ids of the streams
-- that were; all of the slot if it is not known.

local after = ARGV[1]
local newest = call('XREVRANGE', key('changes'), '+', '-', 'COUNT', 1)[1]
newest = newest and newest[1] or '0-0'
if after == '' or after == newest then return { newest, 1, {} } end

-- The last known change is still in the stream, or no entry was ever removed from it.
local known = after == '0-0' and call('XLEN', key('changes')) < 1000
  or #call('XRANGE', key('changes'), after, after) == 1
local streams = {}
if known then
  for _, change in ipairs(call('XRANGE', key('changes'), '(' .. after, '+')) do
    streams[#streams + 1] = change[2][2]
  end
else
  streams = call('HKEYS', key('streams'))
end
return { newest, known and 1 or 0, streams }
