-- Begins events: claims their publishers' ids, and stores their records.
--   ids        of each provider/id: `b` begun or `d` done, when, by which origin, and by how many
--              milliseconds longer than others it is remembered, if it is
--   ids_at     the same ids by when, and so much later
--   ids_before before when an id may come again
--   events     of each time and origin: the record
--   events_at:<provider>  those times and origins
-- ARGV: now; then of each event: provider/id or nothing, origin, provider, record or nothing, by how many
-- milliseconds longer its id is remembered or nothing.
-- Returns of each event nothing, if it is to go on; `d` if it is a duplicate; or the origin under
-- which the same event was begun, and under which it is to go on.

local now, claimed, answer = ARGV[1], {}, {}
local before = call('GET', key('ids_before')) or ''

local function is_remembered(claim)
  local at, longer = sub(claim, 2, 17), sub(claim, 50)
  return at >= before or longer ~= '' and digits(at + longer) >= before
end

for n = 2, #ARGV, 5 do
  local id, origin, provider, record, longer = unpack(ARGV, n, n + 4)
  local said = ''
  if id ~= '' then
    local claim = call('HGET', key('ids'), id)
    if claimed[id] then
      said = 'd'
    elseif claim and is_remembered(claim) then
      if sub(claim, 1, 1) == 'd' then
        said = 'd'
      elseif sub(claim, 18, 49) ~= origin then
        said, origin = sub(claim, 18, 49), sub(claim, 18, 49)
      end
    end
    if said ~= 'd' then
      claimed[id] = true
      call('HSET', key('ids'), id, 'b' .. now .. origin .. longer)
      call('ZADD', key('ids_at'), now + (tonumber(longer) or 0), id)
    end
  end
  if said ~= 'd' and record ~= '' then
    call('SADD', key('providers'), provider)
    call('HSET', key('events'), now .. origin, record)
    call('ZADD', key('events_at', provider), 0, now .. origin)
  end
  answer[#answer + 1] = said
end
return answer
