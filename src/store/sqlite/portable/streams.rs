//! Streams with all that belongs to them.

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::apart::{key, of_hex, to_hex};
use crate::{
    delivery::{lane::Lane, outbox::Seq},
    domain::{
        id::{ProviderName, StreamId},
        stream::StreamConfig,
        time::Timestamp,
    },
    store::{
        StoreError,
        archive::{PageToken, SetState},
        portable::{Item, ItemPage, ListRow, WholeSet},
        sqlite::{archive, row, streams},
    },
};

const LIST: &str = "SELECT s.filed, s.entry, s.since, s.until, h.shape
    FROM subjects s INDEXED BY subjects_of_stream LEFT JOIN subject_shapes h ON h.filed = s.filed
    WHERE s.stream = ?1 AND (s.filed, s.entry) > (?2, ?3)
    ORDER BY s.filed, s.entry LIMIT ?4";

const FILE: &str = "INSERT INTO subjects (filed, stream, entry, since, until)
    SELECT ?2, key, ?3, ?4, ?5 FROM streams WHERE id = ?1
    ON CONFLICT (filed, stream, entry) DO NOTHING";

const COUNT: &str = "UPDATE streams SET listed = listed + 1 WHERE id = ?1";

const ADD_SHAPE: &str = "INSERT INTO subject_shapes (filed, provider, shape) VALUES (?1, ?2, ?3)
    ON CONFLICT DO NOTHING";

/// Selects the numbers unsorted, because no index has them in order, and sorting numbers is quick.
const NUMBERS: &str = "
    SELECT seq FROM outbox INDEXED BY outbox_waiting WHERE stream = ?1 AND settled_at IS NULL
    UNION ALL
    SELECT seq FROM outbox INDEXED BY outbox_history WHERE stream = ?1 AND settled_at IS NOT NULL";

const SET: &str =
    "SELECT jti, copy_of, control, lane, claims, identifiers, accepted_at, appended_at,
        attempts, due_at, settled_at, reason, discarded, detail
    FROM outbox WHERE seq = ?1 AND stream = ?2";

/// A waiting SET is the head of its lane if no other SET of the lane waits.
const INSERT: &str = "INSERT INTO outbox (stream, provider, jti, copy_of, control, lane, claims,
        identifiers, accepted_at, appended_at, attempts, due_at, settled_at, reason, discarded,
        detail, polled, head)
    SELECT key, provider, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15,
        endpoint IS NULL, ?12 IS NULL AND NOT EXISTS (
            SELECT 1 FROM outbox INDEXED BY outbox_waiting
            WHERE stream = key AND control = ?4 AND lane = ?5 AND settled_at IS NULL
        )
    FROM streams WHERE id = ?1
    ON CONFLICT (jti, stream) DO NOTHING";

pub(super) fn put(db: &Connection, stream: &StreamConfig) -> Result<(), StoreError> {
    if streams::find(db, &stream.id)?.as_ref() == Some(stream) {
        return Ok(());
    }
    streams::create(db, stream, usize::MAX)
}

pub(super) fn list_rows(
    db: &Connection,
    stream: &StreamId,
    provider: &ProviderName,
    after: Option<&PageToken>,
    limit: usize,
) -> Result<ItemPage, StoreError> {
    let place = match after.map(|PageToken(raw)| raw.split_once('.')) {
        None => (Vec::new(), Vec::new()),
        Some(Some((filed, entry))) => (of_hex(filed)?, of_hex(entry)?),
        Some(None) => return Err(StoreError::NoSuchPage),
    };
    let mut items = Vec::new();
    if let Some(owner) = streams::key(db, stream)? {
        let read = |found: &Row<'_>| {
            Ok(Item::Subject(ListRow {
                provider: provider.clone(),
                stream: stream.clone(),
                filed: key(found, 0)?,
                entry: key(found, 1)?,
                since: row::time(found, 2)?,
                until: found.get::<_, Option<i64>>(3)?.map(Timestamp::from_millis),
                shape: match found.get_ref(4)? {
                    rusqlite::types::ValueRef::Null => None,
                    _ => Some(row::json(found, 4)?),
                },
            }))
        };
        let bounds = params![owner, place.0, place.1, row::limit(limit)];
        for item in db.prepare_cached(LIST)?.query_map(bounds, read)? {
            items.push(item?);
        }
    }
    let next = match items.last() {
        Some(Item::Subject(row)) if limit <= items.len() => {
            Some(PageToken(format!("{}.{}", to_hex(&row.filed.0), to_hex(&row.entry.0))))
        }
        _ => None,
    };
    Ok(ItemPage { items, next })
}

pub(super) fn put_row(db: &Connection, row: &ListRow) -> rusqlite::Result<()> {
    let until = row.until.map(Timestamp::as_millis);
    let (stream, since) = (row.stream.as_str(), row.since.as_millis());
    let columns = params![stream, row.filed.0, row.entry.0, since, until];
    let is_new = db.prepare_cached(FILE)?.execute(columns)? != 0;
    if is_new && row.filed == row.entry {
        db.prepare_cached(COUNT)?.execute([stream])?;
    }
    if let Some(shape) = &row.shape {
        let shape = serde_json::to_string(shape).expect("names are JSON");
        let columns = params![row.filed.0, row.provider.as_str(), shape];
        db.prepare_cached(ADD_SHAPE)?.execute(columns)?;
    }
    Ok(())
}

pub(super) fn numbers(db: &Connection, stream: &StreamId) -> rusqlite::Result<Vec<Seq>> {
    let Some(stream) = streams::key(db, stream)? else { return Ok(Vec::new()) };
    let mut select = db.prepare_cached(NUMBERS)?;
    let numbers = select.query_map([stream], |found| found.get(0).map(Seq))?;
    let mut numbers = numbers.collect::<rusqlite::Result<Vec<_>>>()?;
    numbers.sort_unstable();
    Ok(numbers)
}

pub(super) fn sets(
    db: &Connection,
    id: &StreamId,
    numbers: &[Seq],
) -> rusqlite::Result<Vec<WholeSet>> {
    let Some(stream) = streams::key(db, id)? else { return Ok(Vec::new()) };
    let mut find = db.prepare_cached(SET)?;
    let mut sets = Vec::with_capacity(numbers.len());
    for Seq(seq) in numbers {
        sets.extend(find.query_row([*seq, stream], |found| set(found, id)).optional()?);
    }
    Ok(sets)
}

fn set(found: &Row<'_>, stream: &StreamId) -> rusqlite::Result<WholeSet> {
    let copy_of: Option<String> = found.get(1)?;
    let (accepted_at, appended_at) = (found.get::<_, Option<i64>>(6)?, row::time(found, 7)?);
    Ok(WholeSet {
        stream: stream.clone(),
        jti: row::text(found, 0)?,
        copy_of: copy_of.map(|_| row::text(found, 1)).transpose()?,
        kind: row::kind(found, 2)?,
        lane: Lane::from_i64(found.get(3)?),
        claims: found.get(4)?,
        identifiers: found.get(5)?,
        accepted_at: accepted_at.map_or(appended_at, Timestamp::from_millis),
        appended_at,
        attempts: found.get(8)?,
        state: archive::state(found, 9)?,
    })
}

pub(super) fn put_set(db: &Connection, set: &WholeSet) -> rusqlite::Result<()> {
    let columns = Columns::of(set);
    let accepted_at = Some(set.accepted_at).filter(|at| *at != set.appended_at);
    db.prepare_cached(INSERT)?.execute(params![
        set.stream.as_str(),
        set.jti.as_str(),
        set.copy_of.as_ref().map(crate::domain::id::Jti::as_str),
        row::control(set.kind),
        set.lane.as_i64(),
        set.claims.as_deref(),
        set.identifiers.as_deref(),
        accepted_at.map(Timestamp::as_millis),
        set.appended_at.as_millis(),
        set.attempts,
        columns.due_at.as_millis(),
        columns.settled_at.map(Timestamp::as_millis),
        columns.reason,
        columns.discarded,
        columns.detail,
    ])?;
    Ok(())
}

/// The columns of a state.
struct Columns<'a> {
    due_at: Timestamp,
    settled_at: Option<Timestamp>,
    reason: Option<&'a str>,
    discarded: Option<&'a str>,
    detail: Option<&'a str>,
}

impl<'a> Columns<'a> {
    fn of(set: &'a WholeSet) -> Self {
        let mut columns = Self {
            due_at: set.appended_at,
            settled_at: None,
            reason: None,
            discarded: None,
            detail: None,
        };
        match &set.state {
            SetState::Waiting { due_at, error } => {
                columns.due_at = *due_at;
                columns.detail = error.as_deref();
            }
            SetState::Sent { at } => columns.settled_at = Some(*at),
            SetState::Dead { at, reason, detail } => {
                columns.settled_at = Some(*at);
                (columns.reason, columns.detail) = (Some(reason.label()), Some(detail.as_str()));
            }
            SetState::Discarded { at, reason } => {
                (columns.settled_at, columns.discarded) = (Some(*at), Some(reason.label()));
            }
        }
        columns
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sqlite::plan::plan;

    #[test]
    fn a_page_of_a_list_begins_where_the_one_before_ended() {
        let steps = plan(LIST);
        let from = "INDEX subjects_of_stream (stream=? AND (filed,entry)>(?,?))";
        assert!(steps[0].contains(from), "{steps:?}");
        assert!(!steps.iter().any(|step| step.contains("TEMP B-TREE")), "{steps:?}");
        let steps = plan(NUMBERS);
        for index in ["outbox_waiting", "outbox_history"] {
            let search = format!("INDEX {index} (stream=?");
            assert!(steps.iter().any(|step| step.contains(&search)), "{steps:?}");
        }
    }
}
