-- Concludes a batch, whose SETs are durable: in one step accounts opt out and in as it has it, and the
-- reader of a partition stands behind it. Within an epoch a position never moves back.
-- ARGV: partition or nothing, position; then the events as in `accounts.lua`.

judge_accounts(ARGV, 3)
keep_accounts()
if ARGV[1] ~= '' then
  local before = call('HGET', key('positions'), ARGV[1])
  if not before or before < ARGV[2] then call('HSET', key('positions'), ARGV[1], ARGV[2]) end
end
