-- Returns the version of the store's format. An empty store gets the given version.
-- ARGV: the version that is written.
call('SETNX', key('version'), ARGV[1])
return call('GET', key('version'))
