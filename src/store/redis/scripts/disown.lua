-- Counts a stream no longer as a Receiver's.
-- ARGV: provider, Receiver, stream.
call('SREM', key('owned', ARGV[1] .. ':' .. ARGV[2]), ARGV[3])
