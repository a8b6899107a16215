-- When streams of the slot were last active. One that there is not is passed over.
-- ARGV: of each stream its id and the time.
for n = 1, #ARGV, 2 do
  if stream_of(ARGV[n]) then call('HSET', key('active'), ARGV[n], ARGV[n + 1]) end
end
