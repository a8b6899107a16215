-- A SET of a stream and those that repeat it under another jti, in whatever state, without claims.
-- ARGV: stream, jti.
-- Returns false without a stream; else its provider, and number, record and state of each.

local id, jti = ARGV[1], ARGV[2]
local stream = stream_of(id)
if not stream then return false end

local answer = { provider_of(stream) }
local function add(seq)
  local set = call('HGET', key('sets', id), seq)
  local names = 64 + tonumber(sub(set, 50, 52)) + tonumber(sub(set, 53, 55))
  local n = #answer
  answer[n + 1], answer[n + 2] = seq, sub(set, 1, 55) .. '00000000-' .. sub(set, 65, names)
  answer[n + 3] = call('HGET', key('state', id), seq) or ''
end
local seq = call('HGET', key('jtis', id), jti)
if seq then add(seq) end
for _, copy in ipairs(call('ZRANGEBYLEX', key('copies', id), '[' .. jti .. '|', '(' .. jti .. '}')) do
  add(sub(copy, #jti + 2))
end
return answer
