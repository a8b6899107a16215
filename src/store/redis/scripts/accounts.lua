-- Accounts that opted out, in the keys that are shared by all slots.
--   opted_out          of each identifier the account that it is of, which is one of them
--   account:<account>  the identifiers of an account
-- Changes are made in memory first, and `keep_accounts` writes them. So the same events are judged alike
-- before their SETs are durable and when their choices become durable.

local accounts, members, touched = {}, {}, {}

local function account_of(identifier)
  if accounts[identifier] == nil then
    accounts[identifier] = call('HGET', key('opted_out'), identifier)
  end
  return accounts[identifier]
end

local function members_of(account)
  if not members[account] then
    members[account] = {}
    for _, identifier in ipairs(call('SMEMBERS', key('account', account))) do
      members[account][identifier] = true
    end
  end
  return members[account]
end

local function assign(identifier, account)
  accounts[identifier], touched[identifier] = account, true
  if account then members_of(account)[identifier] = true end
end

-- Gives all identifiers of an account to another, or to none.
local function hand_over(account, to)
  if account == to then return end
  for identifier in pairs(members_of(account)) do assign(identifier, to) end
  members[account] = {}
end

-- An account that is known by some of these identifiers is known by all of them from now on.
local function begins(identifiers)
  local account = identifiers[1]
  for _, identifier in ipairs(identifiers) do
    local known = account_of(identifier)
    if known then hand_over(known, account) end
  end
  for _, identifier in ipairs(identifiers) do assign(identifier, account) end
end

-- The account goes with all of its identifiers, those that are not named here among them.
local function ends(identifiers)
  for _, identifier in ipairs(identifiers) do
    local known = account_of(identifier)
    if known then hand_over(known, false) end
  end
end

local function is_any(identifiers)
  for _, identifier in ipairs(identifiers) do
    if account_of(identifier) then return true end
  end
  return false
end

-- Does what events say: of each a letter (`b` begins, `e` ends, `r` respects), how many identifiers,
-- and these. Returns a text with a letter for each: `1` if it is kept from every stream, else `0`.
local function judge_accounts(arguments, n)
  local answer = {}
  while n <= #arguments do
    local what, identifiers = arguments[n], {}
    for at = 1, tonumber(arguments[n + 1]) do identifiers[at] = arguments[n + 1 + at] end
    n = n + 2 + #identifiers
    local kept = what == 'r' and is_any(identifiers)
    if what == 'b' and identifiers[1] then begins(identifiers) end
    if what == 'e' then ends(identifiers) end
    answer[#answer + 1] = kept and '1' or '0'
  end
  return table.concat(answer)
end

local function keep_accounts()
  for identifier in pairs(touched) do
    if accounts[identifier] then
      call('HSET', key('opted_out'), identifier, accounts[identifier])
    else
      call('HDEL', key('opted_out'), identifier)
    end
  end
  for account, identifiers in pairs(members) do
    call('DEL', key('account', account))
    for identifier in pairs(identifiers) do call('SADD', key('account', account), identifier) end
  end
end

