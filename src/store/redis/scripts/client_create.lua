-- Keeps a new client. Returns 0 if there is another of this id, else 1.
-- ARGV: id, record.
if call('HSETNX', key('clients'), ARGV[1], ARGV[2]) == 1 then return 1 end
return call('HGET', key('clients'), ARGV[1]) == ARGV[2] and 1 or 0
