//! The commands on the daemon's own tables, with the daemon's durability.

use std::ops::Range;

use rusqlite::{Connection, params};
use tempfile::TempDir;

use super::jti;
use crate::support::TYPE;

pub(super) struct BareSqlite {
    db: Connection,
    _folder: TempDir,
}

const DURABLE: &str = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
    PRAGMA wal_autocheckpoint = 4096;";

const STREAM: &str =
    "INSERT INTO streams (id, provider, receiver, audience, default_subjects, subject_format,
        status, version, created_at)
    VALUES ('st_1', 'default', 'rx', '', '', '', 'enabled', 1, 0)";

const INSERT: &str = "INSERT INTO outbox (stream, jti, lane, control, claims, appended_at, due_at,
        provider, polled, head)
    VALUES (1, ?1, ?2, 0, ?3, 0, 0, 'default', 0, 1)";

const RECORD: &str = "INSERT INTO events (provider, accepted_at, origin, type, place)
    VALUES ('default', 0, ?1, ?2, ?3)";

const READ: &str = "SELECT seq, jti, lane, control, claims, appended_at, attempts, due_at
    FROM outbox INDEXED BY outbox_fresh
    WHERE stream = 1 AND settled_at IS NULL AND control = 0 AND head = 1 AND attempts = 0
        AND polled = 0
    ORDER BY seq LIMIT ?1";

const SETTLE: &str = "UPDATE outbox SET settled_at = 1, attempts = attempts + 1 WHERE seq = ?1";

impl BareSqlite {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let db = Connection::open(folder.path().join("bare.db")).expect("opens");
        let schema = include_str!("../../../src/store/sqlite/schema.sql");
        for sql in [DURABLE, schema, STREAM] {
            db.execute_batch(sql).expect("done");
        }
        Self { db, _folder: folder }
    }

    pub(super) fn keep(&self, sets: Range<u32>, claims: &str) -> rusqlite::Result<()> {
        self.db.execute_batch("BEGIN IMMEDIATE")?;
        let mut insert = self.db.prepare_cached(INSERT)?;
        let mut record = self.db.prepare_cached(RECORD)?;
        for n in sets {
            insert.execute(params![format!("{:032x}", jti(n)), n, claims])?;
            let place = format!("ssf:events:default/0/1700000000000-{n}");
            record.execute(params![jti(n).to_be_bytes(), TYPE, place])?;
        }
        self.db.execute_batch("COMMIT")
    }

    pub(super) fn settle(&self, sets: u32) -> rusqlite::Result<()> {
        let mut read = self.db.prepare_cached(READ)?;
        let read = read.query_map([sets], |row| {
            let (_jti, _claims): (String, String) = (row.get(1)?, row.get(4)?);
            row.get(0)
        });
        let read: Vec<i64> = read?.collect::<Result<_, _>>()?;
        self.db.execute_batch("BEGIN IMMEDIATE")?;
        let mut settle = self.db.prepare_cached(SETTLE)?;
        for seq in read {
            settle.execute([seq])?;
        }
        self.db.execute_batch("COMMIT")
    }
}
