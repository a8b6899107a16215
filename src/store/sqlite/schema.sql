-- Times are milliseconds since 1970. Lists and unions whose parts are never searched are JSON.

CREATE TABLE streams (
    -- Stands for the id in every SET; never used twice.
    key                  INTEGER PRIMARY KEY AUTOINCREMENT,
    id                   TEXT NOT NULL UNIQUE,
    provider             TEXT NOT NULL,
    receiver             TEXT NOT NULL,
    audience             TEXT NOT NULL,
    events_requested     TEXT,
    -- Null for a poll stream.
    endpoint             TEXT,
    authorization_header TEXT,
    description          TEXT,
    default_subjects     TEXT NOT NULL,
    subject_format       TEXT NOT NULL,
    -- How many entries its list of subjects has.
    listed               INTEGER NOT NULL DEFAULT 0,
    status               TEXT NOT NULL,
    reason               TEXT,
    version              INTEGER NOT NULL,
    created_at           INTEGER NOT NULL
) STRICT;

CREATE INDEX streams_owned ON streams (provider, receiver);

-- A SET waits while settled_at is null. Settled, it is dead if reason is not null, was discarded if
-- discarded is not null, and was sent otherwise.
--
-- The sequence is the rowid, one for all streams, so that an append goes to the end of the table
-- whatever its stream: keyed by (stream, seq), an event for 10,000 streams touches 10,000 pages.
-- AUTOINCREMENT, since a number that was used must not come again once the last row has gone.
CREATE TABLE outbox (
    seq         INTEGER PRIMARY KEY AUTOINCREMENT,
    -- Without a foreign key, which would need an index of all SETs of a stream: they are removed with
    -- it by those of what waits and of what has been settled.
    stream      INTEGER NOT NULL,
    -- The stream's.
    provider    TEXT NOT NULL,
    jti         TEXT NOT NULL,
    lane        INTEGER NOT NULL,
    -- Whether the SET is, or was until it was settled, the oldest waiting SET of its lane and kind: the one
    -- that may be pushed.
    head        INTEGER NOT NULL,
    -- 0 for an event, 1 for a control event, 2 for an announcement.
    control     INTEGER NOT NULL,
    -- Whether its stream delivers by poll, or did when it was settled.
    polled      INTEGER NOT NULL,
    -- Null if the SET was discarded, like the next column.
    claims      TEXT,
    -- The identifiers of the event's subject, if the claims do not have all of them.
    identifiers TEXT,
    appended_at INTEGER NOT NULL,
    -- When its event was accepted, if it was put into the outbox again later.
    accepted_at INTEGER,
    -- The jti of the SET that this one repeats under another.
    copy_of     TEXT,
    attempts    INTEGER NOT NULL DEFAULT 0,
    due_at      INTEGER NOT NULL,
    settled_at  INTEGER,
    -- The reason of a dead letter.
    reason      TEXT,
    -- The reason of a discarded SET.
    discarded   TEXT,
    -- The outcome of the last failed attempt, or the detail of a dead letter.
    detail      TEXT
) STRICT;

-- By jti first, because a jti begins with a time (domain::set): an event writes to the end of the index,
-- for however many streams it is.
CREATE UNIQUE INDEX outbox_jti ON outbox (jti, stream);

-- All that waits, and what comes next in a lane. The last three columns spare the look into the table
-- where no others are named; settled_at is always null here.
CREATE INDEX outbox_waiting ON outbox (stream, control, lane, seq, due_at, appended_at, settled_at)
    WHERE settled_at IS NULL;

-- The SETs that can be pushed: heads that were never tried, and those that are tried again when they are due.
-- What waits behind a head is in neither, so that reading costs as much as is read, however much
-- waits. The last columns are as above.
CREATE INDEX outbox_fresh ON outbox (stream, control, seq, settled_at, head, attempts, polled)
    WHERE settled_at IS NULL AND head = 1 AND attempts = 0 AND polled = 0;

CREATE INDEX outbox_retries
    ON outbox (stream, control, due_at, seq, settled_at, head, attempts, polled)
    WHERE settled_at IS NULL AND head = 1 AND attempts > 0 AND polled = 0;

-- The SETs that a poll can return, in order. Each SET that waits is in this index or is pushed: with an
-- index more to write, an event would cost a page more for each stream that has a backlog.
CREATE INDEX outbox_polled ON outbox (stream, control DESC, seq, due_at, settled_at, polled)
    WHERE settled_at IS NULL AND polled = 1;

CREATE TRIGGER outbox_delivery_changed AFTER UPDATE OF endpoint ON streams
    WHEN (old.endpoint IS NULL) <> (new.endpoint IS NULL)
BEGIN
    UPDATE outbox SET polled = new.endpoint IS NULL WHERE seq IN (
        SELECT seq FROM outbox INDEXED BY outbox_waiting
        WHERE stream = new.key AND settled_at IS NULL
    );
END;

-- However a head leaves, the next one of its lane is the head.
CREATE TRIGGER outbox_head_settled AFTER UPDATE OF settled_at ON outbox
    WHEN old.head = 1 AND old.settled_at IS NULL AND new.settled_at IS NOT NULL
BEGIN
    UPDATE outbox SET head = 1 WHERE seq = (
        SELECT seq FROM outbox INDEXED BY outbox_waiting
        WHERE stream = old.stream AND control = old.control AND lane = old.lane
            AND settled_at IS NULL
        ORDER BY seq LIMIT 1
    );
END;

CREATE TRIGGER outbox_head_discarded AFTER DELETE ON outbox
    WHEN old.head = 1 AND old.settled_at IS NULL
BEGIN
    UPDATE outbox SET head = 1 WHERE seq = (
        SELECT seq FROM outbox INDEXED BY outbox_waiting
        WHERE stream = old.stream AND control = old.control AND lane = old.lane
            AND settled_at IS NULL
        ORDER BY seq LIMIT 1
    );
END;

-- The settled SETs by provider, because each provider has its own retention.
CREATE INDEX outbox_settled ON outbox (provider, settled_at) WHERE settled_at IS NOT NULL;

-- The SETs of a stream that can be replayed, in order: those that were not discarded.
CREATE INDEX outbox_history ON outbox (stream, discarded, seq) WHERE settled_at IS NOT NULL;

-- Dead letters, in the order in which they are listed; the last column is for counting them.
CREATE INDEX outbox_dead ON outbox (provider, stream, seq, reason) WHERE reason IS NOT NULL;

CREATE INDEX outbox_copies ON outbox (stream, copy_of) WHERE copy_of IS NOT NULL;

-- Publishers' ids of events. By them duplicates are known, and events are found. They are kept for as long
-- as the events; whether an id still makes a duplicate is another question.
CREATE TABLE event_ids (
    provider TEXT NOT NULL,
    event_id TEXT NOT NULL,
    at       INTEGER NOT NULL,
    -- The origin of its event, until that is in every outbox.
    begun_by BLOB,
    -- By how many milliseconds longer than others the id is remembered.
    longer   INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (provider, event_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX event_ids_at ON event_ids (at + longer);

-- Ids before this time may be used again. One row.
CREATE TABLE event_ids_forgotten (
    one    INTEGER PRIMARY KEY CHECK (one = 1),
    before INTEGER NOT NULL
) STRICT;

-- The accepted events, by which events are traced. The SETs of an event are found by the jtis that derive
-- from its origin, so neither names the other. Clustered by time: a new event goes to the end of its
-- provider's.
CREATE TABLE events (
    provider    TEXT NOT NULL,
    accepted_at INTEGER NOT NULL,
    origin      BLOB NOT NULL,
    event_id    TEXT,
    type        TEXT NOT NULL,
    -- Null if it derives from the origin.
    txn         TEXT,
    -- The entry that the event was read from; null if it came by HTTP.
    place       TEXT,
    -- The streams that its publisher narrowed it to, if it did.
    stream_ids  TEXT,
    -- Streams that asked for its type and did not get it, and why.
    withheld    TEXT,
    PRIMARY KEY (provider, accepted_at, origin)
) STRICT, WITHOUT ROWID;

CREATE TABLE positions (
    partition TEXT PRIMARY KEY,
    epoch     INTEGER NOT NULL,
    entry     TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Accounts that opted out of RISC, as keys (domain::subject::keys): a row for each identifier.
CREATE TABLE opted_out (
    filed    BLOB PRIMARY KEY,
    -- The same for all identifiers of one account: one of them.
    account  BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX opted_out_account ON opted_out (account);

-- The streams' lists of subjects, as keys (domain::subject::keys). An entry has a row for each key
-- that it is filed under, one of them with filed = entry.
CREATE TABLE subjects (
    filed  BLOB NOT NULL,
    stream INTEGER NOT NULL REFERENCES streams (key) ON DELETE CASCADE,
    entry  BLOB NOT NULL,
    -- The entry holds from since until before until.
    since  INTEGER NOT NULL,
    until  INTEGER,
    PRIMARY KEY (filed, stream, entry)
) STRICT, WITHOUT ROWID;

CREATE INDEX subjects_of_stream ON subjects (stream);

CREATE INDEX subjects_until ON subjects (until) WHERE until IS NOT NULL;

-- The members of the complex subjects on any list, by the key under which such subjects are filed.
CREATE TABLE subject_shapes (
    filed    BLOB PRIMARY KEY,
    provider TEXT NOT NULL,
    shape    TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX subject_shapes_of_provider ON subject_shapes (provider);
