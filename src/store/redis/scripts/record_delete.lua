-- Removes a record and those that belong to it. Returns 1; 0 if there is none; -1 if it has another
-- version.
-- ARGV: its name; the version that it must have, or nothing.
if ARGV[2] ~= '' then
  local record = call('HGET', key('records'), ARGV[1])
  if record and version_of(record) ~= ARGV[2] then return -1 end
end
local removed = remove_record(ARGV[1])
if removed == 1 then next_version() end
return removed
