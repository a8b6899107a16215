-- Returns the position of the reader of a partition, or false.
-- ARGV: partition.
return call('HGET', key('positions'), ARGV[1])
