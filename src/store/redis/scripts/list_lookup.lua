-- Finds the streams that have subjects on their lists.
-- ARGV: now, the one stream that is asked about or nothing; then of each subject how many probes it
-- has, and of each probe how many keys and these; and how many identities it has, and these.
-- An entry matches a probe if it is filed under all of its keys, and an identity by itself.
-- Returns of each subject two lists of streams: with an entry that matches, and with an identical one.

local now, stream = ARGV[1], ARGV[2]
local from, upto = bounds_of(stream)

local function split(member)
  local at = string.find(member, '|', 1, true)
  return sub(member, 1, at - 1), sub(member, at + 1)
end

local function whole(filed, found)
  for _, member in ipairs(call('ZRANGEBYLEX', key('filed', filed), from, upto)) do
    local of, entry = split(member)
    if not found[of] and holds(of, entry, filed, now) then found[of] = true end
  end
end

-- Goes from stream to stream rather than from entry to entry: one that matches is enough. A tenant
-- has many entries where a user has few: to walk those of the user is quick.
local function members(keys, found)
  local rarest, least = 1, nil
  for n, filed in ipairs(keys) do
    local count = call('ZLEXCOUNT', key('filed', filed), from, upto)
    if not least or count < least then rarest, least = n, count end
  end
  local walked, behind = keys[rarest], from
  while true do
    local member = call('ZRANGEBYLEX', key('filed', walked), behind, upto, 'LIMIT', 0, 1)[1]
    if not member then return end
    local of, entry = split(member)
    local matches = holds(of, entry, walked, now)
    for _, filed in ipairs(keys) do
      matches = matches and call('ZSCORE', key('filed', filed), member)
    end
    if matches then found[of] = true end
    behind = '(' .. (matches and of .. '}' or member)
  end
end

local function list_of(found)
  local list = {}
  for of in pairs(found) do list[#list + 1] = of end
  return list
end

local answer, n = {}, 3
while n <= #ARGV do
  local added, removed, probes = {}, {}, tonumber(ARGV[n])
  n = n + 1
  for _ = 1, probes do
    local count, keys = tonumber(ARGV[n]), {}
    for at = 1, count do keys[at] = ARGV[n + at] end
    n = n + 1 + count
    -- Of a probe for the subject as a whole each entry matches, and there are few.
    if sub(keys[1], 1, 1) == '=' then whole(sub(keys[1], 2), added) else members(keys, added) end
  end
  local identities = tonumber(ARGV[n])
  for at = 1, identities do whole(ARGV[n + at], removed) end
  n = n + 1 + identities
  answer[#answer + 1] = { list_of(added), list_of(removed) }
end
return answer
