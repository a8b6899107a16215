//! Events in.

use std::collections::{HashMap, hash_map::Entry};

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::{ledger, opt_out, row};
use crate::{
    delivery::outbox::NewSet,
    domain::{id::ProviderName, time::Timestamp},
    store::{AppendBatch, Appended, DISABLED, OPTED_OUT, Position},
};

const FORGOTTEN: &str = "SELECT coalesce(max(before), 0) FROM event_ids_forgotten";

const REMEMBER_ID: &str = "INSERT INTO event_ids (provider, event_id, at) VALUES (?1, ?2, ?3)
    ON CONFLICT (provider, event_id) DO UPDATE SET at = excluded.at WHERE at < ?4";

const FIND_OPEN: &str =
    "SELECT key, endpoint IS NULL FROM streams WHERE id = ?1 AND status <> 'disabled'";

/// It is the head of its lane if nothing of that waits.
const INSERT: &str = "INSERT INTO outbox (stream, jti, lane, control, claims, identifiers,
        appended_at, due_at, provider, polled, head)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7, ?8, ?9, NOT EXISTS (
        SELECT 1 FROM outbox INDEXED BY outbox_waiting
        WHERE stream = ?1 AND control = ?4 AND lane = ?3 AND settled_at IS NULL
    ))
    ON CONFLICT (jti, stream) DO NOTHING";

const MOVE: &str = "INSERT INTO positions (partition, epoch, entry) VALUES (?1, ?2, ?3)
    ON CONFLICT (partition) DO UPDATE SET epoch = excluded.epoch, entry = excluded.entry";

const POSITION: &str = "SELECT epoch, entry FROM positions WHERE partition = ?1";

pub(super) fn append(db: &Connection, batch: &AppendBatch) -> rusqlite::Result<Vec<Appended>> {
    let mut remember_id = db.prepare_cached(REMEMBER_ID)?;
    let mut find_open = db.prepare_cached(FIND_OPEN)?;
    let now = batch.now.as_millis();
    let forgotten: i64 = db.prepare_cached(FORGOTTEN)?.query_row([], |row| row.get(0))?;
    // Good for this call only: no other one can change a stream meanwhile.
    let mut open_streams = HashMap::new();
    let mut appended = Vec::with_capacity(batch.events.len());
    for event in &batch.events {
        if let Some(id) = &event.event_id
            && remember_id.execute(params![event.provider.as_str(), id, now, forgotten])? == 0
        {
            appended.push(Appended::Duplicate);
            continue;
        }
        if let Some(opt_out) = &event.opt_out
            && opt_out::judge(db, opt_out)?
        {
            let streams = event.sets.iter().map(|set| (&set.stream, OPTED_OUT));
            ledger::record(db, event, streams, batch.now)?;
            appended.push(Appended::OptedOut { streams: event.sets.len() });
            continue;
        }
        let mut streams = Vec::with_capacity(event.sets.len());
        let mut closed = Vec::new();
        for set in &event.sets {
            let open = match open_streams.entry(&set.stream) {
                Entry::Occupied(known) => *known.get(),
                Entry::Vacant(unknown) => {
                    let found = find_open.query_row([set.stream.as_str()], |found| {
                        Ok(Outbox { key: found.get(0)?, polled: found.get(1)? })
                    });
                    *unknown.insert(found.optional()?)
                }
            };
            let Some(outbox) = open else {
                closed.push((&set.stream, DISABLED));
                continue;
            };
            insert(db, outbox, &event.provider, set, batch.now)?;
            streams.push(set.stream.clone());
        }
        ledger::record(db, event, closed, batch.now)?;
        appended.push(Appended::New(streams));
    }
    if let Some((partition, position)) = &batch.position {
        set_position(db, partition, position)?;
    }
    Ok(appended)
}

pub(super) fn set_position(
    db: &Connection,
    partition: &str,
    Position { epoch, entry }: &Position,
) -> rusqlite::Result<()> {
    db.prepare_cached(MOVE)?.execute(params![partition, epoch, entry.to_string()])?;
    Ok(())
}

/// Where the SETs of one stream go.
#[derive(Clone, Copy)]
pub(super) struct Outbox {
    /// The stream's.
    pub(super) key: i64,
    /// Whether they go out by poll.
    pub(super) polled: bool,
}

/// Unless the outbox has a SET of this `jti`.
pub(super) fn insert(
    db: &Connection,
    outbox: Outbox,
    provider: &ProviderName,
    set: &NewSet,
    now: Timestamp,
) -> rusqlite::Result<()> {
    db.prepare_cached(INSERT)?.execute(params![
        outbox.key,
        set.jti.as_str(),
        set.lane.as_i64(),
        row::control(set.kind),
        &*set.claims,
        set.identifiers.as_deref(),
        now.as_millis(),
        provider.as_str(),
        outbox.polled,
    ])?;
    Ok(())
}

pub(super) fn position(db: &Connection, partition: &str) -> rusqlite::Result<Option<Position>> {
    db.prepare_cached(POSITION)?.query_row([partition], read_position).optional()
}

/// From the columns `epoch` and `entry`, the first two.
pub(super) fn read_position(found: &Row<'_>) -> rusqlite::Result<Position> {
    let entry = found.get_ref(1)?.as_str()?.parse();
    let entry = entry.map_err(|error: std::num::ParseIntError| row::unreadable(1, error))?;
    Ok(Position { epoch: found.get(0)?, entry })
}
