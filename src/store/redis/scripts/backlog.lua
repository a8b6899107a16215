-- The backlog of the slot: for each provider its name, the number of SETs, and when the oldest was appended.

local sets, oldest, answer = {}, {}, {}
for _, id in ipairs(call('SMEMBERS', key('waiting'))) do
  local stream = stream_of(id)
  if stream then
    local provider, count, first = provider_of(stream), waiting_of(id)
    sets[provider] = (sets[provider] or 0) + count
    if first and (not oldest[provider] or first < oldest[provider]) then oldest[provider] = first end
  end
end
for provider, count in pairs(sets) do
  answer[#answer + 1] = { provider, count, oldest[provider] or '' }
end
return answer
