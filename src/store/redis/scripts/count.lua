-- The backlog of one stream: the number of SETs, and when the oldest was appended.
-- ARGV: stream.

local count, oldest = waiting_of(ARGV[1])
return { count, oldest or '' }
