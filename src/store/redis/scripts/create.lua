-- Stores a new stream. Returns 0 if there is another of this id, or one is being deleted; else 1.
-- ARGV: stream, record.

local id, stream = ARGV[1], ARGV[2]
if call('HEXISTS', key('leaving'), id) == 1 then return 0 end
if call('HSETNX', key('streams'), id, stream) == 0 then
  return stream_of(id) == stream and 1 or 0
end
call('SADD', key('providers'), provider_of(stream))
changed(id)
return 1
