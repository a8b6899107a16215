-- The SETs of a kind that wait, have no state, and were appended after `now`, by a clock that was ahead:
-- number, record and time of each. The last come first, so that it ends with the first that is not.
local function ahead(id, kind, now)
  local found, from, CHUNK = {}, '(' .. kind .. ':', 10
  while true do
    local members = call('ZREVRANGEBYLEX', key('wait', id), from, '[' .. kind, 'LIMIT', 0, CHUNK)
    for _, member in ipairs(members) do
      local seq = sub(member, 2, 17)
      local set = call('HGET', key('sets', id), seq)
      if appended_of(set) <= now then return found end
      if call('HEXISTS', key('state', id), seq) == 0 then
        found[#found + 1] = { seq, set, appended_of(set) }
      end
      from = '(' .. member
    end
    if #members < CHUNK then return found end
  end
end

