-- Until when all activity is recorded.
-- ARGV: the time.
call('SET', key('activity_recorded'), ARGV[1])
