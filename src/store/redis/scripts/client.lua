-- The record of a client, or false.
-- ARGV: id.
return call('HGET', key('clients'), ARGV[1])
