-- Streams whose list is not empty.
return call('HKEYS', key('listed'))
