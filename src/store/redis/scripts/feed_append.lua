-- Appends an entry to the change feed. The entry names the one before it, so that a reader detects
-- a gap. ARGV: about how many entries the feed keeps; then fields and values. A repetition appends
-- the entry twice, which is harmless.

local newest = call('XREVRANGE', key('feed'), '+', '-', 'COUNT', 1)[1]
local before = newest and newest[1] or '0-0'
call('XADD', key('feed'), 'MAXLEN', '~', ARGV[1], '*', 'before', before, unpack(ARGV, 2))
