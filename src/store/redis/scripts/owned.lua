-- The streams that count as a Receiver's.
-- ARGV: provider, Receiver.
return call('SMEMBERS', key('owned', ARGV[1] .. ':' .. ARGV[2]))
