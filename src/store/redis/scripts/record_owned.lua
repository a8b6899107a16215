-- The records of an owner: name and record of each.
-- ARGV: the owner.
local names, answer = call('ZRANGE', key('record_owned', ARGV[1]), 0, -1), {}
for n, record in ipairs(fields_of(key('records'), names)) do
  answer[#answer + 1] = names[n]
  answer[#answer + 1] = record
end
return answer
