-- A record, or false.
-- ARGV: its name.
return call('HGET', key('records'), ARGV[1])
