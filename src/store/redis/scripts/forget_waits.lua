-- Makes due the SETs of the slot that wait for a time after another one. Returns how many there are.
-- ARGV: now; the time.

local now, beyond, count = ARGV[1], ARGV[2], 0
for _, id in ipairs(call('SMEMBERS', key('waiting'))) do
  for _, kind in ipairs({ '2', '1', '0' }) do
    for _, one in ipairs(ahead(id, kind, beyond)) do
      put_off(id, one[1], one[2], false, state('w', 0, now, '-'))
      count = count + 1
    end
    local later = call('ZRANGEBYLEX', key('off', id), '(' .. kind .. beyond .. '~', '(' .. kind .. ':')
    for _, member in ipairs(later) do
      local seq = sub(member, 18)
      local set, before = call('HGET', key('sets', id), seq), call('HGET', key('state', id), seq)
      put_off(id, seq, set, before, state('w', attempts_of(before), now, sub(before, 28)))
      count = count + 1
    end
  end
end
return count
