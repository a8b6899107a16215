//! Streams as rows.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use serde::Serialize;

use super::{
    SqliteStore,
    append::{self, Outbox},
    row,
};
use crate::{
    domain::{
        id::StreamId,
        reason::Reason,
        secret::Secret,
        status::StreamStatus,
        stream::{Delivery, PushEndpoint, StreamConfig},
        subject::{format::SubjectFormat, list::DefaultSubjects},
        time::Timestamp,
    },
    store::{Announcement, StoreError, Streams},
};

const OWNED: &str = "SELECT count(*) FROM streams WHERE provider = ?1 AND receiver = ?2";

const INSERT: &str = "INSERT INTO streams (id, provider, receiver, audience, events_requested,
    endpoint, authorization_header, description, status, reason, version, created_at,
    default_subjects, subject_format)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14) ON CONFLICT (id) DO NOTHING";

const UPDATE: &str = "UPDATE streams SET provider = ?2, receiver = ?3, audience = ?4,
    events_requested = ?5, endpoint = ?6, authorization_header = ?7, description = ?8, status = ?9,
    reason = ?10, version = ?11, created_at = ?12, default_subjects = ?13,
    subject_format = ?14
    WHERE id = ?1 AND version = ?11 - 1";

const WITHDRAW: &str = "DELETE FROM outbox INDEXED BY outbox_waiting
    WHERE stream = ?1 AND settled_at IS NULL AND control = 2";

/// Discards the heads of lanes (`?2 = 1`) last, because each head that goes looks for the next one.
const DISCARD: &str = "UPDATE outbox INDEXED BY outbox_waiting
    SET settled_at = ?3, discarded = ?4, claims = NULL, identifiers = NULL, detail = NULL
    WHERE stream = ?1 AND settled_at IS NULL AND head = ?2";

/// In the same way.
const REMOVE_PENDING: &str = "DELETE FROM outbox INDEXED BY outbox_waiting
    WHERE stream = ?1 AND settled_at IS NULL AND head = ?2";

const REMOVE_SETTLED: &str = "DELETE FROM outbox INDEXED BY outbox_history
    WHERE stream = ?1 AND settled_at IS NOT NULL";

const MOVED: &str = "SELECT 1 FROM streams
    WHERE id = ?1 AND (endpoint IS NOT ?2 OR authorization_header IS NOT ?3)";

/// Selects a push stream that is not enabled.
const STOPPED: &str = "SELECT 1 FROM streams
    WHERE id = ?1 AND endpoint IS NOT NULL AND status <> 'enabled'";

const MAKE_DUE: &str = "UPDATE outbox INDEXED BY outbox_waiting SET due_at = appended_at
    WHERE stream = ?1 AND settled_at IS NULL AND due_at <> appended_at";

macro_rules! select_streams {
    ($of:literal) => {
        concat!(
            "SELECT id, provider, receiver, audience, events_requested, endpoint,
                authorization_header, description, status, reason, version, created_at,
                default_subjects, subject_format
            FROM streams ",
            $of
        )
    };
}

const ALL: &str = select_streams!("ORDER BY key");

const FIND: &str = select_streams!("WHERE id = ?1");

#[async_trait]
impl Streams for SqliteStore {
    async fn create_stream(&self, stream: StreamConfig, limit: usize) -> Result<(), StoreError> {
        self.writer.run(move |db| create(db, &stream, limit)).await
    }

    async fn update_stream(&self, stream: StreamConfig) -> Result<(), StoreError> {
        self.writer.run(move |db| update(db, &stream)).await
    }

    async fn change_status(
        &self,
        stream: StreamConfig,
        announcement: Announcement,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        self.writer.run(move |db| change_status(db, &stream, &announcement, now)).await
    }

    async fn delete_stream(&self, id: &StreamId) -> Result<bool, StoreError> {
        let id = id.clone();
        self.writer.run(move |db| delete(db, &id)).await
    }

    async fn streams(&self) -> Result<Vec<StreamConfig>, StoreError> {
        self.readers.run(all).await
    }

    async fn stream(&self, id: &StreamId) -> Result<Option<StreamConfig>, StoreError> {
        let id = id.clone();
        self.readers.run(move |db| find(db, &id)).await
    }
}

pub(super) fn create(
    db: &Connection,
    stream: &StreamConfig,
    limit: usize,
) -> Result<(), StoreError> {
    let receiver = params![stream.provider.as_str(), stream.receiver.as_str()];
    let owned: i64 = db.prepare_cached(OWNED)?.query_row(receiver, |row| row.get(0))?;
    if row::limit(limit) <= owned {
        return Err(StoreError::StreamLimit(limit));
    }
    write(db, INSERT, stream)
}

pub(super) fn update(db: &Connection, stream: &StreamConfig) -> Result<(), StoreError> {
    let (endpoint, secret) = columns(&stream.delivery);
    let moved = db.prepare_cached(MOVED)?.exists(params![stream.id.as_str(), endpoint, secret])?;
    write(db, UPDATE, stream)?;
    if moved && let Some(key) = key(db, &stream.id)? {
        db.prepare_cached(MAKE_DUE)?.execute([key])?;
    }
    Ok(())
}

pub(super) fn change_status(
    db: &Connection,
    stream: &StreamConfig,
    announcement: &Announcement,
    now: Timestamp,
) -> Result<u64, StoreError> {
    let resumed = stream.status == StreamStatus::Enabled
        && db.prepare_cached(STOPPED)?.exists([stream.id.as_str()])?;
    write(db, UPDATE, stream)?;
    let key = key(db, &stream.id)?.ok_or(StoreError::Conflict)?;
    let withdrawn = db.prepare_cached(WITHDRAW)?.execute([key])?;
    let discarded = if stream.status.discards() { discard_all(db, key, now)? } else { 0 };
    if resumed {
        db.prepare_cached(MAKE_DUE)?.execute([key])?;
    }
    let announced = match announcement {
        Announcement::Instead(set) => Some(set).filter(|_| withdrawn != 0),
        Announcement::New(set) => Some(set),
        Announcement::None => None,
    };
    if let Some(set) = announced {
        let polled = matches!(stream.delivery, Delivery::Poll);
        append::insert(db, Outbox { key, polled }, &stream.provider, set, now)?;
    }
    Ok(u64::try_from(discarded).unwrap_or(u64::MAX))
}

fn discard_all(db: &Connection, key: i64, now: Timestamp) -> rusqlite::Result<usize> {
    let mut discard = db.prepare_cached(DISCARD)?;
    let reason = Reason::Disabled.label();
    let discarded = [0, 1].map(|head| discard.execute(params![key, head, now.as_millis(), reason]));
    discarded.into_iter().sum()
}

pub(super) fn delete(db: &Connection, id: &StreamId) -> rusqlite::Result<bool> {
    let Some(key) = key(db, id)? else { return Ok(false) };
    let mut remove_pending = db.prepare_cached(REMOVE_PENDING)?;
    remove_pending.execute([key, 0])?;
    remove_pending.execute([key, 1])?;
    db.prepare_cached(REMOVE_SETTLED)?.execute([key])?;
    db.prepare_cached("DELETE FROM streams WHERE key = ?1")?.execute([key])?;
    Ok(true)
}

pub(super) fn all(db: &Connection) -> Result<Vec<StreamConfig>, StoreError> {
    db.prepare_cached(ALL)?.query_and_then([], read)?.collect()
}

pub(super) fn find(db: &Connection, id: &StreamId) -> Result<Option<StreamConfig>, StoreError> {
    db.prepare_cached(FIND)?.query_and_then([id.as_str()], read)?.next().transpose()
}

/// Returns the number of a stream in the rows of its SETs.
pub(super) fn key(db: &Connection, id: &StreamId) -> rusqlite::Result<Option<i64>> {
    let mut find = db.prepare_cached("SELECT key FROM streams WHERE id = ?1")?;
    find.query_row([id.as_str()], |row| row.get(0)).optional()
}

/// Runs `INSERT` or `UPDATE`. If no row changes, the stream is not in the state that the caller assumed.
fn write(db: &Connection, sql: &str, stream: &StreamConfig) -> Result<(), StoreError> {
    let (endpoint, secret) = columns(&stream.delivery);
    let written = db.prepare_cached(sql)?.execute(params![
        stream.id.as_str(),
        stream.provider.as_str(),
        stream.receiver.as_str(),
        to_json(&stream.audience),
        stream.events_requested.as_ref().map(to_json),
        endpoint,
        secret,
        stream.description,
        stream.status.as_str(),
        stream.reason,
        i64::try_from(stream.version).map_err(|_| StoreError::Conflict)?,
        stream.created_at.as_millis(),
        stream.default_subjects.as_str(),
        stream.subject_format.as_str(),
    ])?;
    if written == 0 { Err(StoreError::Conflict) } else { Ok(()) }
}

/// Returns the endpoint of a push stream and its `Authorization` header.
fn columns(delivery: &Delivery) -> (Option<&str>, Option<&str>) {
    match delivery {
        Delivery::Push(endpoint) => {
            let secret = endpoint.authorization_header();
            (Some(endpoint.as_given()), secret.map(Secret::expose))
        }
        Delivery::Poll => (None, None),
    }
}

fn to_json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("lists of strings are JSON")
}

fn read(row: &Row<'_>) -> Result<StreamConfig, StoreError> {
    let id: StreamId = row::text(row, 0)?;
    read_members(row, id.clone())
        .map_err(|error| StoreError::Corrupt(format!("stream {id}: {error}")))
}

fn read_members(row: &Row<'_>, id: StreamId) -> rusqlite::Result<StreamConfig> {
    let requested: Option<String> = row.get(4)?;
    Ok(StreamConfig {
        id,
        provider: row::text(row, 1)?,
        receiver: row::text(row, 2)?,
        audience: row::json(row, 3)?,
        events_requested: requested.map(|_| row::json(row, 4)).transpose()?,
        delivery: read_delivery(row)?,
        description: row.get(7)?,
        status: read_status(row)?,
        reason: row.get(9)?,
        version: row::unsigned(row, 10)?,
        created_at: row::time(row, 11)?,
        default_subjects: read_default_subjects(row, 12)?,
        subject_format: read_subject_format(row)?,
    })
}

fn read_delivery(row: &Row<'_>) -> rusqlite::Result<Delivery> {
    let Some(url) = row.get::<_, Option<String>>(5)? else { return Ok(Delivery::Poll) };
    let secret = row.get::<_, Option<String>>(6)?.map(Secret::new);
    // Whether http is allowed was judged when the stream was made.
    let endpoint = PushEndpoint::new(&url, secret, true);
    endpoint.map(Delivery::Push).map_err(|error| row::unreadable(5, error))
}

pub(super) fn read_default_subjects(
    row: &Row<'_>,
    column: usize,
) -> rusqlite::Result<DefaultSubjects> {
    use DefaultSubjects::*;
    let text = row.get_ref(column)?.as_str()?;
    let default = [All, None].into_iter().find(|default| default.as_str() == text);
    default.ok_or_else(|| row::unreadable(column, format!("`{text}` is neither `ALL` nor `NONE`")))
}

fn read_subject_format(row: &Row<'_>) -> rusqlite::Result<SubjectFormat> {
    row.get_ref(13)?.as_str()?.parse().map_err(|error: String| row::unreadable(13, error))
}

fn read_status(row: &Row<'_>) -> rusqlite::Result<StreamStatus> {
    use StreamStatus::*;
    let text = row.get_ref(8)?.as_str()?;
    let status = [Enabled, Paused, Disabled].into_iter().find(|status| status.as_str() == text);
    status.ok_or_else(|| row::unreadable(8, format!("`{text}` is no status")))
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;
    use crate::store::sqlite::{SqliteSettings, connection, plan::finds_in};

    #[test]
    fn what_is_not_put_off_is_passed_within_the_index() {
        assert!(finds_in("outbox_waiting", MAKE_DUE));
    }

    /// No foreign key sees to it.
    #[test]
    fn nothing_of_a_stream_is_left_whatever_became_of_its_sets() {
        let folder = TempDir::new().expect("a folder");
        let path = folder.path().join("ssfd.db");
        let db = connection::open(&SqliteSettings { path, ..SqliteSettings::default() });
        let db = db.expect("opens");
        let stream = "INSERT INTO streams (id, provider, receiver, audience, default_subjects,
                subject_format, status, version, created_at)
            VALUES (?1, 'default', 'rx', '', '', '', 'enabled', 1, 0)";
        // One waits, one was sent, one is dead, and one was discarded.
        let sets = "INSERT INTO outbox (stream, provider, jti, lane, head, control, polled,
                appended_at, due_at, settled_at, reason, discarded)
            SELECT key, 'default', jti, 0, settled IS NULL, 0, 0, 0, 0, settled, dead, discarded
            FROM streams, (SELECT 'a' AS jti, NULL AS settled, NULL AS dead, NULL AS discarded
                UNION ALL VALUES ('b', 1, NULL, NULL), ('c', 1, 'x', NULL), ('d', 1, NULL, 'x'))";
        for id in ["st_1", "st_2"] {
            db.execute(stream, [id]).expect("inserted");
        }
        assert_eq!(db.execute(sets, []).expect("inserted"), 8);
        assert!(delete(&db, &"st_1".parse().expect("valid")).expect("deleted"));
        let left = "SELECT count(*), count(DISTINCT stream) FROM outbox";
        let left: (i64, i64) =
            db.query_row(left, [], |row| Ok((row.get(0)?, row.get(1)?))).expect("numbers");
        assert_eq!(left, (4, 1));
    }
}
