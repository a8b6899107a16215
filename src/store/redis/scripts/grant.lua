-- The record of a token, or false.
-- ARGV: hash.
return call('HGET', key('grants'), ARGV[1])
