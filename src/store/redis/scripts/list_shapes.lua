-- The shapes of complex subjects on the lists of the slot's providers: provider|names of members.
return call('HVALS', key('shapes'))
