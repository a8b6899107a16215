-- The SETs of a jti in the slot: stream, provider, number, record and state of each.
-- ARGV: jti.

local answer = {}
for _, id in ipairs(call('HKEYS', key('streams'))) do
  local seq = call('HGET', key('jtis', id), ARGV[1])
  if seq then
    local set, state = call('HGET', key('sets', id), seq), call('HGET', key('state', id), seq)
    answer[#answer + 1] = { id, provider_of(stream_of(id)), seq, set, state or '' }
  end
end
return answer
