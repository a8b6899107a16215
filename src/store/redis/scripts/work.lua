-- Push streams of the slot of which `read.lua` would read something.
-- ARGV: now.

local now, found = ARGV[1], {}
for _, id in ipairs(call('SMEMBERS', key('waiting'))) do
  local stream = stream_of(id)
  if stream and is_push(stream) then
    local least = least_of(stream)
    local has = #call('ZRANGEBYLEX', key('fresh', id), '[' .. least, '+', 'LIMIT', 0, 1) > 0
    for _, kind in ipairs({ '0', '1', '2' }) do
      if not has and least <= kind then
        local due = '(' .. kind .. now .. '~'
        has = #call('ZRANGEBYLEX', key('retry', id), '[' .. kind, due, 'LIMIT', 0, 1) > 0
      end
    end
    if has then found[#found + 1] = id end
  end
end
return found
