//! Lists of subjects as rows.

use std::collections::{BTreeSet, HashMap, hash_map::Entry};

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::{SqliteStore, lookup::Lookup, row};
use crate::{
    domain::{
        id::{ProviderName, StreamId},
        subject::{
            keys::{Filing, SubjectKey, SubjectKeys},
            list::{ListChange, Listed},
        },
        time::Timestamp,
    },
    store::{SHAPES_PER_STREAM_MAX, StoreError, SubjectLists},
};

/// The most rows that one call removes, as in `maintenance`.
const CHUNK: u32 = 1000;

const STREAM: &str = "SELECT key, provider, listed FROM streams WHERE id = ?1";

/// Selects whether the list has an entry. Each entry is filed under its own key; entries with `aliases` in
/// common may be filed under that key too.
const HAS: &str = "SELECT EXISTS (
        SELECT 1 FROM subjects WHERE filed = ?1 AND stream = ?2 AND entry = ?1
    )";

const HAS_SHAPE: &str = "SELECT EXISTS (SELECT 1 FROM subjects WHERE filed = ?1 AND stream = ?2)";

const ENTER: &str = "INSERT INTO subjects (filed, stream, entry, since) VALUES (?1, ?2, ?3, ?4)
    ON CONFLICT (filed, stream, entry)
    DO UPDATE SET since = min(since, excluded.since), until = NULL";

const LEAVE: &str = "UPDATE subjects SET until = min(coalesce(until, ?4), ?4)
    WHERE filed = ?1 AND stream = ?2 AND entry = ?3";

const REMOVE: &str = "DELETE FROM subjects WHERE filed = ?1 AND stream = ?2 AND entry = ?3";

const COUNT: &str = "UPDATE streams SET listed = listed + ?2 WHERE key = ?1";

const ADD_SHAPE: &str = "INSERT INTO subject_shapes (filed, provider, shape) VALUES (?1, ?2, ?3)
    ON CONFLICT DO NOTHING";

const SHAPES_OF_STREAM: &str = "SELECT count(*)
    FROM subject_shapes INDEXED BY subject_shapes_of_provider
    WHERE provider = ?1
        AND EXISTS (SELECT 1 FROM subjects WHERE filed = subject_shapes.filed AND stream = ?2)";

const EXPIRE: &str = "DELETE FROM subjects WHERE (filed, stream, entry) IN (
        SELECT filed, stream, entry FROM subjects INDEXED BY subjects_until
        WHERE until <= ?1 ORDER BY until LIMIT ?2
    ) RETURNING stream, filed = entry";

const EXPIRE_SHAPES: &str = "DELETE FROM subject_shapes
    WHERE NOT EXISTS (SELECT 1 FROM subjects WHERE filed = subject_shapes.filed)";

const MORE: &str =
    "SELECT EXISTS (SELECT 1 FROM subjects INDEXED BY subjects_until WHERE until <= ?1)";

const WITH_LIST: &str = "SELECT id FROM streams WHERE 0 < listed";

#[async_trait]
impl SubjectLists for SqliteStore {
    async fn change_list(
        &self,
        stream: &StreamId,
        entry: Filing,
        change: ListChange,
        limit: usize,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let stream = stream.clone();
        self.writer.run(move |db| self::change(db, &stream, &entry, change, limit, now)).await
    }

    async fn listed(
        &self,
        provider: &ProviderName,
        subjects: Vec<SubjectKeys>,
        now: Timestamp,
    ) -> Result<Vec<Listed>, StoreError> {
        let provider = provider.clone();
        self.readers.run(move |db| listed(db, &provider, &subjects, now)).await
    }

    async fn streams_with_list(&self) -> Result<Vec<StreamId>, StoreError> {
        self.readers.run(streams_with_list).await
    }
}

pub(super) fn change(
    db: &Connection,
    stream: &StreamId,
    entry: &Filing,
    change: ListChange,
    limit: usize,
    now: Timestamp,
) -> Result<(), StoreError> {
    let read = |row: &rusqlite::Row<'_>| {
        Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?, row.get::<_, i64>(2)?))
    };
    let found = db.prepare_cached(STREAM)?.query_row([stream.as_str()], read).optional()?;
    let Some((key, provider, listed)) = found else { return Err(StoreError::Conflict) };
    let known = has(db, HAS, entry.entry, key)?;
    match change {
        ListChange::Enter { from } => {
            if !known {
                if row::limit(limit) <= listed {
                    return Err(StoreError::SubjectLimit);
                }
                add_shape(db, entry, key, &provider)?;
                db.prepare_cached(COUNT)?.execute(params![key, 1])?;
            }
            for_each_row(db, ENTER, entry, key, Some(from))
        }
        ListChange::Leave { .. } if !known => Ok(()),
        ListChange::Leave { until } if now < until => {
            for_each_row(db, LEAVE, entry, key, Some(until))
        }
        ListChange::Leave { .. } => {
            db.prepare_cached(COUNT)?.execute(params![key, -1])?;
            for_each_row(db, REMOVE, entry, key, None)
        }
    }
}

fn has(db: &Connection, sql: &str, filed: SubjectKey, stream: i64) -> rusqlite::Result<bool> {
    db.prepare_cached(sql)?.query_row(params![filed.0, stream], |row| row.get(0))
}

fn for_each_row(
    db: &Connection,
    sql: &str,
    entry: &Filing,
    stream: i64,
    at: Option<Timestamp>,
) -> Result<(), StoreError> {
    let mut statement = db.prepare_cached(sql)?;
    for filed in &entry.under {
        match at {
            Some(at) => {
                statement.execute(params![filed.0, stream, entry.entry.0, at.as_millis()])?
            }
            None => statement.execute(params![filed.0, stream, entry.entry.0])?,
        };
    }
    Ok(())
}

fn add_shape(
    db: &Connection,
    entry: &Filing,
    stream: i64,
    provider: &str,
) -> Result<(), StoreError> {
    let Some((filed, shape)) = &entry.shape else { return Ok(()) };
    if has(db, HAS_SHAPE, *filed, stream)? {
        return Ok(());
    }
    let shapes: i64 = db
        .prepare_cached(SHAPES_OF_STREAM)?
        .query_row(params![provider, stream], |row| row.get(0))?;
    if row::limit(SHAPES_PER_STREAM_MAX) <= shapes {
        return Err(StoreError::SubjectLimit);
    }
    let shape = serde_json::to_string(shape).expect("names are JSON");
    db.prepare_cached(ADD_SHAPE)?.execute(params![filed.0, provider, shape])?;
    Ok(())
}

pub(super) fn listed(
    db: &Connection,
    provider: &ProviderName,
    subjects: &[SubjectKeys],
    now: Timestamp,
) -> rusqlite::Result<Vec<Listed>> {
    let mut lookup = Lookup::of_all(db, provider.clone(), now);
    let mut find = db.prepare_cached("SELECT id FROM streams WHERE key = ?1")?;
    let mut ids: HashMap<i64, Option<StreamId>> = HashMap::new();
    let mut named = |keys: BTreeSet<i64>| {
        let mut named = BTreeSet::new();
        for key in keys {
            let id = match ids.entry(key) {
                Entry::Occupied(known) => known.into_mut(),
                // None if the stream was deleted a moment ago.
                Entry::Vacant(unknown) => {
                    let id = find.query_row([key], |row| row::text(row, 0)).optional()?;
                    unknown.insert(id)
                }
            };
            named.extend(id.clone());
        }
        Ok::<_, rusqlite::Error>(named)
    };
    subjects
        .iter()
        .map(|subject| {
            let added = named(lookup.matching(subject)?)?;
            Ok(Listed { added, removed: named(lookup.identical(subject)?)? })
        })
        .collect()
}

pub(super) fn streams_with_list(db: &Connection) -> rusqlite::Result<Vec<StreamId>> {
    db.prepare_cached(WITH_LIST)?.query_map([], |row| row::text(row, 0))?.collect()
}

pub(super) fn expire(db: &Connection, now: Timestamp) -> rusqlite::Result<bool> {
    let now = now.as_millis();
    let mut expire = db.prepare_cached(EXPIRE)?;
    let gone = expire.query_map(params![now, CHUNK], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let gone = gone.collect::<rusqlite::Result<Vec<(i64, bool)>>>()?;
    let mut count = db.prepare_cached(COUNT)?;
    for (stream, _) in gone.iter().filter(|(_, entry)| *entry) {
        count.execute(params![stream, -1])?;
    }
    db.prepare_cached(EXPIRE_SHAPES)?.execute([])?;
    db.prepare_cached(MORE)?.query_row([now], |row| row.get(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sqlite::plan::plan;

    #[test]
    fn an_entry_is_found_at_once() {
        let by_key = "SEARCH subjects USING PRIMARY KEY (filed=? AND stream=? AND entry=?)";
        for sql in [LEAVE, REMOVE] {
            assert_eq!(plan(sql), [by_key]);
        }
        for sql in [HAS, HAS_SHAPE, SHAPES_OF_STREAM, EXPIRE, EXPIRE_SHAPES, MORE] {
            let steps = plan(sql);
            assert!(!steps.iter().any(|step| step.contains("SCAN subjects")), "{steps:?}");
        }
    }
}
