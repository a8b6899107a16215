-- The tokens that an operator made: hash and record of each.

local answer = {}
for _, hash in ipairs(call('SMEMBERS', key('made'))) do
  answer[#answer + 1] = { hash, call('HGET', key('grants'), hash) or '' }
end
return answer
