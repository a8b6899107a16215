-- Removes a token. Returns 0 if there is none, else 1.
-- ARGV: hash.
return remove_grant(ARGV[1])
