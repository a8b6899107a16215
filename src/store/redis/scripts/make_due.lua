-- Makes due at once the SETs of a stream that were put off, from the latest on.
-- ARGV: stream, behind which member to go on or nothing, the most to look at.
-- Returns the member to go on behind, or nothing at the end.

local id, from = ARGV[1], '+'
if ARGV[2] ~= '' then from = '(' .. ARGV[2] end
local members = call('ZREVRANGEBYLEX', key('off', id), from, '-', 'LIMIT', 0, ARGV[3])
for _, member in ipairs(members) do
  local seq = sub(member, 18)
  local set, before = call('HGET', key('sets', id), seq), call('HGET', key('state', id), seq)
  local attempts, due = attempts_of(before), appended_of(set)
  if attempts > 0 then
    if sub(before, 12, 27) ~= due then
      put_off(id, seq, set, before, state('w', attempts, due, sub(before, 28)))
    end
  else
    call('ZREM', key('off', id), member)
    call('HDEL', key('state', id), seq)
  end
end
if #members < tonumber(ARGV[3]) then return '' end
return members[#members]
