-- When the next SET of a stream becomes due that may go out and is not due yet; false if none does.
-- ARGV: stream, now.

local id, now = ARGV[1], ARGV[2]
local stream = stream_of(id)
if not stream then return false end

local soonest = false
local function consider(due)
  if not soonest or due < soonest then soonest = due end
end
for _, kind in ipairs({ '2', '1', '0' }) do
  if least_of(stream) <= kind then
    local later = '(' .. kind .. now .. '~'
    local off = call('ZRANGEBYLEX', key('off', id), later, '(' .. kind .. ':', 'LIMIT', 0, 1)[1]
    if off then consider(sub(off, 2, 17)) end
    for _, due in ipairs(ahead(id, kind, now)) do consider(due[3]) end
  end
end
return soonest
