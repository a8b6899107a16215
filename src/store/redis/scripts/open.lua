-- The version of the format that the store is in, which it is given if it is empty.
-- ARGV: the version that is written.
call('SETNX', key('version'), ARGV[1])
return call('GET', key('version'))
