-- Stores accounts that opted out.
-- ARGV: of each identifier this and the account that it is of.

for n = 1, #ARGV, 2 do
  call('HSET', key('opted_out'), ARGV[n], ARGV[n + 1])
  call('SADD', key('account', ARGV[n + 1]), ARGV[n])
end
