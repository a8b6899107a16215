-- All streams of the slot: id and record of each.
return call('HGETALL', key('streams'))
