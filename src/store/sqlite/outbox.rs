//! The outbox: settling SETs, and delivering by poll.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::{SqliteStore, due, lookup::TableJudge, row, streams};
use crate::{
    delivery::{
        lane::Lane,
        outbox::{Disposition, OutboxQuery, PendingSet, Seq, Settlement},
        poll::PollLimit,
    },
    domain::{id::StreamId, reason::Reason, time::Timestamp},
    store::{
        Acknowledged, Acknowledgement, Backlog, Due, Outbox, Polled, StoreError, Waiting,
        slot::SlotSet,
    },
};

// `INDEXED BY` fails if the index does not serve the statement. So no later version of a statement can
// scan all retained SETs without being noticed.

/// Selects the SETs that are due, unless a SET before them in their lane was handed out and is not
/// acknowledged: the Receiver would get the two in the wrong order if that one were handed out again.
const READ_DUE: &str = "SELECT seq, jti, lane, control, claims, appended_at, attempts, due_at
    FROM outbox INDEXED BY outbox_polled
    WHERE stream = (SELECT key FROM streams WHERE id = ?1) AND settled_at IS NULL AND polled = 1
        AND ?4 <= control AND due_at <= ?2
        AND (head = 1 OR control > 0 OR NOT EXISTS (
            SELECT 1 FROM outbox AS ahead INDEXED BY outbox_waiting
            WHERE ahead.stream = outbox.stream AND ahead.control = 0
                AND ahead.lane = outbox.lane AND ahead.settled_at IS NULL
                AND ahead.head = 1 AND ?2 < ahead.due_at
        ))
    ORDER BY control DESC, seq LIMIT ?3";

/// Selects the lowest kind that goes out, as a number of [`row::control`]. An enabled stream sends all.
const LEAST: &str = "SELECT iif(status = 'enabled', 0, 2) FROM streams WHERE id = ?1";

const HIDE: &str = "UPDATE outbox SET due_at = ?2 WHERE seq = ?1";

const KEY_AND_VERSION: &str = "SELECT key, version FROM streams WHERE id = ?1";

/// Without a time, the SET is due at once, like all that waited when the stream changed.
const RETRY: &str = "UPDATE outbox
    SET attempts = attempts + 1, due_at = coalesce(?3, appended_at), detail = ?4
    WHERE seq = ?1 AND stream = ?2 AND settled_at IS NULL";

const DELIVERED: &str = "UPDATE outbox SET settled_at = ?3, attempts = attempts + 1
    WHERE seq = ?1 AND stream = ?2 AND settled_at IS NULL";

const DEAD: &str = "UPDATE outbox
    SET settled_at = ?3, attempts = attempts + ?6, reason = ?4, detail = ?5
    WHERE seq = ?1 AND stream = ?2 AND settled_at IS NULL";

const ACKED: &str = "UPDATE outbox SET settled_at = ?3
    WHERE stream = ?1 AND jti = ?2 AND settled_at IS NULL
    RETURNING appended_at";

const REFUSED: &str = "UPDATE outbox SET settled_at = ?3, reason = ?4, detail = ?5
    WHERE stream = ?1 AND jti = ?2 AND settled_at IS NULL";

const DISCARD: &str = "UPDATE outbox
    SET settled_at = ?2, discarded = ?3, claims = NULL, identifiers = NULL, detail = NULL
    WHERE seq = ?1 AND settled_at IS NULL";

const NEXT_DUE: &str = "SELECT min(due_at) FROM outbox INDEXED BY outbox_polled
    WHERE stream = (SELECT key FROM streams WHERE id = ?1) AND settled_at IS NULL AND polled = 1
        AND ?2 <= control AND ?3 < due_at";

const WAITS_BEYOND: &str = "SELECT EXISTS (
        SELECT 1 FROM outbox INDEXED BY outbox_waiting WHERE settled_at IS NULL AND ?1 < due_at
    )";

const FORGET_WAITS: &str = "UPDATE outbox INDEXED BY outbox_waiting SET due_at = ?1
    WHERE settled_at IS NULL AND ?2 < due_at";

const WAITING: &str = "SELECT count(*), min(appended_at) FROM outbox INDEXED BY outbox_waiting
    WHERE stream = (SELECT key FROM streams WHERE id = ?1) AND settled_at IS NULL";

/// Leaps from stream to stream through the index of what waits: one step for each stream that has SETs,
/// however many SETs they are and however many streams have none.
const WITH_WORK: &str = "WITH RECURSIVE waiting (stream) AS (
        SELECT min(stream) FROM outbox INDEXED BY outbox_waiting WHERE settled_at IS NULL
        UNION ALL
        SELECT (
            SELECT min(stream) FROM outbox INDEXED BY outbox_waiting
            WHERE settled_at IS NULL AND waiting.stream < stream
        ) FROM waiting WHERE waiting.stream IS NOT NULL
    )
    SELECT id FROM waiting CROSS JOIN streams ON key = waiting.stream
    WHERE endpoint IS NOT NULL AND (EXISTS (
        SELECT 1 FROM outbox INDEXED BY outbox_fresh
        WHERE stream = key AND settled_at IS NULL AND head = 1 AND attempts = 0 AND polled = 0
            AND iif(status = 'enabled', 0, 2) <= control
    ) OR EXISTS (
        SELECT 1 FROM outbox INDEXED BY outbox_retries
        WHERE stream = key AND settled_at IS NULL AND head = 1 AND attempts > 0 AND polled = 0
            AND control IN (0, 1, 2) AND iif(status = 'enabled', 0, 2) <= control
            AND due_at <= ?1
    ))";

const BACKLOG: &str = "SELECT provider, sum(sets), min(oldest) FROM (
        SELECT stream, count(*) AS sets, min(appended_at) AS oldest
        FROM outbox INDEXED BY outbox_waiting WHERE settled_at IS NULL GROUP BY stream
    ) CROSS JOIN streams ON key = stream
    GROUP BY provider";

#[async_trait]
impl Outbox for SqliteStore {
    async fn read_due(
        &self,
        stream: &StreamId,
        query: OutboxQuery,
        now: Timestamp,
    ) -> Result<Due, StoreError> {
        let mut discarded = 0;
        loop {
            let (id, query) = (stream.clone(), query.clone());
            let read = move |db: &_| due::read(db, &id, &query, now);
            let due::DueRead { sets, next_retry, unwanted } = self.readers.run(read).await?;
            if unwanted.is_empty() {
                return Ok(Due { sets, next_retry, discarded, unrequested: 0 });
            }
            // Other SETs may take their places.
            let id = stream.clone();
            let discard = move |db: &_| due::discard_unwanted(db, &id, &unwanted, now);
            discarded += self.writer.run_often(discard).await?;
        }
    }

    async fn settle(
        &self,
        stream: &StreamId,
        settlements: Vec<Settlement>,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let stream = stream.clone();
        self.writer.run_patiently(move |db| settle(db, &stream, &settlements, now)).await
    }

    async fn discard(
        &self,
        _: &StreamId,
        unwanted: Vec<Seq>,
        reason: Reason,
        now: Timestamp,
    ) -> Result<usize, StoreError> {
        self.writer.run_often(move |db| discard(db, &unwanted, reason, now)).await
    }

    async fn acknowledge(
        &self,
        stream: &StreamId,
        acknowledgement: Acknowledgement,
        now: Timestamp,
    ) -> Result<Acknowledged, StoreError> {
        let stream = stream.clone();
        self.writer.run_often(move |db| acknowledge(db, &stream, &acknowledgement, now)).await
    }

    async fn take_for_poll(
        &self,
        stream: &StreamId,
        limit: PollLimit,
        now: Timestamp,
        hidden_until: Timestamp,
    ) -> Result<Polled, StoreError> {
        let stream = stream.clone();
        self.writer.run_often(move |db| take(db, &stream, limit, now, hidden_until)).await
    }

    async fn next_due(
        &self,
        stream: &StreamId,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, StoreError> {
        let stream = stream.clone();
        self.readers.run(move |db| next_due(db, &stream, now)).await
    }

    async fn streams_with_work(
        &self,
        now: Timestamp,
        _: SlotSet,
    ) -> Result<Vec<StreamId>, StoreError> {
        self.readers.run(move |db| streams_with_work(db, now)).await
    }

    async fn waiting(&self, stream: &StreamId) -> Result<Waiting, StoreError> {
        let stream = stream.clone();
        self.readers.run(move |db| waiting(db, &stream)).await
    }
}

/// Returns the lowest kind of a stream that goes out. SETs of lower kinds are held.
pub(super) fn least(db: &Connection, stream: &StreamId) -> rusqlite::Result<i64> {
    let mut find = db.prepare_cached(LEAST)?;
    let least = find.query_row([stream.as_str()], |found| found.get(0)).optional()?;
    Ok(least.unwrap_or_default())
}

/// Returns how many of them still waited.
pub(super) fn discard(
    db: &Connection,
    unwanted: &[Seq],
    reason: Reason,
    now: Timestamp,
) -> rusqlite::Result<usize> {
    let mut discard = db.prepare_cached(DISCARD)?;
    let (now, reason) = (now.as_millis(), reason.label());
    unwanted.iter().map(|seq| discard.execute(params![seq.0, now, reason])).sum()
}

/// The most SETs that one poll discards, because it occupies the writer.
const DISCARDED_MAX: usize = 1000;

pub(super) fn take(
    db: &Connection,
    stream: &StreamId,
    limit: PollLimit,
    now: Timestamp,
    hidden_until: Timestamp,
) -> rusqlite::Result<Polled> {
    let mut polled = Polled::default();
    let mut judge = TableJudge::of(db, stream, now)?;
    loop {
        polled.sets = read_due(db, stream, limit, now)?;
        let unwanted = match &mut judge {
            Some(judge) => judge.unwanted(&polled.sets)?,
            None => Vec::new(),
        };
        if unwanted.is_empty() {
            break;
        }
        polled.discarded += discard(db, &unwanted, Reason::Subject, now)?;
        if DISCARDED_MAX <= polled.discarded {
            // The next poll discards the rest.
            polled.sets.retain(|set| !unwanted.contains(&set.seq));
            polled.more = true;
            break;
        }
    }
    let fit = limit.fit(polled.sets.iter().map(|set| set.claims.len()));
    polled.more |= fit < polled.sets.len();
    polled.sets.truncate(fit);

    let mut hide = db.prepare_cached(HIDE)?;
    for set in &mut polled.sets {
        hide.execute(params![set.seq.0, hidden_until.as_millis()])?;
        set.due_at = hidden_until;
    }
    Ok(polled)
}

/// Reads the SETs within `limit`, and one more, which shows whether there are more.
fn read_due(
    db: &Connection,
    stream: &StreamId,
    limit: PollLimit,
    now: Timestamp,
) -> rusqlite::Result<Vec<PendingSet>> {
    let beyond = row::limit(limit.sets.saturating_add(1));
    let due = params![stream.as_str(), now.as_millis(), beyond, least(db, stream)?];
    let mut find = db.prepare_cached(READ_DUE)?;
    let (mut rows, mut sets, mut room) = (find.query(due)?, Vec::new(), limit.room());
    while let Some(row) = rows.next()? {
        let set = pending_set(row)?;
        let fits = room.takes(set.claims.len());
        sets.push(set);
        // Large claims must not come into memory only to be dropped.
        if !fits {
            break;
        }
    }
    Ok(sets)
}

pub(super) fn settle(
    db: &Connection,
    stream: &StreamId,
    settlements: &[Settlement],
    now: Timestamp,
) -> rusqlite::Result<bool> {
    let found = db
        .prepare_cached(KEY_AND_VERSION)?
        .query_row([stream.as_str()], |found| {
            Ok((found.get::<_, i64>(0)?, row::unsigned(found, 1)?))
        })
        .optional()?;
    let Some((stream, current)) = found else { return Ok(false) };
    let now = now.as_millis();
    let mut lane_goes_on = false;
    for Settlement { seq: Seq(seq), disposition, version } in settlements {
        let before = db.total_changes();
        match disposition {
            Disposition::Delivered => {
                db.prepare_cached(DELIVERED)?.execute(params![seq, stream, now])?
            }
            Disposition::Dead { reason, detail } => {
                let reason = reason.label();
                db.prepare_cached(DEAD)?.execute(params![seq, stream, now, reason, detail, 1])?
            }
            Disposition::GivenUp { reason, detail } => {
                let reason = reason.label();
                db.prepare_cached(DEAD)?.execute(params![seq, stream, now, reason, detail, 0])?
            }
            Disposition::RetryAt { due_at, error } => {
                let due_at = (*version == current).then(|| due_at.as_millis());
                db.prepare_cached(RETRY)?.execute(params![seq, stream, due_at, error])?
            }
        };
        // Two changes: the SET itself, and the next one, which is the head of its lane now.
        lane_goes_on |= 2 <= db.total_changes() - before;
    }
    Ok(lane_goes_on)
}

pub(super) fn acknowledge(
    db: &Connection,
    stream: &StreamId,
    acknowledgement: &Acknowledgement,
    now: Timestamp,
) -> rusqlite::Result<Acknowledged> {
    let mut met = Acknowledged::default();
    let Some(stream) = streams::key(db, stream)? else { return Ok(met) };
    let now = now.as_millis();
    let mut acked = db.prepare_cached(ACKED)?;
    for jti in &acknowledgement.acked {
        let appended_at =
            acked.query_row(params![stream, jti.as_str(), now], |row| row.get(0)).optional()?;
        met.delivered.extend(appended_at.map(Timestamp::from_millis));
    }
    let mut refused = db.prepare_cached(REFUSED)?;
    for (jti, error) in &acknowledgement.refused {
        let detail = format!("{}: {}", error.err, error.description);
        let reason = Reason::Refused(error.code).label();
        let refusal = params![stream, jti.as_str(), now, reason, detail];
        if refused.execute(refusal)? != 0 {
            met.dead.push(error.code);
        }
    }
    Ok(met)
}

pub(super) fn next_due(
    db: &Connection,
    stream: &StreamId,
    now: Timestamp,
) -> rusqlite::Result<Option<Timestamp>> {
    let mut find = db.prepare_cached(NEXT_DUE)?;
    let of = params![stream.as_str(), least(db, stream)?, now.as_millis()];
    let due_at: Option<i64> = find.query_row(of, |row| row.get(0))?;
    Ok(due_at.map(Timestamp::from_millis))
}

pub(super) fn waits_beyond(db: &Connection, beyond: Timestamp) -> rusqlite::Result<bool> {
    db.prepare_cached(WAITS_BEYOND)?.query_row([beyond.as_millis()], |found| found.get(0))
}

pub(super) fn forget_waits(
    db: &Connection,
    now: Timestamp,
    beyond: Timestamp,
) -> rusqlite::Result<usize> {
    db.prepare_cached(FORGET_WAITS)?.execute([now.as_millis(), beyond.as_millis()])
}

pub(super) fn streams_with_work(
    db: &Connection,
    now: Timestamp,
) -> rusqlite::Result<Vec<StreamId>> {
    let mut find = db.prepare_cached(WITH_WORK)?;
    find.query_map([now.as_millis()], |row| row::text(row, 0))?.collect()
}

pub(super) fn backlog(db: &Connection) -> rusqlite::Result<Vec<Backlog>> {
    let read = |row: &Row<'_>| {
        let (sets, oldest) = (row::unsigned(row, 1)?, row::time(row, 2)?);
        Ok(Backlog { provider: row::text(row, 0)?, sets, oldest: Some(oldest) })
    };
    db.prepare_cached(BACKLOG)?.query_map([], read)?.collect()
}

pub(super) fn waiting(db: &Connection, stream: &StreamId) -> rusqlite::Result<Waiting> {
    let read = |row: &Row<'_>| {
        let oldest = row.get::<_, Option<i64>>(1)?.map(Timestamp::from_millis);
        Ok(Waiting { sets: row::unsigned(row, 0)?, oldest })
    };
    db.prepare_cached(WAITING)?.query_row([stream.as_str()], read)
}

pub(super) fn pending_set(row: &Row<'_>) -> rusqlite::Result<PendingSet> {
    Ok(PendingSet {
        seq: Seq(row.get(0)?),
        jti: row::text(row, 1)?,
        lane: Lane::from_i64(row.get(2)?),
        kind: row::kind(row, 3)?,
        claims: row.get(4)?,
        appended_at: row::time(row, 5)?,
        attempts: row.get(6)?,
        due_at: row::time(row, 7)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sqlite::plan::{finds_in, plan};

    #[test]
    fn what_waits_is_counted_in_the_index_alone() {
        for sql in [NEXT_DUE, WITH_WORK, BACKLOG, WAITING, WAITS_BEYOND] {
            let steps = plan(sql);
            let mut looks = steps.iter().filter(|step| step.contains("outbox")).peekable();
            assert!(looks.peek().is_some(), "{steps:?}");
            assert!(looks.all(|s| s.contains("COVERING INDEX outbox_")), "{steps:?}");
        }
        assert!(finds_in("outbox_waiting", FORGET_WAITS));
    }

    #[test]
    fn what_is_polled_is_read_in_order_without_sorting() {
        let steps = plan(READ_DUE);
        assert!(!steps.iter().any(|step| step.contains("TEMP B-TREE")), "{steps:?}");
    }

    #[test]
    fn a_result_finds_its_set_at_once() {
        for sql in [HIDE, RETRY, DELIVERED, DEAD, DISCARD] {
            assert_eq!(plan(sql), ["SEARCH outbox USING INTEGER PRIMARY KEY (rowid=?)"]);
        }
        for sql in [ACKED, REFUSED] {
            assert_eq!(plan(sql), ["SEARCH outbox USING INDEX outbox_jti (jti=? AND stream=?)"]);
        }
    }
}
