-- Where the reader of a partition stands, or false.
-- ARGV: partition.
return call('HGET', key('positions'), ARGV[1])
