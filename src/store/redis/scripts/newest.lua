-- When the newest SET of the slot was appended; false if there was none.
return call('GET', key('newest'))
