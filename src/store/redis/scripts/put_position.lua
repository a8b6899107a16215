-- Sets the position of the reader of a partition.
-- ARGV: partition, position.
call('HSET', key('positions'), ARGV[1], ARGV[2])
