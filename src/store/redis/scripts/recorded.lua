-- Until when all activity is recorded, or false.
return call('GET', key('activity_recorded'))
