-- Notes that nothing is left in other slots of a stream that was deleted.
-- ARGV: stream.
call('HDEL', key('leaving'), ARGV[1])
