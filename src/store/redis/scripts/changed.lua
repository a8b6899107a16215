-- Tells all nodes that a stream was changed. Those that are further behind than this reaches read
-- all streams of the slot.
local function changed(id)
  call('XADD', key('changes'), 'MAXLEN', '~', 1000, '*', 'stream', id)
end

