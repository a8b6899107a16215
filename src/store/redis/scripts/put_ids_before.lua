-- Sets the time before which a publisher's id may be used again.
-- ARGV: the time.
call('SET', key('ids_before'), ARGV[1])
