-- Adds to the feed an entry that names the one before it, so that a reader notices what it missed.
-- ARGV: about how many entries are kept; then fields and values.
-- Repeated, it is told twice, which is harmless.

local newest = call('XREVRANGE', key('feed'), '+', '-', 'COUNT', 1)[1]
local before = newest and newest[1] or '0-0'
call('XADD', key('feed'), 'MAXLEN', '~', ARGV[1], '*', 'before', before, unpack(ARGV, 2))
