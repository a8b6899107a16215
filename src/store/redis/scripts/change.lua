-- Replaces a stream by its next version.
-- ARGV: stream, record; of a change of status also how it is announced (`none`, `instead`,
-- `new`), and the announcement: jti, lane, record.
-- Returns what is to be done then: `due`, if what waits is due at once; `discard`, if all else that
-- waits is to be discarded; nothing else. Or `conflict`, if there is not the version before; or
-- `unfinished`, if what a change before was to discard is there still: then nothing was done.
-- Repeated, it is a conflict.

local id, new, announce = ARGV[1], ARGV[2], ARGV[3]
local old = stream_of(id)
if not old then return 'conflict' end
if tonumber(stream_version_of(old)) + 1 ~= tonumber(stream_version_of(new)) then return 'conflict' end
if status_of(old) == 'd' and #call('ZRANGEBYLEX', key('wait', id), '-', '(2', 'LIMIT', 0, 1) > 0 then
  return 'unfinished'
end

local withdrawn = false
if announce then
  for _, member in ipairs(call('ZRANGEBYLEX', key('wait', id), '[2', '+')) do
    local seq = sub(member, 2, 17)
    local set = call('HGET', key('sets', id), seq)
    leave(id, seq, set, call('HGET', key('state', id), seq))
    call('HDEL', key('state', id), seq)
    forget(id, seq, set)
    withdrawn = true
  end
end
call('HSET', key('streams'), id, new)
changed(id)
if announce == 'new' or (announce == 'instead' and withdrawn) then
  local seq = digits(numbers(1, appended_of(ARGV[6])))
  if call('HSETNX', key('jtis', id), ARGV[4], seq) == 1 then
    call('HSET', key('sets', id), seq, ARGV[6])
    enter(id, seq, '2', ARGV[5])
  end
end

if announce then
  if status_of(new) == 'd' then return 'discard' end
  local resumed = is_push(old) and status_of(old) ~= 'e'
  if status_of(new) == 'e' and resumed then return 'due' end
elseif sub(old, 20, 35) ~= sub(new, 20, 35) then
  return 'due'
end
return ''
