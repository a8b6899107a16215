-- The version of the format that the store is in; 0 while it is copied into and lacks something.
-- ARGV: the version.
call('SET', key('version'), ARGV[1])
