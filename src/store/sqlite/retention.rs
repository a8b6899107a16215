//! What is kept for a while goes.

use rusqlite::{Connection, OptionalExtension as _, params};

use super::row;
use crate::{
    domain::{id::ProviderName, time::Timestamp},
    store::HOLD_LIMIT,
};

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

const PAUSED: &str = "SELECT key, provider FROM streams WHERE status = 'paused'";

/// The newest event of a stream that is one too many.
const BEYOND: &str = "SELECT seq FROM outbox INDEXED BY outbox_pending
    WHERE stream = ?1 AND settled_at IS NULL AND control = 0
    ORDER BY seq DESC LIMIT 1 OFFSET ?2";

const DROP_HELD: &str = "UPDATE outbox INDEXED BY outbox_pending
    SET settled_at = ?2, reason = ?3, detail = 'the stream was paused'
    WHERE stream = ?1 AND settled_at IS NULL AND control = 0
        AND (seq <= ?4 OR appended_at < ?5)";

pub(super) fn limit_held(
    db: &Connection,
    held_max: usize,
    appended_before: Timestamp,
    now: Timestamp,
) -> rusqlite::Result<Vec<(ProviderName, usize)>> {
    let mut paused = db.prepare_cached(PAUSED)?;
    let paused = paused.query_map([], |stream| Ok((stream.get(0)?, row::text(stream, 1)?)))?;
    let mut dropped = Vec::new();
    for stream in paused.collect::<rusqlite::Result<Vec<(i64, ProviderName)>>>()? {
        let (key, provider) = stream;
        let mut beyond = db.prepare_cached(BEYOND)?;
        let beyond: Option<i64> =
            beyond.query_row(params![key, row::limit(held_max)], |row| row.get(0)).optional()?;
        let drop = params![
            key,
            now.as_millis(),
            HOLD_LIMIT,
            beyond.unwrap_or(0),
            appended_before.as_millis()
        ];
        let count = db.prepare_cached(DROP_HELD)?.execute(drop)?;
        if count != 0 {
            dropped.push((provider, count));
        }
    }
    Ok(dropped)
}
