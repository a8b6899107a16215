-- The reader of a partition stands here.
-- ARGV: partition, position.
call('HSET', key('positions'), ARGV[1], ARGV[2])
