-- Keeps a token. Returns 0 if it is for a client that there is not, else 1.
-- ARGV: hash, record, when it was made, when it expires or nothing; client or nothing, and how many
-- tokens of it stay, the youngest.

local hash, client = ARGV[1], ARGV[5]
if client ~= '' and call('HEXISTS', key('clients'), client) == 0 then return 0 end
remove_grant(hash)
call('HSET', key('grants'), hash, ARGV[2])
if ARGV[4] ~= '' then call('ZADD', key('grants_expiry'), ARGV[4], hash) end
if client == '' then
  call('SADD', key('made'), hash)
else
  call('ZADD', key('tokens', client), ARGV[3], hash)
  local live = tonumber(ARGV[6])
  for _, old in ipairs(call('ZREVRANGE', key('tokens', client), live, -1)) do remove_grant(old) end
end
return 1
