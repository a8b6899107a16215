-- All clients: id and record of each.
return call('HGETALL', key('clients'))
