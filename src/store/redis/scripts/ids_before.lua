-- Before when a publisher's id may come again; false if nobody said so.
return call('GET', key('ids_before'))
