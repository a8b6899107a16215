-- From now on SETs of a stream are judged by its list before they go out. Returns 0 if there is no
-- such stream, else 1.
-- ARGV: stream.

if not stream_of(ARGV[1]) then return 0 end
call('SADD', key('selective'), ARGV[1])
return 1
