-- Removes tokens that have expired. Returns 1 if there may be more, else 0.
-- ARGV: now, the most to remove.

local old = call('ZRANGEBYSCORE', key('grants_expiry'), '-inf', ARGV[1], 'LIMIT', 0, ARGV[2])
for _, hash in ipairs(old) do remove_grant(hash) end
return #old == tonumber(ARGV[2]) and 1 or 0
