-- Bounds what paused streams of the slot hold: the oldest events beyond a number, and those that were
-- appended before a time, are dead.
-- ARGV: how many are held, the time, now, the reason, the detail, the most to look at of a stream.
-- Returns 1 if there may be more, else 0; how many are dead now of each provider; and streams that
-- are disabled and have something left to discard.

local held, before, now, most = tonumber(ARGV[1]), ARGV[2], ARGV[3], tonumber(ARGV[6])
local why = string.format('%03d', #ARGV[4]) .. ARGV[4] .. ARGV[5]
local more, counts, disabled = 0, {}, {}
for _, id in ipairs(call('SMEMBERS', key('waiting'))) do
  local stream, wait = stream_of(id), key('wait', id)
  if stream and status_of(stream) == 'p' then
    local excess, provider = call('ZLEXCOUNT', wait, '[0', '(1') - held, provider_of(stream)
    local dropped = 0
    for _, member in ipairs(call('ZRANGEBYLEX', wait, '[0', '(1', 'LIMIT', 0, most)) do
      local seq = sub(member, 2, 17)
      local set, was = call('HGET', key('sets', id), seq), call('HGET', key('state', id), seq)
      if dropped >= excess and appended_of(set) >= before then break end
      leave(id, seq, set, was)
      settle(id, seq, set, provider, state('d', attempts_of(was), now, why))
      dropped = dropped + 1
    end
    if dropped == most then more = 1 end
    if dropped > 0 then counts[provider] = (counts[provider] or 0) + dropped end
  elseif stream and status_of(stream) == 'd' then
    if #call('ZRANGEBYLEX', wait, '-', '(2', 'LIMIT', 0, 1) > 0 then disabled[#disabled + 1] = id end
  end
end
local answer = {}
for provider, count in pairs(counts) do answer[#answer + 1] = { provider, count } end
return { more, answer, disabled }
