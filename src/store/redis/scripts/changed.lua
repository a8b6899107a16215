-- Notes that a stream was changed, for nodes that missed the change feed. A node that is further behind
-- than this reaches looks at all streams of the slot.
local function changed(id)
  call('XADD', key('changes'), 'MAXLEN', '~', 1000, '*', 'stream', id)
end

