-- Writes records, each if its condition is met and its owner is there. Returns the version of each, or
-- nothing. A record that is the same already keeps its version.
-- ARGV: of each its name; its owner or nothing; when it was made; when it expires, or '-'; the record
-- from there on without the version; the condition: `always`, `copy` (the owner may come later),
-- `absent`, `newer`, or the version that it must have; how many of its kind stay of its owner, or
-- nothing.

local function is_met(condition, before, made)
  if condition == 'always' or condition == 'copy' then return true end
  if condition == 'absent' then return not before end
  if condition == 'newer' then return not before or made_of(before) < made end
  return before and version_of(before) == condition
end

local function end_oldest(kind, owner, most)
  local head = kind .. '/'
  for _, name in ipairs(call('ZREVRANGE', key('record_owned', owner), 0, -1)) do
    if sub(name, 1, #head) == head then
      if most <= 0 then remove_record(name) end
      most = most - 1
    end
  end
end

local answer = {}
for n = 1, #ARGV, 7 do
  local name, owner, made, ends, record, condition, most = unpack(ARGV, n, n + 6)
  local before = call('HGET', key('records'), name)
  local version = ''
  if owner ~= '' and condition ~= 'copy' and not is_there(owner) then
    -- The record is not written, because its owner is gone.
  elseif before and sub(before, 17) == record then
    version = version_of(before)
  elseif is_met(condition, before, made) then
    version = next_version()
    if before then unlist(name, before) end
    call('HSET', key('records'), name, version .. record)
    local kind, of_kind = parts_of(name)
    call('ZADD', key('record_keys', kind), 0, of_kind)
    if ends ~= '-' then call('ZADD', key('record_ends'), ends, name) end
    if owner == '' then
      call('ZADD', key('record_unowned', kind), 0, of_kind)
    else
      call('ZADD', key('record_owned', owner), made, name)
      if most ~= '' then end_oldest(kind, owner, tonumber(most)) end
    end
  end
  answer[#answer + 1] = version
end
return answer
