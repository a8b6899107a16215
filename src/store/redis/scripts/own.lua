-- Counts a stream as a Receiver's, in the slot of the Receiver. Returns 0 if that has as many others
-- as it may, else 1.
-- ARGV: provider, Receiver, stream, limit.

local owned, id = key('owned', ARGV[1] .. ':' .. ARGV[2]), ARGV[3]
if call('SISMEMBER', owned, id) == 1 then return 1 end
if call('SCARD', owned) >= tonumber(ARGV[4]) then return 0 end
call('SADD', owned, id)
return 1
