-- Records of a kind, in the order of their keys: name and record of each.
-- ARGV: the kind; the prefix; the key behind which to begin, or nothing; how many; 1 if records that
-- belong to another are left out.

local kind, prefix, after = ARGV[1], ARGV[2], ARGV[3]
local keys = key('record_keys', kind)
if ARGV[5] == '1' then keys = key('record_unowned', kind) end
local from = after == '' and '[' .. prefix or '(' .. after
-- No text has the byte 255.
local found = call('ZRANGEBYLEX', keys, from, '(' .. prefix .. '\255', 'LIMIT', 0, ARGV[4])
local names, answer = {}, {}
for n, of_kind in ipairs(found) do names[n] = kind .. '/' .. of_kind end
for n, record in ipairs(fields_of(key('records'), names)) do
  answer[#answer + 1] = names[n]
  answer[#answer + 1] = record
end
return answer
