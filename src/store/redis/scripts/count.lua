-- What waits on one stream: how many SETs, and when the oldest was appended.
-- ARGV: stream.

local count, oldest = waiting_of(ARGV[1])
return { count, oldest or '' }
