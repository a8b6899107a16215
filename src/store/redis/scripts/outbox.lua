-- The outbox of a stream. `sets` has SETs by their number (codec/set.rs), and `state` has their states
-- (codec/state.rs). Members of sorted sets begin with the kind:
--   lanes  kind lane seq   all that waits, by lane: the first of a lane is its head
--   wait   kind seq lane   all that waits, in order
--   fresh  kind seq lane   heads that were never tried
--   retry  kind due seq    heads that failed before
--   off    kind due seq    all that waits and has a state: it failed, or was handed out

local function kind_of(set) return sub(set, 1, 1) end
local function lane_of(set) return sub(set, 2, 17) end
local function appended_of(set) return sub(set, 18, 33) end
local function accepted_of(set) return sub(set, 34, 49) end
local function jti_of(set) return sub(set, 65, 64 + tonumber(sub(set, 50, 52))) end

-- The jti that it repeats, or nil.
local function copy_of(set)
  local from, length = 65 + tonumber(sub(set, 50, 52)), tonumber(sub(set, 53, 55))
  if length > 0 then return sub(set, from, from + length - 1) end
end

local function identifiers_of(set)
  local from = 65 + tonumber(sub(set, 50, 52)) + tonumber(sub(set, 53, 55))
  return sub(set, from, from - 1 + tonumber(sub(set, 56, 63)))
end

local function waits(state) return not state or sub(state, 1, 1) == 'w' end
local function attempts_of(state) return state and tonumber(sub(state, 2, 11)) or 0 end
local function due_of(set, state) return state and sub(state, 12, 27) or appended_of(set) end

local function state(letter, attempts, at, rest)
  return letter .. string.format('%010d', attempts) .. at .. rest
end

-- Up to `limit` of a lane, the head first.
local function lane_members(id, kind, lane, limit)
  local of_lane = kind .. lane
  return call('ZRANGEBYLEX', key('lanes', id), '[' .. of_lane, '(' .. of_lane .. ':', 'LIMIT', 0, limit)
end

-- Reserves numbers that no SET had before. Returns the first. They grow with the time, so that a server that
-- lost its last writes does not give a number again that a node has in memory.
local function numbers(count, now)
  local first = math.max((tonumber(call('GET', key('seq'))) or 0) + 1, tonumber(now) * 1024)
  call('SET', key('seq'), digits(first + count - 1))
  return first
end

-- Begins the wait of a SET without a state, behind all others.
local function enter(id, seq, kind, lane)
  if #lane_members(id, kind, lane, 1) == 0 then
    call('ZADD', key('fresh', id), 0, kind .. seq .. lane)
  end
  call('ZADD', key('lanes', id), 0, kind .. lane .. seq)
  call('ZADD', key('wait', id), 0, kind .. seq .. lane)
  call('SADD', key('waiting'), id)
end

-- Ends the wait of a SET. However a head leaves, the next SET of its lane becomes the head; returns whether
-- there is one. Nothing is added before something is removed, so that results can be recorded even when the
-- server's memory is full.
local function leave(id, seq, set, before)
  local kind, lane = kind_of(set), lane_of(set)
  local members = lane_members(id, kind, lane, 2)
  local member = kind .. lane .. seq
  call('ZREM', key('lanes', id), member)
  call('ZREM', key('wait', id), kind .. seq .. lane)
  if before then call('ZREM', key('off', id), kind .. due_of(set, before) .. seq) end
  if members[1] ~= member then return false end
  if attempts_of(before) > 0 then
    call('ZREM', key('retry', id), kind .. due_of(set, before) .. seq)
  else
    call('ZREM', key('fresh', id), kind .. seq .. lane)
  end
  if not members[2] then
    if call('EXISTS', key('lanes', id)) == 0 then call('SREM', key('waiting'), id) end
    return false
  end
  local head = sub(members[2], 18)
  local of_head = call('HGET', key('state', id), head)
  if attempts_of(of_head) > 0 then
    call('ZADD', key('retry', id), 0, kind .. sub(of_head, 12, 27) .. head)
  else
    call('ZADD', key('fresh', id), 0, kind .. head .. lane)
  end
  return true
end

-- Gives a waiting SET another state.
local function put_off(id, seq, set, before, after)
  local kind, lane = kind_of(set), lane_of(set)
  local was, is = kind .. due_of(set, before) .. seq, kind .. due_of(set, after) .. seq
  if before then call('ZREM', key('off', id), was) end
  if lane_members(id, kind, lane, 1)[1] == kind .. lane .. seq then
    if attempts_of(before) > 0 then
      call('ZREM', key('retry', id), was)
    elseif attempts_of(after) > 0 then
      call('ZREM', key('fresh', id), kind .. seq .. lane)
    end
    if attempts_of(after) > 0 then call('ZADD', key('retry', id), 0, is) end
  end
  call('ZADD', key('off', id), 0, is)
  call('HSET', key('state', id), seq, after)
end

