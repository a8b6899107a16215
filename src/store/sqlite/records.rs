//! Records of all kinds as rows.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::{SqliteStore, row, streams};
use crate::{
    domain::{id::StreamId, time::Timestamp},
    store::{
        StoreError,
        archive::PageToken,
        records::{
            BelongsTo, Condition, RawRecord, RecordFilter, RecordName, RecordPage, RecordQuery,
            RecordWrite, Records, StoredRecord,
        },
    },
};

/// The most records that expire in one call: few enough that an append behind it hardly waits.
const CHUNK: usize = 1000;

const FIND: &str = "SELECT kind, key, (SELECT id FROM streams WHERE streams.key = records.stream),
        owner, format, version, made_at, expires_at, value
    FROM records WHERE kind = ?1 AND key = ?2";

const ALL: &str = "SELECT kind, key, (SELECT id FROM streams WHERE streams.key = records.stream),
        owner, format, version, made_at, expires_at, value
    FROM records WHERE kind = ?1 AND ?2 <= key AND key < ?3 ORDER BY key LIMIT ?4";

const UNOWNED: &str =
    "SELECT kind, key, (SELECT id FROM streams WHERE streams.key = records.stream),
        owner, format, version, made_at, expires_at, value
    FROM records INDEXED BY records_unowned
    WHERE owner IS NULL AND kind = ?1 AND ?2 <= key AND key < ?3 ORDER BY key LIMIT ?4";

const OF_STREAM: &str =
    "SELECT kind, key, (SELECT id FROM streams WHERE streams.key = records.stream),
        owner, format, version, made_at, expires_at, value
    FROM records INDEXED BY records_of_stream WHERE stream = ?1 ORDER BY kind, key";

/// All records that belong to no stream, for a copy.
const APART: &str = "SELECT kind, key, NULL, owner, format, version, made_at, expires_at, value
    FROM records WHERE (kind, key) > (?1, ?2) AND stream IS NULL ORDER BY kind, key LIMIT ?3";

const LAST_VERSION: &str = "SELECT last FROM record_versions";

const NEXT_VERSION: &str = "UPDATE record_versions SET last = last + 1 RETURNING last";

const PUT: &str = "INSERT INTO records
    (kind, key, stream, owner, format, version, made_at, expires_at, value)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
    ON CONFLICT (kind, key) DO UPDATE SET
        stream = excluded.stream, owner = excluded.owner, format = excluded.format,
        version = excluded.version, made_at = excluded.made_at,
        expires_at = excluded.expires_at, value = excluded.value";

const END_OLDEST: &str = "DELETE FROM records WHERE (kind, key) IN (
        SELECT kind, key FROM records INDEXED BY records_owned
        WHERE owner = ?1 AND kind = ?2
        ORDER BY made_at DESC, key LIMIT -1 OFFSET ?3
    )";

const DELETE: &str = "DELETE FROM records WHERE kind = ?1 AND key = ?2";

const EXPIRE: &str = "DELETE FROM records WHERE (kind, key) IN (
        SELECT kind, key FROM records INDEXED BY records_expiry WHERE expires_at <= ?1
        ORDER BY expires_at LIMIT ?2
    )";

#[async_trait]
impl Records for SqliteStore {
    async fn record(&self, name: RecordName) -> Result<Option<StoredRecord>, StoreError> {
        self.readers.run(move |db| find(db, &name)).await
    }

    async fn list_records(
        &self,
        query: RecordQuery,
        after: Option<PageToken>,
        limit: usize,
    ) -> Result<RecordPage, StoreError> {
        self.readers.run(move |db| list(db, &query, after, limit)).await
    }

    async fn records_of_stream(&self, stream: &StreamId) -> Result<Vec<RawRecord>, StoreError> {
        let stream = stream.clone();
        self.readers.run(move |db| of_stream(db, &stream)).await
    }

    async fn write_records(
        &self,
        writes: Vec<RecordWrite>,
    ) -> Result<Vec<Option<u64>>, StoreError> {
        self.writer.run(move |db| writes.iter().map(|one| write(db, one)).collect()).await
    }

    async fn delete_record(
        &self,
        name: RecordName,
        version: Option<u64>,
    ) -> Result<bool, StoreError> {
        self.writer.run(move |db| delete(db, &name, version)).await
    }

    async fn expire_records(&self, now: Timestamp) -> Result<bool, StoreError> {
        let expire = move |db: &Connection| {
            let bounds = params![now.as_millis(), row::limit(CHUNK)];
            let expired = db.prepare_cached(EXPIRE)?.execute(bounds)?;
            if expired != 0 {
                next_version(db)?;
            }
            Ok::<_, StoreError>(expired == CHUNK)
        };
        self.writer.run(expire).await
    }

    async fn records_state(&self) -> Result<u64, StoreError> {
        self.readers.run(last_version).await
    }
}

fn find(db: &Connection, name: &RecordName) -> rusqlite::Result<Option<StoredRecord>> {
    db.prepare_cached(FIND)?.query_row([&name.kind, &name.key], read).optional()
}

fn list(
    db: &Connection,
    query: &RecordQuery,
    after: Option<PageToken>,
    limit: usize,
) -> rusqlite::Result<RecordPage> {
    let (sql, prefix) = match &query.filter {
        RecordFilter::All { prefix } => (ALL, prefix.as_str()),
        RecordFilter::Unowned { prefix } => (UNOWNED, prefix.as_str()),
        RecordFilter::OfStreams => (ALL, ""),
    };
    // The first key that comes after another one is that key with the lowest character behind it.
    let from = after.map_or_else(|| prefix.to_owned(), |PageToken(key)| key + "\0");
    let bounds = params![query.kind, from, format!("{prefix}\u{10ffff}"), row::limit(limit)];
    let mut select = db.prepare_cached(sql)?;
    let records =
        select.query_map(bounds, read)?.collect::<rusqlite::Result<Vec<StoredRecord>>>()?;
    let last = records.last().filter(|_| limit <= records.len());
    let next = last.map(|last| PageToken(last.record.name.key.clone()));
    Ok(RecordPage { records, next })
}

pub(super) fn of_stream(db: &Connection, stream: &StreamId) -> rusqlite::Result<Vec<RawRecord>> {
    let Some(key) = streams::key(db, stream)? else { return Ok(Vec::new()) };
    let mut select = db.prepare_cached(OF_STREAM)?;
    select.query_map([key], |found| read(found).map(|stored| stored.record))?.collect()
}

/// Returns records that belong to no stream, in the order of their names.
pub(super) fn apart(
    db: &Connection,
    after: &RecordName,
    limit: usize,
) -> rusqlite::Result<Vec<RawRecord>> {
    let mut select = db.prepare_cached(APART)?;
    let bounds = params![after.kind, after.key, row::limit(limit)];
    select.query_map(bounds, |found| read(found).map(|stored| stored.record))?.collect()
}

fn write(db: &Connection, write: &RecordWrite) -> Result<Option<u64>, StoreError> {
    let RecordWrite { record, condition, keep_youngest } = write;
    let before = find(db, &record.name)?;
    if let BelongsTo::Record(owner) = &record.belongs_to
        && find(db, owner)?.is_none()
    {
        return Ok(None);
    }
    if let Some(before) = &before
        && before.record == *record
    {
        return Ok(Some(before.version));
    }
    let is_met = match (condition, &before) {
        (Condition::Always, _) | (Condition::Absent | Condition::Newer, None) => true,
        (Condition::Version(version), Some(before)) => before.version == *version,
        (Condition::Newer, Some(before)) => before.record.made_at < record.made_at,
        (Condition::Absent, Some(_)) | (Condition::Version(_), None) => false,
    };
    if !is_met {
        return Ok(None);
    }
    let version = put(db, record)?;
    if let (Some(_), BelongsTo::Record(owner), Some(most)) =
        (version, &record.belongs_to, keep_youngest)
    {
        let bounds = params![owner.to_string(), record.name.kind, row::limit(*most)];
        db.prepare_cached(END_OLDEST)?.execute(bounds)?;
    }
    Ok(version)
}

/// Writes a record as it is. Returns its version, or `None` if its stream does not exist. The record
/// that it belongs to may come later, in a copy.
pub(super) fn put(db: &Connection, record: &RawRecord) -> Result<Option<u64>, StoreError> {
    let (stream, owner) = match &record.belongs_to {
        BelongsTo::Nothing => (None, None),
        BelongsTo::Record(owner) => (None, Some(owner.to_string())),
        BelongsTo::Stream(stream) => match streams::key(db, stream)? {
            Some(key) => (Some(key), None),
            None => return Ok(None),
        },
    };
    let version = next_version(db)?;
    db.prepare_cached(PUT)?.execute(params![
        record.name.kind,
        record.name.key,
        stream,
        owner,
        record.format,
        version,
        record.made_at.as_millis(),
        record.expires_at.map(Timestamp::as_millis),
        &*record.value,
    ])?;
    Ok(Some(version.unsigned_abs()))
}

fn delete(db: &Connection, name: &RecordName, version: Option<u64>) -> Result<bool, StoreError> {
    let Some(before) = find(db, name)? else { return Ok(false) };
    if version.is_some_and(|version| version != before.version) {
        return Err(StoreError::Conflict);
    }
    next_version(db)?;
    // The records that belong to it go with it, by a trigger.
    Ok(db.prepare_cached(DELETE)?.execute([&name.kind, &name.key])? != 0)
}

fn next_version(db: &Connection) -> rusqlite::Result<i64> {
    db.prepare_cached(NEXT_VERSION)?.query_row([], |found| found.get(0))
}

fn last_version(db: &Connection) -> rusqlite::Result<u64> {
    db.prepare_cached(LAST_VERSION)?.query_row([], |found| row::unsigned(found, 0))
}

fn read(found: &Row<'_>) -> rusqlite::Result<StoredRecord> {
    let name = RecordName { kind: found.get(0)?, key: found.get(1)? };
    let (stream, owner) = (found.get::<_, Option<String>>(2)?, found.get::<_, Option<String>>(3)?);
    let belongs_to = match (stream, owner) {
        (Some(_), _) => BelongsTo::Stream(row::text(found, 2)?),
        (None, Some(owner)) => BelongsTo::Record(
            RecordName::parse(&owner).ok_or_else(|| row::unreadable(3, "not a record's name"))?,
        ),
        (None, None) => BelongsTo::Nothing,
    };
    let record = RawRecord {
        name,
        belongs_to,
        format: found.get(4)?,
        made_at: row::time(found, 6)?,
        expires_at: found.get::<_, Option<i64>>(7)?.map(Timestamp::from_millis),
        value: found.get(8)?,
    };
    Ok(StoredRecord { version: row::unsigned(found, 5)?, record })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sqlite::plan::plan;

    #[test]
    fn a_record_is_found_at_once_and_a_page_begins_where_the_one_before_ended() {
        for (sql, how) in [
            (FIND, "PRIMARY KEY (kind=? AND key=?)"),
            (DELETE, "PRIMARY KEY (kind=? AND key=?)"),
            (ALL, "PRIMARY KEY (kind=? AND key>? AND key<?)"),
            (UNOWNED, "records_unowned (kind=? AND key>? AND key<?)"),
            (OF_STREAM, "records_of_stream (stream=?)"),
            (APART, "PRIMARY KEY ((kind,key)>(?,?))"),
        ] {
            let steps = plan(sql);
            assert!(steps[0].contains(how), "{steps:?}");
            assert!(!steps[0].contains("SCAN"), "{steps:?}");
        }
    }
}
