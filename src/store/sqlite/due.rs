//! The SETs that can be pushed: the heads of lanes.

use std::collections::HashSet;

use rusqlite::{Connection, OptionalExtension as _, params};

use super::{
    lookup::TableJudge,
    outbox::{discard, least, pending_set},
    row, streams,
};
use crate::{
    delivery::outbox::{OutboxQuery, PendingSet, Seq, SetKind},
    domain::{id::StreamId, reason::Reason, time::Timestamp},
};

// The list `busy` is short, and its SETs are skipped within the index.

const FRESH: &str = "SELECT seq, jti, lane, control, claims, appended_at, attempts, due_at
    FROM outbox INDEXED BY outbox_fresh
    WHERE stream = ?1 AND settled_at IS NULL AND head = 1 AND attempts = 0 AND polled = 0
        AND control = ?2 AND seq NOT IN (SELECT value FROM json_each(?3))
    ORDER BY seq LIMIT ?4";

const RETRIES: &str = "SELECT seq, jti, lane, control, claims, appended_at, attempts, due_at
    FROM outbox INDEXED BY outbox_retries
    WHERE stream = ?1 AND settled_at IS NULL AND head = 1 AND attempts > 0 AND polled = 0
        AND control = ?2 AND due_at <= ?5 AND seq NOT IN (SELECT value FROM json_each(?3))
    ORDER BY due_at, seq LIMIT ?4";

const NEXT_RETRY: &str = "SELECT min(due_at) FROM outbox INDEXED BY outbox_retries
    WHERE stream = ?1 AND settled_at IS NULL AND head = 1 AND attempts > 0 AND polled = 0
        AND control = ?2 AND ?3 < due_at";

const HAS_CONTROL: &str = "SELECT EXISTS (
        SELECT 1 FROM outbox INDEXED BY outbox_waiting
        WHERE stream = ?1 AND settled_at IS NULL AND control > 0
    )";

/// Selects the head of the lane of an event.
const HEAD: &str = "SELECT seq, jti, lane, control, claims, appended_at, attempts, due_at
    FROM outbox INDEXED BY outbox_waiting
    WHERE stream = ?1 AND control = 0 AND lane = ?2 AND settled_at IS NULL
    ORDER BY seq LIMIT 1";

/// The SETs that were read, and those of them that must not be sent.
#[derive(Default)]
pub(super) struct DueRead {
    pub(super) sets: Vec<PendingSet>,
    pub(super) next_retry: Option<Timestamp>,
    pub(super) unwanted: Vec<Seq>,
}

pub(super) fn read(
    db: &Connection,
    id: &StreamId,
    reading: &OutboxQuery,
    now: Timestamp,
) -> rusqlite::Result<DueRead> {
    let Some(stream) = streams::key(db, id)? else { return Ok(DueRead::default()) };
    let mut heads = Heads { db, stream, busy: busy(reading), now, sets: Vec::new() };
    let mut next_retry = None;
    let least = least(db, id)?;
    // Most streams have neither a control event nor a failed one, so each is looked for only once.
    let has_control =
        db.prepare_cached(HAS_CONTROL)?.query_row([stream], |row| row.get::<_, bool>(0))?;
    let control = [SetKind::Announcement, SetKind::Control].into_iter().filter(|_| has_control);
    for kind in control.chain([SetKind::Event]) {
        let control = row::control(kind);
        if control < least {
            continue;
        }
        let (limit, retries) = match kind {
            SetKind::Event => (reading.fresh + reading.retries, reading.retries),
            SetKind::Control | SetKind::Announcement => {
                (OutboxQuery::CONTROL_MAX, OutboxQuery::CONTROL_MAX / 2)
            }
        };
        let next = heads.read(control, limit, retries)?;
        next_retry = [next_retry, next].into_iter().flatten().min();
    }
    let sets = heads.sets;
    let unwanted = match TableJudge::of(db, id, now)? {
        Some(mut judge) => judge.unwanted(&sets)?,
        None => Vec::new(),
    };
    Ok(DueRead { sets, next_retry: next_retry.map(Timestamp::from_millis), unwanted })
}

fn busy(reading: &OutboxQuery) -> String {
    let busy: Vec<i64> = reading.busy.iter().map(|seq| seq.0).collect();
    serde_json::to_string(&busy).expect("numbers are JSON")
}

struct Heads<'a> {
    db: &'a Connection,
    stream: i64,
    busy: String,
    now: Timestamp,
    sets: Vec<PendingSet>,
}

impl Heads<'_> {
    /// Reads `limit` heads, `retries` of them such as failed before if there are that many, and more
    /// only if there are not enough others. Returns when the next is due of those that failed.
    fn read(
        &mut self,
        control: i64,
        limit: usize,
        retries: usize,
    ) -> rusqlite::Result<Option<i64>> {
        let now = self.now.as_millis();
        let first = self.first_retry(control, i64::MIN)?;
        let is_due = first.is_some_and(|at| at <= now);
        let mut failed = if is_due { self.failed(control, limit)? } else { Vec::new() };
        let places = limit - failed.len().min(retries);
        let fresh = self.fresh(control, places)?;
        failed.truncate(limit - fresh.len());
        self.sets.extend(failed.into_iter().chain(fresh));
        if is_due { self.first_retry(control, now) } else { Ok(first) }
    }

    /// Returns when the first head becomes due that is not due at `after`.
    fn first_retry(&self, control: i64, after: i64) -> rusqlite::Result<Option<i64>> {
        let mut find = self.db.prepare_cached(NEXT_RETRY)?;
        find.query_row(params![self.stream, control, after], |row| row.get(0))
    }

    fn failed(&self, control: i64, limit: usize) -> rusqlite::Result<Vec<PendingSet>> {
        let mut read = self.db.prepare_cached(RETRIES)?;
        let (limit, now) = (row::limit(limit), self.now.as_millis());
        read.query_map(params![self.stream, control, self.busy, limit, now], pending_set)?.collect()
    }

    fn fresh(&self, control: i64, limit: usize) -> rusqlite::Result<Vec<PendingSet>> {
        let mut read = self.db.prepare_cached(FRESH)?;
        let limit = row::limit(limit);
        read.query_map(params![self.stream, control, self.busy, limit], pending_set)?.collect()
    }
}

/// The most SETs that one call discards, because it occupies the writer.
const DISCARDED_MAX: usize = 1000;

/// Discards heads, and the SETs behind them in their lanes as long as those must not be sent either.
/// Returns how many SETs were discarded.
pub(super) fn discard_unwanted(
    db: &Connection,
    id: &StreamId,
    unwanted: &[Seq],
    now: Timestamp,
) -> rusqlite::Result<usize> {
    let Some(stream) = streams::key(db, id)? else { return Ok(0) };
    let mut lane_of = db.prepare_cached("SELECT lane FROM outbox WHERE seq = ?1")?;
    let mut head = db.prepare_cached(HEAD)?;
    let mut unwanted = unwanted.to_vec();
    let mut discarded = 0;
    while !unwanted.is_empty() && discarded < DISCARDED_MAX {
        let mut lanes = HashSet::new();
        for seq in &unwanted {
            lanes.extend(lane_of.query_row([seq.0], |row| row.get::<_, i64>(0)).optional()?);
        }
        discarded += discard(db, &unwanted, Reason::Subject, now)?;
        let mut next = Vec::new();
        for lane in lanes {
            next.extend(head.query_row(params![stream, lane], pending_set).optional()?);
        }
        unwanted = match TableJudge::of(db, id, now)? {
            Some(mut judge) => judge.unwanted(&next)?,
            None => Vec::new(),
        };
    }
    Ok(discarded)
}

#[cfg(test)]
mod tests {
    use rusqlite::StatementStatus;
    use tempfile::TempDir;

    use super::*;
    use crate::store::sqlite::{SqliteSettings, connection, plan::plan};

    #[test]
    fn heads_are_read_in_order_without_sorting_and_nothing_else_is_passed() {
        for (sql, by) in [
            (FRESH, "outbox_fresh (stream=? AND control=?)"),
            (RETRIES, "outbox_retries (stream=? AND control=? AND due_at<?)"),
            (NEXT_RETRY, "COVERING INDEX outbox_retries (stream=? AND control=? AND due_at>?)"),
            (HAS_CONTROL, "COVERING INDEX outbox_waiting (stream=? AND control>?)"),
            (HEAD, "outbox_waiting (stream=? AND control=? AND lane=?)"),
        ] {
            let steps = plan(sql);
            assert!(steps.iter().any(|step| step.contains(by)), "{steps:?}");
            assert!(!steps.iter().any(|step| step.contains("TEMP B-TREE")), "{steps:?}");
        }
    }

    #[test]
    fn a_statement_is_planned_once_whatever_it_is_given() {
        let folder = TempDir::new().expect("a folder");
        let settings =
            SqliteSettings { path: folder.path().join("ssfd.db"), ..SqliteSettings::default() };
        let db = connection::open(&settings).expect("opens");
        for sql in [FRESH, RETRIES, NEXT_RETRY, HAS_CONTROL, HEAD] {
            let mut statement = db.prepare(sql).expect("a statement");
            for value in 0..3 {
                for parameter in 1..=statement.parameter_count() {
                    statement.raw_bind_parameter(parameter, value).expect("bound");
                }
                let mut rows = statement.raw_query();
                while rows.next().expect("it runs").is_some() {}
            }
            assert_eq!(statement.get_status(StatementStatus::RePrepare), 0, "{sql}");
        }
    }
}
