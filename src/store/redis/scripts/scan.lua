-- Scans a hash, some fields at a time. Each field comes once, as long as nothing is written.
-- ARGV: its name, and of what or nothing; the cursor; about how many; `fields` or `values`, if these are
-- asked for too.
-- Returns the cursor to go on with, 0 at the end; then the fields, each with its value.

local of = ARGV[2] ~= '' and ARGV[2] or nil
local found = call('HSCAN', key(ARGV[1], of), ARGV[3], 'COUNT', ARGV[4])
local answer = { found[1] }
for n = 1, #found[2], 2 do
  answer[#answer + 1] = found[2][n]
  if ARGV[5] == 'values' then answer[#answer + 1] = found[2][n + 1] end
end
return answer
