-- The record of a stream, or false.
-- ARGV: stream.
return stream_of(ARGV[1])
