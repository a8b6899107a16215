//! Removes what has expired, bounds what is held, and counts what waits.

use std::time::Instant;

use async_trait::async_trait;
use rusqlite::{Connection, params};

use super::{SqliteStore, outbox, row, subjects};
use crate::{
    delivery::outbox::SetKind,
    domain::{id::ProviderName, reason::Reason, time::Timestamp},
    store::{Backlog, Condition, Expiry, Maintenance, StoreError, slot::SlotSet},
};

/// The most rows of a kind that one call removes: few enough that an append behind it hardly waits.
const CHUNK: usize = 1000;

/// Goes from provider to provider, however many SETs lie between.
const NEXT_PROVIDER: &str = "SELECT min(provider) FROM outbox INDEXED BY outbox_settled
    WHERE settled_at IS NOT NULL AND ?1 < provider";

const EXPIRE_SETS: &str = "DELETE FROM outbox WHERE seq IN (
        SELECT seq FROM outbox INDEXED BY outbox_settled WHERE provider = ?1 AND settled_at < ?2
        ORDER BY settled_at LIMIT ?3
    )";

const NEXT_PROVIDER_OF_EVENTS: &str = "SELECT min(provider) FROM events WHERE ?1 < provider";

const EXPIRE_EVENTS: &str = "DELETE FROM events WHERE (provider, accepted_at, origin) IN (
        SELECT provider, accepted_at, origin FROM events WHERE provider = ?1 AND accepted_at < ?2
        ORDER BY accepted_at LIMIT ?3
    )";

const EXPIRE_IDS: &str = "DELETE FROM event_ids WHERE (provider, event_id) IN (
        SELECT provider, event_id FROM event_ids INDEXED BY event_ids_at
        WHERE at + longer < ?1 ORDER BY at + longer LIMIT ?2
    )";

const FORGET_IDS: &str = "INSERT INTO event_ids_forgotten (one, before) VALUES (1, ?1)
    ON CONFLICT (one) DO UPDATE SET before = excluded.before WHERE before < excluded.before";

#[async_trait]
impl Maintenance for SqliteStore {
    fn condition(&self, now: Instant) -> Condition {
        self.writer.condition(now)
    }

    async fn expire(&self, expiry: Expiry) -> Result<bool, StoreError> {
        self.writer.run(move |db| expire(db, &expiry)).await
    }

    async fn expire_lists(&self, now: Timestamp) -> Result<bool, StoreError> {
        self.writer.run(move |db| subjects::expire(db, now)).await
    }

    async fn limit_held(
        &self,
        held_max: usize,
        appended_before: Timestamp,
        now: Timestamp,
    ) -> Result<Vec<(ProviderName, usize)>, StoreError> {
        let limit = move |db: &_| limit_held(db, held_max, appended_before, now);
        self.writer.run(limit).await
    }

    async fn give_up_polled(
        &self,
        appended_before: Timestamp,
        now: Timestamp,
    ) -> Result<Vec<(ProviderName, usize)>, StoreError> {
        let mut given_up = Vec::new();
        let find = move |db: &_| polled_too_late(db, appended_before);
        for (stream, provider) in self.readers.run(find).await? {
            let mut total = 0;
            loop {
                let some = move |db: &_| give_up_polled(db, stream, appended_before, now);
                let count = self.writer.run(some).await?;
                total += count;
                if count == 0 {
                    break;
                }
            }
            given_up.push((provider, total));
        }
        Ok(given_up)
    }

    async fn backlog(&self) -> Result<Vec<Backlog>, StoreError> {
        self.readers.run(outbox::backlog).await
    }

    async fn forget_waits(
        &self,
        now: Timestamp,
        beyond: Timestamp,
        _: SlotSet,
    ) -> Result<usize, StoreError> {
        // Readers look first, so that the writer is left alone where nothing waits for so long.
        if !self.readers.run(move |db| outbox::waits_beyond(db, beyond)).await? {
            return Ok(0);
        }
        self.writer.run(move |db| outbox::forget_waits(db, now, beyond)).await
    }
}

pub(super) fn expire(db: &Connection, expiry: &Expiry) -> rusqlite::Result<bool> {
    let limit = row::limit(CHUNK);
    db.prepare_cached(FORGET_IDS)?.execute([expiry.ids_before.as_millis()])?;
    let useless = expiry.ids_lead_nowhere_before.as_millis();
    let mut more = db.prepare_cached(EXPIRE_IDS)?.execute(params![useless, limit])? == CHUNK;
    let mut provider = String::new();
    while let Some(next) = next_provider(db, NEXT_PROVIDER, &provider)? {
        let before = expiry.settled_before(&next).as_millis();
        let expired = db.prepare_cached(EXPIRE_SETS)?.execute(params![next, before, limit])?;
        more |= expired == CHUNK;
        provider = next;
    }
    provider.clear();
    while let Some(next) = next_provider(db, NEXT_PROVIDER_OF_EVENTS, &provider)? {
        let before = expiry.recorded_before(&next).as_millis();
        let expired = db.prepare_cached(EXPIRE_EVENTS)?.execute(params![next, before, limit])?;
        more |= expired == CHUNK;
        provider = next;
    }
    Ok(more)
}

fn next_provider(db: &Connection, sql: &str, behind: &str) -> rusqlite::Result<Option<String>> {
    db.prepare_cached(sql)?.query_row([behind], |row| row.get(0))
}

/// Leaps from stream to stream through the index of what is polled, and looks at the oldest event and the
/// oldest control event of each: one step for each stream, however many SETs wait.
const POLLED_TOO_LATE: &str = "WITH RECURSIVE waiting (stream) AS (
        SELECT min(stream) FROM outbox INDEXED BY outbox_polled
        WHERE settled_at IS NULL AND polled = 1
        UNION ALL
        SELECT (
            SELECT min(stream) FROM outbox INDEXED BY outbox_polled
            WHERE settled_at IS NULL AND polled = 1 AND waiting.stream < stream
        ) FROM waiting WHERE waiting.stream IS NOT NULL
    )
    SELECT key, provider FROM waiting CROSS JOIN streams ON key = waiting.stream
    WHERE (
        SELECT appended_at FROM outbox INDEXED BY outbox_polled
        WHERE stream = key AND settled_at IS NULL AND polled = 1 AND control = 0
        ORDER BY seq LIMIT 1
    ) < ?1 OR (
        SELECT appended_at FROM outbox INDEXED BY outbox_polled
        WHERE stream = key AND settled_at IS NULL AND polled = 1 AND control = 1
        ORDER BY seq LIMIT 1
    ) < ?1";

/// A SET with a higher number was appended later.
const GIVE_UP_POLLED: &str = "UPDATE outbox
    SET settled_at = ?2, reason = ?3, detail = 'not polled and acknowledged in time'
    WHERE appended_at < ?4 AND settled_at IS NULL AND seq IN (
        SELECT seq FROM outbox INDEXED BY outbox_polled
        WHERE stream = ?1 AND settled_at IS NULL AND polled = 1 AND control = ?5
        ORDER BY seq LIMIT ?6
    )";

fn polled_too_late(
    db: &Connection,
    appended_before: Timestamp,
) -> rusqlite::Result<Vec<(i64, ProviderName)>> {
    let mut find = db.prepare_cached(POLLED_TOO_LATE)?;
    let late = find.query_map([appended_before.as_millis()], |stream| {
        Ok((stream.get(0)?, row::text(stream, 1)?))
    })?;
    late.collect()
}

/// Gives up a bounded number of SETs of one stream, and returns the number.
fn give_up_polled(
    db: &Connection,
    stream: i64,
    appended_before: Timestamp,
    now: Timestamp,
) -> rusqlite::Result<usize> {
    let mut give_up = db.prepare_cached(GIVE_UP_POLLED)?;
    let (now, before, limit) = (now.as_millis(), appended_before.as_millis(), row::limit(CHUNK));
    let reason = Reason::Expired.label();
    [SetKind::Event, SetKind::Control]
        .map(row::control)
        .iter()
        .map(|control| give_up.execute(params![stream, now, reason, before, control, limit]))
        .sum()
}

const PAUSED: &str = "SELECT key, provider FROM streams WHERE status = 'paused'";

const HELD: &str = "SELECT count(*) FROM outbox INDEXED BY outbox_waiting
    WHERE stream = ?1 AND settled_at IS NULL AND control = 0";

/// Selects the newest event that a stream holds beyond the limit. Sorts all that the stream holds.
const BEYOND: &str = "SELECT seq FROM outbox INDEXED BY outbox_waiting
    WHERE stream = ?1 AND settled_at IS NULL AND control = 0
    ORDER BY seq DESC LIMIT 1 OFFSET ?2";

const DROP_HELD: &str = "UPDATE outbox INDEXED BY outbox_waiting
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
        let beyond = beyond(db, key, row::limit(held_max))?;
        let (now, before) = (now.as_millis(), appended_before.as_millis());
        let drop = params![key, now, Reason::HoldLimit.label(), beyond, before];
        let count = db.prepare_cached(DROP_HELD)?.execute(drop)?;
        if count != 0 {
            dropped.push((provider, count));
        }
    }
    Ok(dropped)
}

/// Returns the number of the newest event that a stream holds beyond the limit, or 0 if there is none.
fn beyond(db: &Connection, stream: i64, held_max: i64) -> rusqlite::Result<i64> {
    let held: i64 = db.prepare_cached(HELD)?.query_row([stream], |row| row.get(0))?;
    if held <= held_max {
        return Ok(0);
    }
    db.prepare_cached(BEYOND)?.query_row([stream, held_max], |row| row.get(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sqlite::plan::plan;

    #[test]
    fn what_is_old_is_found_without_what_is_not() {
        let steps = plan(EXPIRE_SETS);
        let old = "COVERING INDEX outbox_settled (provider=? AND settled_at<?)";
        assert!(steps.iter().any(|step| step.contains(old)), "{steps:?}");
        let steps = plan(EXPIRE_EVENTS);
        let old = "PRIMARY KEY (provider=? AND accepted_at<?)";
        assert!(steps.iter().any(|step| step.contains(old)), "{steps:?}");
        assert!(!steps.iter().any(|step| step.contains("SCAN events")), "{steps:?}");
        let steps = plan(POLLED_TOO_LATE);
        let mut looks = steps.iter().filter(|step| step.contains("outbox"));
        assert!(looks.all(|step| step.contains("INDEX outbox_polled")), "{steps:?}");
        let next = plan(NEXT_PROVIDER);
        assert!(next.iter().any(|step| step.contains("SEARCH")), "{next:?}");
    }
}
