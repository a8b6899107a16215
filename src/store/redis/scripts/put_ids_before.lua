-- Before when a publisher's id may come again.
-- ARGV: the time.
call('SET', key('ids_before'), ARGV[1])
