-- A stream is not a Receiver's, or no longer.
-- ARGV: provider, Receiver, stream.
call('SREM', key('owned', ARGV[1] .. ':' .. ARGV[2]), ARGV[3])
