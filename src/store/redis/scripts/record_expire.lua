-- Removes records that have expired. Returns 1 if there may be more, else 0.
-- ARGV: now, the most to remove.
local old = call('ZRANGEBYSCORE', key('record_ends'), '-inf', ARGV[1], 'LIMIT', 0, ARGV[2])
for _, name in ipairs(old) do remove_record(name) end
if #old > 0 then next_version() end
return #old == tonumber(ARGV[2]) and 1 or 0
