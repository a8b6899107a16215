-- The head of every script: names of keys, and streams. KEYS[1] is the tag of the slot.
-- Keys are not passed one by one: they follow from the tag, and lie in its slot (script.rs).

local call, sub, tag = redis.call, string.sub, KEYS[1]

-- A key of the slot; with `of`, that of one stream or name in it.
local function key(name, of)
  if of then return tag .. ':' .. name .. ':' .. of end
  return tag .. ':' .. name
end

-- Numbers have 16 digits, so that their order is that of the text.
local function digits(number) return string.format('%016d', number) end

-- The record of a stream (codec/stream.rs), or false.
local function stream_of(id) return call('HGET', key('streams'), id) end

local function status_of(stream) return sub(stream, 1, 1) end

local function is_push(stream) return sub(stream, 2, 2) == 'p' end

local function stream_version_of(stream) return sub(stream, 4, 19) end

local function provider_of(stream)
  return sub(stream, 39, 38 + tonumber(sub(stream, 36, 38)))
end

-- The lowest kind of SETs that a stream sends; higher kinds are sent too. One that is not enabled sends its
-- announcement alone.
local function least_of(stream)
  if status_of(stream) == 'e' then return '0' end
  return '2'
end

-- Returns what the SETs of a stream are judged by before they are sent: the letter of its default and its
-- provider; nothing if every subject is on the stream.
local function judged_by(id, stream)
  local default = sub(stream, 3, 3)
  if default == 'A' and call('SISMEMBER', key('selective'), id) == 0 then return '' end
  return default .. provider_of(stream)
end

-- Tells whether another node has a later epoch. Without an epoch there is only one node.
local function is_fenced(epoch)
  if epoch == '' then return false end
  local current = call('HGET', key('owner'), 'epoch')
  return current and current ~= epoch
end

local FENCED = 'FENCED another node serves this stream now'

-- Reads many fields of a hash in several commands, because a command has room for a bounded number of
-- arguments.
local function fields_of(hash, fields)
  local values = {}
  for from = 1, #fields, 1000 do
    local upto = math.min(from + 999, #fields)
    for n, value in ipairs(call('HMGET', hash, unpack(fields, from, upto))) do
      values[from + n - 1] = value
    end
  end
  return values
end

