-- Takes SETs of a stream for a poll, in order, and hides them from further polls for a while; or only
-- looks at the SETs that would be taken. A lane whose head is hidden has to wait, because the head would
-- come after the SETs behind it if it were handed out again.
-- ARGV: stream, now, until when to keep them, limit, the most to look at, whether they are taken, the most
-- bytes of the answer, and the bytes that a SET takes there besides its claims. `look` leaves the SETs as they
-- are, `take` keeps them, and `unless` does if they need not be judged.
-- Returns false without a stream; else by what they have to be judged, whether there
-- are more, and number, record and state of each SET.

local id, now, hidden_until = ARGV[1], ARGV[2], ARGV[3]
local limit, scan = tonumber(ARGV[4]), tonumber(ARGV[5])
local room, overhead = tonumber(ARGV[7]), tonumber(ARGV[8])
local stream = stream_of(id)
if not stream then return false end

local CHUNK = 100
local taken, more, least = {}, false, least_of(stream)
for _, kind in ipairs({ '2', '1', '0' }) do
  local from, held = '[' .. kind, {}
  while least <= kind and not more and scan > 0 do
    local members = call('ZRANGEBYLEX', key('wait', id), from, '(' .. kind .. ':', 'LIMIT', 0, CHUNK)
    if #members == 0 then break end
    from, scan = '(' .. members[#members], scan - #members
    local seqs = {}
    for n, member in ipairs(members) do seqs[n] = sub(member, 2, 17) end
    local states = fields_of(key('state', id), seqs)
    for n, seq in ipairs(seqs) do
      local lane = sub(members[n], 18)
      -- The first that is met of a lane is its head.
      local is_head, set = held[lane] == nil, nil
      local due = states[n] and sub(states[n], 12, 27)
      if not due and (is_head or not held[lane]) then
        set = call('HGET', key('sets', id), seq)
        due = set and appended_of(set) or now
      end
      if is_head then held[lane] = kind == '0' and now < due end
      if not held[lane] and due <= now then
        set = set or call('HGET', key('sets', id), seq)
        -- The claims are encoded in base64. One SET is taken whatever its size.
        room = room - math.ceil(#set / 3) * 4 - overhead
        if #taken == limit or (#taken > 0 and room < 0) then
          more = true
          break
        end
        taken[#taken + 1] = { seq, set, states[n] }
      end
    end
  end
end

local answer = { judged_by(id, stream), more and '1' or '' }
local hides = ARGV[6] == 'take' or (ARGV[6] == 'unless' and answer[1] == '')
for n, one in ipairs(taken) do
  local seq, set, before = unpack(one)
  local after = before
  if hides then
    local said = before and sub(before, 28) or '-'
    after = state('w', attempts_of(before), hidden_until, said)
    put_off(id, seq, set, before, after)
  end
  answer[n * 3], answer[n * 3 + 1], answer[n * 3 + 2] = seq, set, after or ''
end
return answer
