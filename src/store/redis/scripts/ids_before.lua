-- Returns the time before which a publisher's id may be used again; false if there is none.
return call('GET', key('ids_before'))
