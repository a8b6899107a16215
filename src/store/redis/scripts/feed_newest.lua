-- Returns the id of the newest entry of the change feed.
local newest = call('XREVRANGE', key('feed'), '+', '-', 'COUNT', 1)[1]
return newest and newest[1] or '0-0'
