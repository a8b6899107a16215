-- Returns which events are kept from every stream, since their accounts opted out. Changes nothing.
-- ARGV: the events as in `accounts.lua`.
return judge_accounts(ARGV, 1)
