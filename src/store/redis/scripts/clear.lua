-- Removes all of a kind that is in the slot.
-- ARGV: the kind.

local what = ARGV[1]
if what == 'opt_outs' then
  for _, account in ipairs(call('HVALS', key('opted_out'))) do
    call('UNLINK', key('account', account))
  end
  call('UNLINK', key('opted_out'))
elseif what == 'event_ids' then
  call('UNLINK', key('ids'), key('ids_at'))
elseif what == 'events' then
  for _, provider in ipairs(call('SMEMBERS', key('providers'))) do
    call('UNLINK', key('events_at', provider))
  end
  call('UNLINK', key('events'))
elseif what == 'positions' then
  call('UNLINK', key('positions'))
elseif what == 'marks' then
  call('UNLINK', key('ids_before'))
end
