-- How many dead letters there are in the slot: of each provider and reason these, and the number.

local counts, answer = {}, {}
for _, member in ipairs(call('ZRANGE', key('dead'), 0, -1)) do
  local at = string.find(member, '|', 1, true)
  local provider, reasons = sub(member, 1, at - 1), call('HGETALL', key('reasons', sub(member, at + 1)))
  counts[provider] = counts[provider] or {}
  for n = 1, #reasons, 2 do
    counts[provider][reasons[n]] = (counts[provider][reasons[n]] or 0) + tonumber(reasons[n + 1])
  end
end
for provider, reasons in pairs(counts) do
  for reason, count in pairs(reasons) do answer[#answer + 1] = { provider, reason, count } end
end
return answer
