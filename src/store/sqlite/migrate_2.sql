-- From schema version 2 to 3: clients, tokens and activity become records.

INSERT INTO records (kind, key, format, version, made_at, value)
    SELECT 'clients', id, 1, 1, created_at, json_object(
        'id', id, 'secret', secret, 'provider', provider, 'receiver', receiver,
        'audience', json(audience), 'scopes', json(scopes), 'created_at', created_at
    ) FROM clients;

INSERT INTO records (kind, key, owner, format, version, made_at, expires_at, value)
    SELECT 'tokens', hash, 'clients/' || client, 1, 1, created_at, expires_at, json_object(
        'hash', hash,
        'holder', iif(client IS NULL, json(holder), json_set(holder, '$.client', client)),
        'created_at', created_at, 'expires_at', expires_at
    ) FROM grants;

-- The greatest time stands for a stream that nobody watches, which counts as the oldest.
INSERT INTO records (kind, key, stream, format, version, made_at, value)
    SELECT 'activity', id, stream, 1, 1, iif(at = 9223372036854775807, 0, at),
        json_object('stream', id, 'at', at)
    FROM activity JOIN streams ON streams.key = activity.stream;

INSERT INTO records (kind, key, format, version, made_at, value)
    SELECT 'time_marks', 'activity_recorded', 1, 1, at,
        json_object('name', 'activity_recorded', 'at', at)
    FROM activity_recorded;

DROP TABLE grants;
DROP TABLE clients;
DROP TABLE activity;
DROP TABLE activity_recorded;
