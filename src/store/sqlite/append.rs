//! Events in. A batch is appended in parts, each a transaction of its own: an event for many streams
//! keeps the writing thread from nobody else for longer than one part takes. Most batches are one
//! part.
//!
//! What broke off between two parts is completed by appending the same batch again, and nothing is
//! doubled: a SET that is there is known by its `jti`, and the position moves with the last part. An
//! event that is more than one part claims its publisher's id by its origin first. Whoever brings it
//! anew, with another origin therefore, goes on under the one that began it; once it is in every outbox
//! the id is that of an event that is done.

use std::collections::HashMap;

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use uuid::Uuid;

use super::{SqliteStore, ledger, opt_out, row};
use crate::{
    delivery::outbox::NewSet,
    domain::{
        id::{ProviderName, StreamId},
        reason::Reason,
        set::Origin,
        subject::keys::SubjectKey,
        time::Timestamp,
    },
    store::{Append, AppendBatch, Appended, Durable, Intake, Position, STEP_MAX, StoreError},
};

const FORGOTTEN: &str = "SELECT coalesce(max(before), 0) FROM event_ids_forgotten";

const CLAIM: &str = "INSERT INTO event_ids (provider, event_id, at, begun_by)
    VALUES (?1, ?2, ?3, ?4)
    ON CONFLICT (provider, event_id) DO UPDATE SET at = excluded.at, begun_by = excluded.begun_by
    WHERE at < ?5";

const BEGUN: &str = "SELECT begun_by FROM event_ids WHERE provider = ?1 AND event_id = ?2";

const DONE: &str = "UPDATE event_ids SET at = ?3, begun_by = NULL
    WHERE provider = ?1 AND event_id = ?2";

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

/// A batch on its way in.
pub(super) struct Appending {
    batch: AppendBatch,
    /// What became of the events that are done.
    appended: Vec<Appended>,
    /// How far the next one is, if some of it is in.
    present: Option<Present>,
}

/// An event whose SETs are being appended.
struct Present {
    /// By which it was begun, if not by its own.
    first: Option<Origin>,
    /// Streams that have it, and such as take none.
    streams: Vec<StreamId>,
    closed: Vec<StreamId>,
}

/// What is done about an event.
enum Fate {
    Duplicate,
    OptedOut,
    Goes(Present),
}

impl Appending {
    pub(super) fn new(batch: AppendBatch) -> Self {
        let appended = Vec::with_capacity(batch.events.len());
        Self { batch, appended, present: None }
    }

    pub(super) fn is_done(&self) -> bool {
        self.appended.len() == self.batch.events.len()
    }

    pub(super) fn into_appended(self) -> Vec<Appended> {
        self.appended
    }

    /// Appends the next part. Returns the streams that have something of it.
    pub(super) fn append_part(&mut self, db: &Connection) -> rusqlite::Result<Vec<StreamId>> {
        let now = self.batch.now;
        let mut part = Part { db, now, room: STEP_MAX, outboxes: HashMap::new() };
        while let Some(event) = self.batch.events.get(self.appended.len())
            && part.has_room_for(event)
        {
            let fate = match self.present.take() {
                Some(present) => Fate::Goes(present),
                None => judge(db, event, now)?,
            };
            let appended = match fate {
                Fate::Duplicate => Appended::Duplicate,
                Fate::OptedOut => Appended::OptedOut { streams: event.sets.len() },
                Fate::Goes(mut present) => {
                    part.append(event, &mut present)?;
                    if present.sets() < event.sets.len() {
                        self.present = Some(present);
                        break;
                    }
                    present.conclude(db, event, now)?;
                    Appended::New(present.streams)
                }
            };
            self.appended.push(appended);
        }
        if self.is_done()
            && let Some((partition, position)) = &self.batch.position
        {
            set_position(db, partition, position)?;
        }
        Ok(part.streams())
    }
}

impl Present {
    /// How many of its SETs are done with.
    fn sets(&self) -> usize {
        self.streams.len() + self.closed.len()
    }

    /// All of its SETs are.
    fn conclude(&self, db: &Connection, event: &Append, now: Timestamp) -> rusqlite::Result<()> {
        if is_long(event) {
            finish(db, event, now)?;
        }
        let closed = self.closed.iter().map(|stream| (stream, Reason::Disabled));
        ledger::record(db, event, self.first.as_ref(), closed, now)
    }
}

/// Whether it is more than one part.
fn is_long(event: &Append) -> bool {
    STEP_MAX < event.sets.len()
}

fn judge(db: &Connection, event: &Append, now: Timestamp) -> rusqlite::Result<Fate> {
    let mut first = None;
    if let Some(id) = &event.event_id {
        let forgotten: i64 = db.prepare_cached(FORGOTTEN)?.query_row([], |row| row.get(0))?;
        let begins = is_long(event).then(|| event.origin.id().into_bytes());
        let claim = params![event.provider.as_str(), id, now.as_millis(), begins, forgotten];
        if db.prepare_cached(CLAIM)?.execute(claim)? == 0 {
            let claim = params![event.provider.as_str(), id];
            let begun: Option<[u8; 16]> =
                db.prepare_cached(BEGUN)?.query_row(claim, |row| row.get(0))?;
            let Some(begun) = begun.map(Uuid::from_bytes) else { return Ok(Fate::Duplicate) };
            first = (begun != event.origin.id()).then(|| Origin::recorded(begun, None));
            if !is_long(event) {
                finish(db, event, now)?;
            }
        }
    }
    if let Some(opt_out) = &event.opt_out
        && opt_out::judge(db, opt_out)?
    {
        if is_long(event) {
            finish(db, event, now)?;
        }
        let streams = event.sets.iter().map(|set| (&set.stream, Reason::OptedOut));
        ledger::record(db, event, first.as_ref(), streams, now)?;
        return Ok(Fate::OptedOut);
    }
    Ok(Fate::Goes(Present { first, streams: Vec::with_capacity(event.sets.len()), closed: vec![] }))
}

/// The event of this id, which was begun, is done.
fn finish(db: &Connection, event: &Append, now: Timestamp) -> rusqlite::Result<()> {
    if let Some(id) = &event.event_id {
        let claim = params![event.provider.as_str(), id, now.as_millis()];
        db.prepare_cached(DONE)?.execute(claim)?;
    }
    Ok(())
}

/// What is appended in one transaction.
struct Part<'a> {
    db: &'a Connection,
    now: Timestamp,
    /// For so many SETs.
    room: usize,
    /// Those that were asked for, if their streams take anything. No other call can change a stream
    /// meanwhile.
    outboxes: HashMap<StreamId, Option<Outbox>>,
}

impl Part<'_> {
    /// What does not fit has the next part for itself, or as many as it takes.
    fn has_room_for(&self, event: &Append) -> bool {
        event.sets.len().min(STEP_MAX) <= self.room
    }

    /// As many of its SETs as there is room for.
    fn append(&mut self, event: &Append, present: &mut Present) -> rusqlite::Result<()> {
        let left = &event.sets[present.sets()..];
        let sets = &left[..left.len().min(self.room)];
        self.room -= sets.len();
        for set in sets {
            let Some(outbox) = self.outbox(&set.stream)? else {
                present.closed.push(set.stream.clone());
                continue;
            };
            let form = present.first.as_ref().map(|first| set.under(first, self.now));
            insert(self.db, outbox, &event.provider, form.as_ref().unwrap_or(set), self.now)?;
            present.streams.push(set.stream.clone());
        }
        Ok(())
    }

    fn outbox(&mut self, stream: &StreamId) -> rusqlite::Result<Option<Outbox>> {
        if let Some(known) = self.outboxes.get(stream) {
            return Ok(*known);
        }
        let mut find = self.db.prepare_cached(FIND_OPEN)?;
        let found = find.query_row([stream.as_str()], |found| {
            Ok(Outbox { key: found.get(0)?, polled: found.get(1)? })
        });
        let found = found.optional()?;
        self.outboxes.insert(stream.clone(), found);
        Ok(found)
    }

    /// That have something of it.
    fn streams(self) -> Vec<StreamId> {
        self.outboxes.into_iter().filter_map(|(stream, open)| open.map(|_| stream)).collect()
    }
}

#[async_trait]
impl Intake for SqliteStore {
    async fn append(
        &self,
        batch: AppendBatch,
        durable: Durable<'_>,
    ) -> Result<Vec<Appended>, StoreError> {
        let mut appending = Appending::new(batch);
        loop {
            let part = move |db: &_| {
                let streams = appending.append_part(db)?;
                Ok((appending, streams))
            };
            let (rest, streams) = self.writer.run_often(part).await?;
            durable(&streams);
            if rest.is_done() {
                return Ok(rest.into_appended());
            }
            appending = rest;
        }
    }

    async fn opted_out(&self, accounts: Vec<SubjectKey>) -> Result<bool, StoreError> {
        self.readers.run(move |db| opt_out::is_any(db, &accounts)).await
    }

    async fn position(&self, partition: &str) -> Result<Option<Position>, StoreError> {
        let partition = partition.to_owned();
        self.readers.run(move |db| position(db, &partition)).await
    }
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
