-- When each stream of the slot was last active.
return call('HGETALL', key('active'))
