-- Changes an entry of a stream's list.
-- ARGV: `enter`, `leave` or `remove`; stream, provider, from when or until when, the most entries,
-- the most shapes; a key that stands for the entry's shape and the shape, or nothing twice; then all
-- keys that the entry is filed under, its own first.
-- Returns 0 if it were one more than may be, else 1.

local what, stream, provider, at = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local shape, entry = ARGV[7], ARGV[9]
local known = row_of(stream, entry, entry)
local from, upto = bounds_of(stream)

local function has_shape(filed)
  return #call('ZRANGEBYLEX', key('filed', filed), from, upto, 'LIMIT', 0, 1) > 0
end

if what == 'enter' then
  if not known then
    if tonumber(call('HGET', key('listed'), stream) or 0) >= tonumber(ARGV[5]) then return 0 end
    if shape ~= '' and not has_shape(shape) then
      local shapes = 0
      for _, filed in ipairs(call('HKEYS', key('shapes'))) do
        if has_shape(filed) then shapes = shapes + 1 end
      end
      if shapes >= tonumber(ARGV[6]) then return 0 end
      call('HSET', key('shapes'), shape, provider .. '|' .. ARGV[8])
    end
    call('HINCRBY', key('listed'), stream, 1)
  end
  for n = 9, #ARGV do
    local filed = ARGV[n]
    local row, since = row_of(stream, entry, filed), at
    if row and sub(row, 1, 16) < since then since = sub(row, 1, 16) end
    call('HSET', key('list', stream), entry .. '|' .. filed, since .. NEVER)
    call('ZADD', key('filed', filed), 0, stream .. '|' .. entry)
    call('ZREM', key('until'), stream .. '|' .. entry .. '|' .. filed)
  end
elseif known then
  for n = 9, #ARGV do
    local filed = ARGV[n]
    local row = row_of(stream, entry, filed)
    if what == 'remove' then
      remove_row(stream, entry, filed)
    elseif row then
      local ends = at < sub(row, 17, 32) and at or sub(row, 17, 32)
      call('HSET', key('list', stream), entry .. '|' .. filed, sub(row, 1, 16) .. ends)
      call('ZADD', key('until'), ends, stream .. '|' .. entry .. '|' .. filed)
    end
  end
end
return 1
