-- Returns the version of the store's format, or nil if there is no store. An empty store gets the given
-- version.
-- ARGV: the version that is written; '' creates no store.
if ARGV[1] ~= '' then
    call('SETNX', key('version'), ARGV[1])
end
return call('GET', key('version'))
