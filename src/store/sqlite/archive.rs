//! Settled SETs: dead letters and sent SETs, and putting them into the outbox again.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension as _, Params, Row, params};

use super::{SqliteStore, row, streams};
use crate::{
    delivery::outbox::Seq,
    domain::{
        id::{Jti, StreamId},
        time::Timestamp,
    },
    store::{
        StoreError,
        archive::{
            Archive, DeadCount, DeadFilter, KeptSet, Page, PageToken, Requeue, SetState, Since,
        },
    },
};

/// The most SETs that one call looks at.
const SCAN_MAX: usize = 10_000;

/// A page ends with the SET whose claims bring the claims of the page to this number of bytes.
const PAGE_BYTES_MAX: usize = 8 << 20;

/// How far the clock may have been set back without a SET being missed that was accepted before.
const CLOCK_SLACK_MILLIS: i64 = 3_600_000;

macro_rules! select_kept {
    ($from_and_where:literal) => {
        select_kept!("claims", $from_and_where)
    };
    ($claims:literal, $from_and_where:literal) => {
        concat!(
            "SELECT seq, id, o.provider, jti, ",
            $claims,
            ", appended_at, accepted_at, attempts, due_at,
                settled_at, o.reason, discarded, detail, copy_of, stream, control ",
            $from_and_where
        )
    };
}

/// Selects the dead letters of the providers after a given one.
const DEAD: &str = select_kept!(
    "FROM outbox o INDEXED BY outbox_dead CROSS JOIN streams ON key = stream
    WHERE o.reason IS NOT NULL AND ?1 < o.provider AND seq <= ?2
    ORDER BY o.provider, stream, seq"
);

/// Selects the dead letters of a provider in the streams after a given one.
const DEAD_OF_PROVIDER: &str = select_kept!(
    "FROM outbox o INDEXED BY outbox_dead CROSS JOIN streams ON key = stream
    WHERE o.reason IS NOT NULL AND o.provider = ?1 AND ?2 < stream AND seq <= ?3
    ORDER BY stream, seq"
);

const DEAD_OF_STREAM: &str = select_kept!(
    "FROM outbox o INDEXED BY outbox_dead CROSS JOIN streams ON key = stream
    WHERE o.reason IS NOT NULL AND o.provider = ?1 AND stream = ?2 AND ?3 < seq AND seq <= ?4
    ORDER BY seq"
);

const RETAINED: &str = select_kept!(
    "FROM outbox o INDEXED BY outbox_history CROSS JOIN streams ON key = stream
    WHERE settled_at IS NOT NULL AND discarded IS NULL AND stream = ?1 AND ?2 < seq AND seq <= ?3
        AND control = 0 AND copy_of IS NULL
    ORDER BY seq"
);

const OF_JTI: &str = select_kept!(
    "FROM outbox o INDEXED BY outbox_jti CROSS JOIN streams ON key = stream
    WHERE jti = ?1
    ORDER BY stream"
);

const KEPT: &str = select_kept!(
    "NULL",
    "FROM outbox o INDEXED BY outbox_jti CROSS JOIN streams ON key = stream
    WHERE jti = ?2 AND stream = ?1"
);

const COPIES: &str = select_kept!(
    "NULL",
    "FROM outbox o INDEXED BY outbox_copies CROSS JOIN streams ON key = stream
    WHERE stream = ?1 AND copy_of = ?2
    ORDER BY seq"
);

/// Selects the highest number that was ever given.
const LAST: &str = "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'outbox'";

const APPENDED_AT: &str = "SELECT seq, appended_at FROM outbox INDEXED BY outbox_history
    WHERE settled_at IS NOT NULL AND discarded IS NULL AND stream = ?1 AND ?2 <= seq
    ORDER BY seq LIMIT 1";

const OPEN: &str = "SELECT key FROM streams WHERE id = ?1 AND status <> 'disabled'";

/// Moves a SET to the end of the outbox by giving its row another number, so that all other columns stay.
/// The SET is the head of its lane if no other SET of the lane waits.
const REQUEUE: &str = "UPDATE outbox
    SET seq = ?3, head = NOT EXISTS (
            SELECT 1 FROM outbox w INDEXED BY outbox_waiting
            WHERE w.stream = outbox.stream AND w.control = outbox.control
                AND w.lane = outbox.lane AND w.settled_at IS NULL
        ), polled = (SELECT endpoint IS NULL FROM streams WHERE key = ?2), accepted_at = coalesce(accepted_at, appended_at), appended_at = ?4, due_at = ?4,
        attempts = 0, settled_at = NULL, reason = NULL, detail = NULL
    WHERE seq = ?1 AND stream = ?2 AND control = 0
        AND settled_at IS NOT NULL AND discarded IS NULL";

/// Moves the sequence behind the numbers that were given by hand.
const CHOSEN: &str = "UPDATE sqlite_sequence SET seq = ?1 WHERE name = 'outbox' AND seq < ?1";

const COPY: &str = "INSERT INTO outbox (stream, provider, lane, control, identifiers, accepted_at,
        jti, claims, copy_of, appended_at, due_at, polled, head)
    SELECT stream, provider, lane, control, identifiers, coalesce(accepted_at, appended_at),
        ?3, ?4, jti, ?5, ?5, (SELECT endpoint IS NULL FROM streams WHERE key = ?2),
        NOT EXISTS (
            SELECT 1 FROM outbox w INDEXED BY outbox_waiting
            WHERE w.stream = o.stream AND w.control = o.control AND w.lane = o.lane
                AND w.settled_at IS NULL
        )
    FROM outbox o
    WHERE seq = ?1 AND stream = ?2 AND control = 0
        AND settled_at IS NOT NULL AND discarded IS NULL
    ON CONFLICT (jti, stream) DO NOTHING";

const PURGE: &str = "DELETE FROM outbox
    WHERE seq = ?1 AND stream = ?2 AND reason IS NOT NULL";

const COUNTS: &str = "SELECT provider, reason, count(*) FROM outbox INDEXED BY outbox_dead
    WHERE reason IS NOT NULL GROUP BY provider, reason";

/// The place where a page ended.
#[derive(Debug, Clone, Default)]
struct PlaceInTable {
    /// The last number at the time of the first page.
    up_to: i64,
    seq: i64,
    stream: i64,
    provider: String,
}

impl PlaceInTable {
    fn of(token: Option<&PageToken>, db: &Connection) -> Result<Self, StoreError> {
        let Some(PageToken(raw)) = token else {
            return Ok(Self { up_to: last(db)?, ..Self::default() });
        };
        let mut parts = raw.splitn(4, '.');
        let mut number = || parts.next().and_then(|part| part.parse().ok());
        match (number(), number(), number(), parts.next()) {
            (Some(up_to), Some(seq), Some(stream), Some(provider)) => {
                Ok(Self { up_to, seq, stream, provider: provider.to_owned() })
            }
            _ => Err(StoreError::NoSuchPage),
        }
    }

    fn token(&self) -> PageToken {
        let Self { up_to, seq, stream, provider } = self;
        PageToken(format!("{up_to}.{seq}.{stream}.{provider}"))
    }
}

/// A page that is being filled.
struct Paging<'a> {
    db: &'a Connection,
    limit: usize,
    scanned: usize,
    bytes: usize,
    sets: Vec<KeptSet>,
    place: PlaceInTable,
}

impl<'a> Paging<'a> {
    fn new(db: &'a Connection, place: PlaceInTable, limit: usize) -> Self {
        Self { db, limit, scanned: 0, bytes: 0, sets: Vec::new(), place }
    }

    fn is_over(&self) -> bool {
        self.limit <= self.sets.len() || SCAN_MAX <= self.scanned || PAGE_BYTES_MAX <= self.bytes
    }

    /// Reads rows until the page is full or there are no more rows.
    fn walk(
        &mut self,
        sql: &str,
        params: impl Params,
        wanted: impl Fn(&KeptSet) -> bool,
    ) -> rusqlite::Result<()> {
        let mut select = self.db.prepare_cached(sql)?;
        let mut rows = select.query(params)?;
        while !self.is_over()
            && let Some(row) = rows.next()?
        {
            let set = kept_set(row)?;
            self.scanned += 1;
            self.place.seq = set.seq.0;
            self.place.stream = row.get(14)?;
            self.place.provider = set.provider.to_string();
            if wanted(&set) {
                self.bytes += set.claims.as_ref().map_or(0, |claims| claims.len());
                self.sets.push(set);
            }
        }
        Ok(())
    }

    /// Nothing may be left behind a page that is over, which the next one then tells.
    fn end(self) -> Page {
        let next = self.is_over().then(|| self.place.token());
        Page { sets: self.sets, next }
    }
}

#[async_trait]
impl Archive for SqliteStore {
    async fn dead_letters(
        &self,
        filter: DeadFilter,
        after: Option<PageToken>,
        limit: usize,
    ) -> Result<Page, StoreError> {
        self.readers.run(move |db| dead_letters(db, &filter, after.as_ref(), limit)).await
    }

    async fn retained(
        &self,
        stream: &StreamId,
        since: Since,
        after: Option<PageToken>,
        limit: usize,
    ) -> Result<Page, StoreError> {
        let stream = stream.clone();
        let read = move |db: &_| retained(db, &stream, since, after.as_ref(), limit);
        self.readers.run(read).await
    }

    async fn requeue(
        &self,
        stream: &StreamId,
        sets: Vec<Requeue>,
        now: Timestamp,
    ) -> Result<usize, StoreError> {
        let stream = stream.clone();
        self.writer.run(move |db| requeue(db, &stream, &sets, now)).await
    }

    async fn purge(&self, stream: &StreamId, sets: Vec<Seq>) -> Result<usize, StoreError> {
        let stream = stream.clone();
        self.writer.run(move |db| purge(db, &stream, &sets)).await
    }

    async fn dead_counts(&self) -> Result<Vec<DeadCount>, StoreError> {
        self.readers.run(counts).await
    }

    async fn sets_of_jti(&self, jti: &Jti) -> Result<Vec<KeptSet>, StoreError> {
        let jti = jti.clone();
        self.readers.run(move |db| of_jti(db, &jti)).await
    }

    async fn kept_sets(&self, sets: Vec<(StreamId, Jti)>) -> Result<Vec<KeptSet>, StoreError> {
        self.readers.run(move |db| of_jtis(db, &sets)).await
    }
}

pub(super) fn dead_letters(
    db: &Connection,
    filter: &DeadFilter,
    after: Option<&PageToken>,
    limit: usize,
) -> Result<Page, StoreError> {
    if let Some(jti) = &filter.jti {
        let mut sets = of_jti(db, jti)?;
        sets.retain(|set| filter.means(set));
        return Ok(Page { sets, next: None });
    }
    let mut place = PlaceInTable::of(after, db)?;
    match (&filter.stream, &filter.provider) {
        (Some(stream), _) => match find(db, stream)? {
            Some((key, provider)) => (place.stream, place.provider) = (key, provider),
            None => return Ok(Page { sets: Vec::new(), next: None }),
        },
        (None, Some(provider)) => place.provider = provider.to_string(),
        (None, None) => {}
    }
    let PlaceInTable { up_to, seq, stream, provider } = place.clone();
    let wanted = |set: &KeptSet| filter.means(set);
    let mut page = Paging::new(db, place, limit);
    // The rest of where the last page ended, then what lies behind.
    page.walk(DEAD_OF_STREAM, params![provider, stream, seq, up_to], wanted)?;
    if filter.stream.is_none() {
        page.walk(DEAD_OF_PROVIDER, params![provider, stream, up_to], wanted)?;
    }
    if filter.stream.is_none() && filter.provider.is_none() {
        page.walk(DEAD, params![provider, up_to], wanted)?;
    }
    Ok(page.end())
}

pub(super) fn retained(
    db: &Connection,
    stream: &StreamId,
    since: Since,
    after: Option<&PageToken>,
    limit: usize,
) -> Result<Page, StoreError> {
    let Some(key) = streams::key(db, stream)? else {
        return Ok(Page { sets: Vec::new(), next: None });
    };
    let mut place = PlaceInTable::of(after, db)?;
    if after.is_none() {
        let first = first_appended(db, key, since.accepted_at.as_millis(), place.up_to)?;
        place.seq = first.max(since.seq.0).saturating_sub(1);
    }
    let of_stream = params![key, place.seq, place.up_to];
    let mut page = Paging::new(db, place.clone(), limit);
    page.walk(RETAINED, of_stream, |set| since.accepted_at <= set.accepted_at)?;
    Ok(page.end())
}

/// Finds about the first SET of a stream that was appended at `at` or later, by bisection, because numbers
/// and times both grow within a stream unless the clock was set back.
fn first_appended(db: &Connection, stream: i64, at: i64, last: i64) -> rusqlite::Result<i64> {
    let at = at.saturating_sub(CLOCK_SLACK_MILLIS);
    let mut look = db.prepare_cached(APPENDED_AT)?;
    let (mut low, mut high) = (0, last.saturating_add(1));
    while low < high {
        let middle = low + (high - low) / 2;
        let read = |row: &Row<'_>| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?));
        match look.query_row([stream, middle], read).optional()? {
            Some((seq, appended_at)) if appended_at < at => low = seq + 1,
            _ => high = middle,
        }
    }
    Ok(low)
}

pub(super) fn requeue(
    db: &Connection,
    stream: &StreamId,
    sets: &[Requeue],
    now: Timestamp,
) -> rusqlite::Result<usize> {
    let mut open = db.prepare_cached(OPEN)?;
    let open = open.query_row([stream.as_str()], |row| row.get::<_, i64>(0)).optional()?;
    let Some(stream) = open else { return Ok(0) };
    let (mut count, now) = (0, now.as_millis());
    for set in sets {
        count += match set {
            Requeue::Same(Seq(seq)) => {
                let next = last(db)? + 1;
                let moved = params![seq, stream, next, now];
                let moved = db.prepare_cached(REQUEUE)?.execute(moved)?;
                db.prepare_cached(CHOSEN)?.execute([next])?;
                moved
            }
            Requeue::Copy { of: Seq(seq), jti, claims } => {
                let copy = params![seq, stream, jti.as_str(), &**claims, now];
                db.prepare_cached(COPY)?.execute(copy)?
            }
        };
    }
    Ok(count)
}

pub(super) fn purge(db: &Connection, stream: &StreamId, sets: &[Seq]) -> rusqlite::Result<usize> {
    let Some(stream) = streams::key(db, stream)? else { return Ok(0) };
    let mut purge = db.prepare_cached(PURGE)?;
    sets.iter().map(|seq| purge.execute([seq.0, stream])).sum()
}

pub(super) fn counts(db: &Connection) -> rusqlite::Result<Vec<DeadCount>> {
    let read = |row: &Row<'_>| {
        Ok(DeadCount {
            provider: row::text(row, 0)?,
            reason: row.get::<_, String>(1)?.into(),
            sets: row::unsigned(row, 2)?,
        })
    };
    db.prepare_cached(COUNTS)?.query_map([], read)?.collect()
}

pub(super) fn of_jti(db: &Connection, jti: &Jti) -> rusqlite::Result<Vec<KeptSet>> {
    db.prepare_cached(OF_JTI)?.query_map([jti.as_str()], kept_set)?.collect()
}

pub(super) fn of_jtis(db: &Connection, sets: &[(StreamId, Jti)]) -> rusqlite::Result<Vec<KeptSet>> {
    let mut found = Vec::new();
    for (stream, jti) in sets {
        let Some(key) = streams::key(db, stream)? else { continue };
        for sql in [KEPT, COPIES] {
            for set in db.prepare_cached(sql)?.query_map(params![key, jti.as_str()], kept_set)? {
                found.push(set?);
            }
        }
    }
    Ok(found)
}

fn last(db: &Connection) -> rusqlite::Result<i64> {
    db.prepare_cached(LAST)?.query_row([], |row| row.get(0))
}

fn find(db: &Connection, stream: &StreamId) -> rusqlite::Result<Option<(i64, String)>> {
    let mut find = db.prepare_cached("SELECT key, provider FROM streams WHERE id = ?1")?;
    find.query_row([stream.as_str()], |row| Ok((row.get(0)?, row.get(1)?))).optional()
}

/// Reads a state from the columns `due_at`, `settled_at`, `reason`, `discarded` and `detail`, which begin
/// at `column`.
pub(super) fn state(row: &Row<'_>, column: usize) -> rusqlite::Result<SetState> {
    let settled_at: Option<i64> = row.get(column + 1)?;
    let settled_at = settled_at.map(Timestamp::from_millis);
    let text = |further| row.get::<_, Option<String>>(column + further);
    let (reason, discarded, detail) = (text(2)?, text(3)?, text(4));
    Ok(match (settled_at, reason, discarded) {
        (None, _, _) => SetState::Waiting { due_at: row::time(row, column)?, error: detail? },
        (Some(at), Some(reason), _) => {
            let detail = detail?.unwrap_or_default();
            SetState::Dead { at, reason: reason.into(), detail }
        }
        (Some(at), None, Some(reason)) => SetState::Discarded { at, reason: reason.into() },
        (Some(at), None, None) => SetState::Sent { at },
    })
}

fn kept_set(row: &Row<'_>) -> rusqlite::Result<KeptSet> {
    let appended_at = row::time(row, 5)?;
    let accepted_at: Option<i64> = row.get(6)?;
    let copy_of: Option<String> = row.get(13)?;
    Ok(KeptSet {
        seq: Seq(row.get(0)?),
        stream: row::text(row, 1)?,
        provider: row::text(row, 2)?,
        jti: row::text(row, 3)?,
        copy_of: copy_of.map(|_| row::text(row, 13)).transpose()?,
        claims: row.get(4)?,
        accepted_at: accepted_at.map_or(appended_at, Timestamp::from_millis),
        appended_at,
        kind: row::kind(row, 15)?,
        attempts: row.get(7)?,
        state: state(row, 8)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sqlite::plan::plan;

    #[track_caller]
    fn looks(sql: &str, how: &str) {
        let steps = plan(sql);
        assert!(steps.iter().any(|step| step.contains(how)), "{steps:?}");
        assert!(!steps.iter().any(|step| step.contains("TEMP B-TREE")), "{steps:?}");
    }

    #[test]
    fn a_page_begins_where_the_one_before_ended() {
        looks(DEAD, "INDEX outbox_dead (provider>?)");
        looks(DEAD_OF_PROVIDER, "INDEX outbox_dead (provider=? AND stream>?)");
        looks(DEAD_OF_STREAM, "INDEX outbox_dead (provider=? AND stream=? AND seq>? AND seq<?)");
        looks(RETAINED, "INDEX outbox_history (stream=? AND discarded=? AND seq>? AND seq<?)");
        looks(APPENDED_AT, "INDEX outbox_history (stream=? AND discarded=? AND seq>?)");
    }

    #[test]
    fn one_set_is_found_at_once() {
        looks(OF_JTI, "INDEX outbox_jti (jti=?)");
        looks(KEPT, "INDEX outbox_jti (jti=? AND stream=?)");
        looks(COPIES, "INDEX outbox_copies (stream=? AND copy_of=?)");
        for sql in [REQUEUE, COPY, PURGE] {
            looks(sql, "INTEGER PRIMARY KEY (rowid=?)");
        }
    }

    #[test]
    fn dead_letters_are_counted_in_the_index() {
        let steps = plan(COUNTS);
        assert!(steps.iter().any(|step| step.contains("COVERING INDEX outbox_dead")), "{steps:?}");
    }
}
