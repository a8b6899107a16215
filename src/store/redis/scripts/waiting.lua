-- How many SETs of a stream wait, and when the oldest was appended.
local function waiting_of(id)
  local oldest = false
  for _, kind in ipairs({ '0', '1', '2' }) do
    local first = call('ZRANGEBYLEX', key('wait', id), '[' .. kind, '(' .. kind .. ':', 'LIMIT', 0, 1)[1]
    if first then
      local appended = appended_of(call('HGET', key('sets', id), sub(first, 2, 17)))
      if not oldest or appended < oldest then oldest = appended end
    end
  end
  return call('ZCARD', key('lanes', id)), oldest
end

