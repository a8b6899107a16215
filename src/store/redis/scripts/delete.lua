-- Deletes a stream, its records and its outbox. Its things in other slots are removed afterwards.
-- Returns 1, or 0 if there is none.
-- ARGV: stream, provider, Receiver.

local id = ARGV[1]
if not stream_of(id) then return 0 end
call('HSET', key('leaving'), id, ARGV[2] .. '|' .. ARGV[3])
call('HDEL', key('streams'), id)
call('SREM', key('waiting'), id)
call('SREM', key('selective'), id)
call('ZREM', key('dead'), ARGV[2] .. '|' .. id)
remove_owned('streams/' .. id)
call('UNLINK', key('sets', id), key('state', id), key('jtis', id), key('lanes', id), key('wait', id),
  key('fresh', id), key('retry', id), key('off', id), key('kept', id), key('letters', id),
  key('reasons', id), key('copies', id))
changed(id)
return 1
