-- Sets the version of the store's format; 0 while another store is being copied into this one.
-- ARGV: the version.
call('SET', key('version'), ARGV[1])
