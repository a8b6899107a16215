-- Streams of the slot with dead letters, as provider|stream, in order.
-- ARGV: two bounds, the most.
return call('ZRANGEBYLEX', key('dead'), ARGV[1], ARGV[2], 'LIMIT', 0, ARGV[3])
