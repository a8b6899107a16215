-- Puts rows into lists of streams of one provider, each unless it is there.
-- ARGV: provider; of each row: stream, entry, the key that it is filed under, since and until when it
-- holds, and the shape that the key stands for or nothing.

for n = 2, #ARGV, 5 do
  local stream, entry, filed, bounds, shape = unpack(ARGV, n, n + 4)
  if call('HSETNX', key('list', stream), entry .. '|' .. filed, bounds) == 1 then
    call('ZADD', key('filed', filed), 0, stream .. '|' .. entry)
    local ends = sub(bounds, 17, 32)
    if ends ~= NEVER then call('ZADD', key('until'), ends, stream .. '|' .. entry .. '|' .. filed) end
    if entry == filed then call('HINCRBY', key('listed'), stream, 1) end
    if shape ~= '' then call('HSET', key('shapes'), filed, ARGV[1] .. '|' .. shape) end
  end
end
