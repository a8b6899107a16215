-- Gives up the SETs of the slot's poll streams that were appended before a time, except announcements.
-- ARGV: the time, now, the reason, the detail, the most of a kind to look at of a stream.
-- Returns 1 if there may be more, else 0; and how many are dead now of each provider.

local before, now, most = ARGV[1], ARGV[2], tonumber(ARGV[5])
local why = string.format('%03d', #ARGV[3]) .. ARGV[3] .. ARGV[4]
local more, counts = 0, {}
for _, id in ipairs(call('SMEMBERS', key('waiting'))) do
  local stream = stream_of(id)
  if stream and not is_push(stream) then
    local provider = provider_of(stream)
    for _, kind in ipairs({ '1', '0' }) do
      local dropped = 0
      local range = { '[' .. kind, '(' .. kind .. ':' }
      for _, member in ipairs(call('ZRANGEBYLEX', key('wait', id), range[1], range[2], 'LIMIT', 0, most)) do
        local seq = sub(member, 2, 17)
        local set, was = call('HGET', key('sets', id), seq), call('HGET', key('state', id), seq)
        if appended_of(set) >= before then break end
        leave(id, seq, set, was)
        settle(id, seq, set, provider, state('d', attempts_of(was), now, why))
        dropped = dropped + 1
      end
      if dropped == most then more = 1 end
      if dropped > 0 then counts[provider] = (counts[provider] or 0) + dropped end
    end
  end
end
local answer = {}
for provider, count in pairs(counts) do answer[#answer + 1] = { provider, count } end
return { more, answer }
