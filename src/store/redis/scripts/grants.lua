-- Tokens, in the keys that are shared by all slots.
--   grants         of each hash: the length of the client's id (3), that, and the rest as JSON
--   made           hashes of those that an operator made
--   tokens:<client>  hashes of those that a client was issued, by when
--   grants_expiry  hashes by when they expire
--   clients        of each id the client as JSON

local function remove_grant(hash)
  local record = call('HGET', key('grants'), hash)
  if not record then return 0 end
  local client = sub(record, 4, 3 + tonumber(sub(record, 1, 3)))
  call('HDEL', key('grants'), hash)
  call('SREM', key('made'), hash)
  call('ZREM', key('grants_expiry'), hash)
  if client ~= '' then call('ZREM', key('tokens', client), hash) end
  return 1
end

