//! What is kept for a while goes.

use rusqlite::{Connection, params};

use crate::domain::time::Timestamp;

/// The most rows of a kind that go in one call: few enough that an append behind it hardly waits.
const CHUNK: u32 = 1000;

const EXPIRE_SETS: &str = "DELETE FROM outbox WHERE seq IN (
        SELECT seq FROM outbox INDEXED BY outbox_settled WHERE settled_at < ?1
        ORDER BY settled_at LIMIT ?2
    )";

const EXPIRE_IDS: &str = "DELETE FROM event_ids WHERE (provider, event_id) IN (
        SELECT provider, event_id FROM event_ids INDEXED BY event_ids_at WHERE at < ?1
        ORDER BY at LIMIT ?2
    )";

const MORE: &str = "SELECT
    EXISTS (SELECT 1 FROM outbox INDEXED BY outbox_settled WHERE settled_at < ?1)
    OR EXISTS (SELECT 1 FROM event_ids INDEXED BY event_ids_at WHERE at < ?2)";

pub(super) fn expire(
    db: &Connection,
    settled_before: Timestamp,
    ids_before: Timestamp,
) -> rusqlite::Result<bool> {
    let (settled_before, ids_before) = (settled_before.as_millis(), ids_before.as_millis());
    db.prepare_cached(EXPIRE_SETS)?.execute(params![settled_before, CHUNK])?;
    db.prepare_cached(EXPIRE_IDS)?.execute(params![ids_before, CHUNK])?;
    db.prepare_cached(MORE)?.query_row(params![settled_before, ids_before], |row| row.get(0))
}
