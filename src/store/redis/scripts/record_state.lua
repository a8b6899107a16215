-- The last version of the records in these keys, or false.
return call('GET', key('record_version'))
