-- A node extends its lease, returns drained shares, and takes free shares up to its quota. Returns
-- the live nodes and the shares that this node holds. All of it is one step, so that no two nodes
-- hold the same share.
--
-- ARGV: the node; its lease in milliseconds; its stage; 1 if it joins; then for slots, and again
-- for partitions: the quota; the number of returned shares, and for each its name, its epoch and
-- its highest known epoch; the number of wanted shares, and for each its name. `nodes` holds
-- "<until> <stage>" for each node. `slots` and `partitions` hold "<epoch> <node>" for each share,
-- with an empty node if the share was returned. Returns false if the node is not listed and does
-- not join. Harmless to repeat.

local me, ttl, stage, joins = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4] == '1'
local time = call('TIME')
local micros = time[1] * 1000000 + time[2]
local now = math.floor(micros / 1000)

local live, listed = {}, {}
local entries = call('HGETALL', key('nodes'))
for i = 1, #entries, 2 do
  local ends, doing = entries[i + 1]:match('^(%d+) (.*)$')
  if tonumber(ends) > now then
    live[entries[i]] = doing
  else
    call('HDEL', key('nodes'), entries[i])
  end
end
if not live[me] and not joins then
  return false
end
live[me] = stage
call('HSET', key('nodes'), me, string.format('%.0f %s', now + ttl, stage))
for node, doing in pairs(live) do
  listed[#listed + 1] = node
  listed[#listed + 1] = doing
end

local next_arg = 5
local function argument()
  next_arg = next_arg + 1
  return ARGV[next_arg - 1]
end

local function exchange(table)
  local owners, count = {}, 0
  local held = call('HGETALL', table)
  for i = 1, #held, 2 do
    local epoch, node = held[i + 1]:match('^(%d+) (.*)$')
    owners[held[i]] = {epoch = tonumber(epoch), node = node}
    if node == me then count = count + 1 end
  end
  local function set(share, epoch, node)
    owners[share] = {epoch = epoch, node = node}
    call('HSET', table, share, string.format('%.0f %s', epoch, node))
  end

  local quota = tonumber(argument())
  for _ = 1, tonumber(argument()) do
    local share, epoch, highest = argument(), tonumber(argument()), tonumber(argument())
    local owner = owners[share]
    if owner and owner.node == me and owner.epoch == epoch then
      set(share, highest, '')
      count = count - 1
    end
  end
  for _ = 1, tonumber(argument()) do
    local share = argument()
    local owner = owners[share]
    if count < quota and not (owner and live[owner.node]) then
      -- At least the time, so that no epoch is reused even if this table is lost.
      set(share, math.max(micros, owner and owner.epoch + 1 or 1), me)
      count = count + 1
    end
  end

  local mine = {}
  for share, owner in pairs(owners) do
    if owner.node == me then
      mine[#mine + 1] = share
      mine[#mine + 1] = string.format('%.0f', owner.epoch)
    end
  end
  return mine
end

local slots = exchange(key('slots'))
local partitions = exchange(key('partitions'))
return {listed, slots, partitions}
