-- Records (store::records), in the slot of the stream that they belong to, or in the keys that are
-- shared by all slots.
--   records                 of each name (kind/key) the record (redis/records.rs): its version, made_at
--                           and expires_at (16 each), its format (10), the length of its owner (4), the
--                           owner, and the value
--   record_keys:<kind>      the keys of a kind, in order
--   record_unowned:<kind>   those of records that belong to no other
--   record_owned:<owner>    names of the records of an owner, by when they were made
--   record_ends             names by when they expire
--   record_version          the last version that was given, also to a deletion
-- The owner is the name of another record, or streams/<id>.

local function version_of(record) return sub(record, 1, 16) end
local function made_of(record) return sub(record, 17, 32) end
local function owner_of(record) return sub(record, 63, 62 + tonumber(sub(record, 59, 62))) end

-- The kind and the key in a name.
local function parts_of(name)
  local at = name:find('/', 1, true)
  return sub(name, 1, at - 1), sub(name, at + 1)
end

local function is_there(owner)
  local kind, id = parts_of(owner)
  if kind == 'streams' then return stream_of(id) end
  return call('HEXISTS', key('records'), owner) == 1
end

-- Takes a record out of all that it is listed in.
local function unlist(name, record)
  local kind, of_kind = parts_of(name)
  call('ZREM', key('record_keys', kind), of_kind)
  call('ZREM', key('record_unowned', kind), of_kind)
  call('ZREM', key('record_ends'), name)
  local owner = owner_of(record)
  if owner ~= '' then call('ZREM', key('record_owned', owner), name) end
end

-- Gives the next version, for a write or a deletion. It is the server's time, so that it is not given again
-- if the last writes are lost.
local function next_version()
  local time = call('TIME')
  local last = tonumber(call('GET', key('record_version')) or 0)
  local version = digits(math.max(last + 1, time[1] * 1000000 + time[2]))
  call('SET', key('record_version'), version)
  return version
end

local remove_owned

-- Removes a record and those that belong to it. Returns 1, or 0 if there is none.
local function remove_record(name)
  local record = call('HGET', key('records'), name)
  if not record then return 0 end
  call('HDEL', key('records'), name)
  unlist(name, record)
  remove_owned(name)
  return 1
end

remove_owned = function(owner)
  for _, name in ipairs(call('ZRANGE', key('record_owned', owner), 0, -1)) do remove_record(name) end
end

