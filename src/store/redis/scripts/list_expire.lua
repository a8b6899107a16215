-- Removes rows that hold no longer. Returns 1 if there may be more.
-- ARGV: now, the most to remove.

local ended = call('ZRANGEBYSCORE', key('until'), '-inf', ARGV[1], 'LIMIT', 0, ARGV[2])
for _, member in ipairs(ended) do
  local stream, entry, filed = string.match(member, '^([^|]*)|([^|]*)|(.*)$')
  remove_row(stream, entry, filed)
end
return #ended == tonumber(ARGV[2]) and 1 or 0
