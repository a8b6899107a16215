-- Recorded events of a provider of one time: time and origin, and record of each.
-- ARGV: provider, time.

local answer = {}
local at = call('ZRANGEBYLEX', key('events_at', ARGV[1]), '[' .. ARGV[2], '(' .. ARGV[2] .. '~')
for _, event in ipairs(at) do
  answer[#answer + 1] = { event, call('HGET', key('events'), event) or '' }
end
return answer
