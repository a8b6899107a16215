-- Nothing is left anywhere of a stream that was deleted.
-- ARGV: stream.
call('HDEL', key('leaving'), ARGV[1])
