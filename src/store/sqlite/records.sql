-- Records of all kinds (store::records).
CREATE TABLE records (
    kind       TEXT NOT NULL,
    key        TEXT NOT NULL,
    -- The stream that the record belongs to.
    stream     INTEGER REFERENCES streams (key) ON DELETE CASCADE,
    -- The record that this one belongs to, as kind/key.
    owner      TEXT,
    format     INTEGER NOT NULL,
    version    INTEGER NOT NULL,
    made_at    INTEGER NOT NULL,
    expires_at INTEGER,
    -- JSON.
    value      TEXT NOT NULL,
    PRIMARY KEY (kind, key)
) STRICT, WITHOUT ROWID;

CREATE INDEX records_of_stream ON records (stream) WHERE stream IS NOT NULL;

-- The records of an owner, the youngest of each kind first.
CREATE INDEX records_owned ON records (owner, kind, made_at DESC, key) WHERE owner IS NOT NULL;

CREATE INDEX records_unowned ON records (kind, key) WHERE owner IS NULL;

CREATE INDEX records_expiry ON records (expires_at) WHERE expires_at IS NOT NULL;

-- However a record goes, those that belong to it go with it.
CREATE TRIGGER records_owner_deleted AFTER DELETE ON records
BEGIN
    DELETE FROM records WHERE owner = old.kind || '/' || old.key;
END;

-- The last version that a record was given, or a deletion. One row.
CREATE TABLE record_versions (
    one  INTEGER PRIMARY KEY CHECK (one = 1),
    last INTEGER NOT NULL
) STRICT;

INSERT INTO record_versions (one, last) VALUES (1, 1);
