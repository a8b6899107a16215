-- Removes some records, whichever. Returns 1 if there may be more, else 0.
-- ARGV: the most to remove.
local names = call('HRANDFIELD', key('records'), ARGV[1])
for _, name in ipairs(names) do remove_record(name) end
return #names == 0 and 0 or 1
