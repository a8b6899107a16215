-- Lists of subjects, in the slot of their provider. An entry has a row for each key that it is filed
-- under, one of them its own.
--   list:<stream>  entry|filed: since and until when the row holds
--   filed:<key>    stream|entry of each row
--   until          stream|entry|filed of rows that end, by when
--   listed         how many entries a stream has
--   shapes         of each key that stands for a shape: provider|names of members

local NEVER = '9999999999999999'

-- Returns the bounds of the rows that are filed for one stream, or without one for all streams.
local function bounds_of(stream)
  if stream == '' then return '-', '+' end
  return '[' .. stream .. '|', '(' .. stream .. '}'
end

local function row_of(stream, entry, filed)
  return call('HGET', key('list', stream), entry .. '|' .. filed)
end

local function holds(stream, entry, filed, now)
  local row = row_of(stream, entry, filed)
  return row and sub(row, 1, 16) <= now and now < sub(row, 17, 32)
end

local function remove_row(stream, entry, filed)
  call('HDEL', key('list', stream), entry .. '|' .. filed)
  call('ZREM', key('filed', filed), stream .. '|' .. entry)
  call('ZREM', key('until'), stream .. '|' .. entry .. '|' .. filed)
  -- With its last row a shape goes.
  if call('EXISTS', key('filed', filed)) == 0 then call('HDEL', key('shapes'), filed) end
  if entry == filed and call('HINCRBY', key('listed'), stream, -1) <= 0 then
    call('HDEL', key('listed'), stream)
  end
end

