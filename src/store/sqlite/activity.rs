//! When streams were last active.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::{SqliteStore, row};
use crate::{
    domain::{id::StreamId, time::Timestamp},
    store::{Activity, ActivityRecord, StoreError},
};

const ACTIVE: &str = "INSERT INTO activity (stream, at)
    SELECT key, ?2 FROM streams WHERE id = ?1
    ON CONFLICT (stream) DO UPDATE SET at = excluded.at";

const RECORDED: &str = "INSERT INTO activity_recorded (one, at) VALUES (1, ?1)
    ON CONFLICT (one) DO UPDATE SET at = excluded.at";

const ALL: &str = "SELECT id, at FROM activity JOIN streams ON key = stream";

#[async_trait]
impl Activity for SqliteStore {
    async fn record_activity(
        &self,
        last: Vec<(StreamId, Timestamp)>,
        recorded_at: Option<Timestamp>,
    ) -> Result<(), StoreError> {
        self.writer.run(move |db| record(db, &last, recorded_at)).await
    }

    async fn activity(&self) -> Result<ActivityRecord, StoreError> {
        self.readers.run(all).await
    }
}

pub(super) fn record(
    db: &Connection,
    last: &[(StreamId, Timestamp)],
    recorded_at: Option<Timestamp>,
) -> rusqlite::Result<()> {
    let mut active = db.prepare_cached(ACTIVE)?;
    for (stream, at) in last {
        active.execute(params![stream.as_str(), at.as_millis()])?;
    }
    if let Some(at) = recorded_at {
        db.prepare_cached(RECORDED)?.execute([at.as_millis()])?;
    }
    Ok(())
}

pub(super) fn recorded_at(db: &Connection) -> rusqlite::Result<Option<Timestamp>> {
    let mut recorded = db.prepare_cached("SELECT at FROM activity_recorded")?;
    recorded.query_row([], |found| row::time(found, 0)).optional()
}

pub(super) fn all(db: &Connection) -> rusqlite::Result<ActivityRecord> {
    let recorded_at = recorded_at(db)?;
    let mut all = db.prepare_cached(ALL)?;
    let last = all.query_map([], |found| Ok((row::text(found, 0)?, row::time(found, 1)?)))?;
    Ok(ActivityRecord { last: last.collect::<rusqlite::Result<_>>()?, recorded_at })
}
