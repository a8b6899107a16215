-- Removes a client and every token that it was issued. Returns 0 if there is none, else 1.
-- ARGV: id.
for _, hash in ipairs(call('ZRANGE', key('tokens', ARGV[1]), 0, -1)) do remove_grant(hash) end
return call('HDEL', key('clients'), ARGV[1])
