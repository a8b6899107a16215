-- Marks a stream whose SETs are judged by its list before they are sent from now on. Returns 0 if there is no
-- such stream, else 1.
-- ARGV: stream.

if not stream_of(ARGV[1]) then return 0 end
call('SADD', key('selective'), ARGV[1])
return 1
