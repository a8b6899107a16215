//! Events in. A step is one transaction, so that an event for many streams, which is several steps, keeps
//! the writing thread from nobody else for longer than one step takes.
//!
//! A batch that was interrupted between two steps is completed by appending it again, and no SET is doubled: a SET
//! that is there is known by its `jti`, and the position moves with the last step. An event of several
//! steps claims its publisher's id by its origin first. A publisher that brings it anew, with another
//! origin therefore, goes on under the one that began it. Once the event is in every outbox the id is
//! that of an event that is done.

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
    store::{Append, AppendBatch, Appended, Durable, Intake, Position, Step, StoreError},
};

const FORGOTTEN: &str = "SELECT coalesce(max(before), 0) FROM event_ids_forgotten";

const CLAIM: &str = "INSERT INTO event_ids (provider, event_id, at, begun_by, longer)
    VALUES (?1, ?2, ?3, ?4, ?5)
    ON CONFLICT (provider, event_id) DO UPDATE SET
        at = excluded.at, begun_by = excluded.begun_by, longer = excluded.longer
    WHERE at + longer < ?6";

const BEGUN: &str = "SELECT begun_by FROM event_ids WHERE provider = ?1 AND event_id = ?2";

const DONE: &str = "UPDATE event_ids SET at = ?3, begun_by = NULL
    WHERE provider = ?1 AND event_id = ?2";

const FIND_OPEN: &str =
    "SELECT key, endpoint IS NULL FROM streams WHERE id = ?1 AND status <> 'disabled'";

/// The SET is the head of its lane if no other SET of the lane is unsettled.
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

/// The treatment of an event.
enum Admission {
    Duplicate,
    OptedOut,
    /// Its SETs are appended; under the origin that began it, if that is another.
    Goes(Option<Origin>),
}

/// Appends one step. Returns what became of each event, and the streams that have something of it.
pub(super) fn append(
    db: &Connection,
    batch: &AppendBatch,
) -> rusqlite::Result<(Vec<Appended>, Vec<StreamId>)> {
    let now = batch.now;
    let mut outboxes = Outboxes { db, known: HashMap::new() };
    let mut appended = Vec::with_capacity(batch.events.len());
    for event in &batch.events {
        appended.push(match judge(db, event, now)? {
            Admission::Duplicate => Appended::Duplicate,
            Admission::OptedOut => Appended::OptedOut { streams: event.sets.len() },
            Admission::Goes(first) => {
                let (streams, closed) = outboxes.append(event, first.as_ref(), now)?;
                if event.step.ends() {
                    conclude(db, event, first.as_ref(), &closed, now)?;
                }
                Appended::New(streams)
            }
        });
    }
    if let Some((partition, position)) = &batch.position {
        set_position(db, partition, position)?;
    }
    Ok((appended, outboxes.into_streams()))
}

/// All SETs of an event are there.
fn conclude(
    db: &Connection,
    event: &Append,
    first: Option<&Origin>,
    closed: &[StreamId],
    now: Timestamp,
) -> rusqlite::Result<()> {
    if event.step != Step::Whole {
        finish(db, event, now)?;
    }
    ledger::record(db, event, first, closed.iter().map(|stream| (stream, Reason::Disabled)), now)
}

fn judge(db: &Connection, event: &Append, now: Timestamp) -> rusqlite::Result<Admission> {
    let mut first = None;
    if let Some(id) = &event.event_id {
        let forgotten: i64 = db.prepare_cached(FORGOTTEN)?.query_row([], |row| row.get(0))?;
        let begins = (event.step != Step::Whole).then(|| event.origin.id().into_bytes());
        let longer = row::millis(event.id_kept_longer);
        let provider = event.provider.as_str();
        let claim = params![provider, id, now.as_millis(), begins, longer, forgotten];
        if db.prepare_cached(CLAIM)?.execute(claim)? == 0 {
            let claim = params![event.provider.as_str(), id];
            let begun: Option<[u8; 16]> =
                db.prepare_cached(BEGUN)?.query_row(claim, |row| row.get(0))?;
            let Some(begun) = begun.map(Uuid::from_bytes) else { return Ok(Admission::Duplicate) };
            first = (begun != event.origin.id()).then(|| Origin::recorded(begun, None));
            if event.step == Step::Whole {
                finish(db, event, now)?;
            }
        }
    }
    if event.step.begins()
        && let Some(opt_out) = &event.opt_out
        && opt_out::judge(db, opt_out)?
    {
        if event.step != Step::Whole {
            finish(db, event, now)?;
        }
        let streams = event.sets.iter().map(|set| (&set.stream, Reason::OptedOut));
        ledger::record(db, event, first.as_ref(), streams, now)?;
        return Ok(Admission::OptedOut);
    }
    Ok(Admission::Goes(first))
}

/// The event of this id, which was begun, is done.
fn finish(db: &Connection, event: &Append, now: Timestamp) -> rusqlite::Result<()> {
    if let Some(id) = &event.event_id {
        let claim = params![event.provider.as_str(), id, now.as_millis()];
        db.prepare_cached(DONE)?.execute(claim)?;
    }
    Ok(())
}

/// The outboxes that a step asked for.
struct Outboxes<'a> {
    db: &'a Connection,
    /// `None` for a stream that takes nothing. No other call can change a stream meanwhile.
    known: HashMap<StreamId, Option<Outbox>>,
}

impl Outboxes<'_> {
    /// Appends the SETs of an event. Returns the streams that have it, and those that take nothing.
    fn append(
        &mut self,
        event: &Append,
        first: Option<&Origin>,
        now: Timestamp,
    ) -> rusqlite::Result<(Vec<StreamId>, Vec<StreamId>)> {
        let (mut streams, mut closed) = (Vec::with_capacity(event.sets.len()), Vec::new());
        for set in &event.sets {
            let Some(outbox) = self.find(&set.stream)? else {
                closed.push(set.stream.clone());
                continue;
            };
            let form = first.map(|first| set.under(first, now));
            insert(self.db, outbox, &event.provider, form.as_ref().unwrap_or(set), now)?;
            streams.push(set.stream.clone());
        }
        Ok((streams, closed))
    }

    fn find(&mut self, stream: &StreamId) -> rusqlite::Result<Option<Outbox>> {
        if let Some(known) = self.known.get(stream) {
            return Ok(*known);
        }
        let mut find = self.db.prepare_cached(FIND_OPEN)?;
        let found = find.query_row([stream.as_str()], |found| {
            Ok(Outbox { key: found.get(0)?, polled: found.get(1)? })
        });
        let found = found.optional()?;
        self.known.insert(stream.clone(), found);
        Ok(found)
    }

    /// Returns the streams that have something of the step.
    fn into_streams(self) -> Vec<StreamId> {
        self.known.into_iter().filter_map(|(stream, open)| open.map(|_| stream)).collect()
    }
}

#[async_trait]
impl Intake for SqliteStore {
    async fn append(
        &self,
        batch: AppendBatch,
        durable: Durable<'_>,
    ) -> Result<Vec<Appended>, StoreError> {
        // A position alone frees room, because reading then goes on behind it.
        if !batch.events.is_empty() {
            self.writer.check_room()?;
        }
        let step = move |db: &_| append(db, &batch);
        let (appended, streams) = self.writer.run_often(step).await?;
        durable(&streams);
        Ok(appended)
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
