//! Records: whatever the daemon keeps and rarely writes.
//!
//! A kind of record is one file beside this one: a type with [`Record`], and the calls that its users
//! make. The backends know no kind. They store a value with a name, a version and a few properties,
//! and do each write in one atomic step.
//!
//! ```text
//!  client.rs, token.rs, activity.rs, clock.rs …  kinds: a type, its name, its calls
//!                   │  get, create, replace, put, list …
//!                   ▼
//!               Record                           typed ⇄ JSON, with a format version
//!                   │  RawRecord
//!                   ▼
//!               Records                          sqlite/records.rs, redis/records.rs
//! ```
//!
//! The seam offers:
//!
//! - A *version* that the store raises with each write. [`replace`] writes only over the version that
//!   the caller has read. A version is never given twice, not even after a record was deleted. A
//!   deletion takes a version as well, so that [`Records::records_state`] tells of each change.
//! - A *time* (`made_at`) by which the youngest of a group are kept, and by which [`Condition::Newer`]
//!   lets the latest of several writers win without reading first.
//! - *Expiry*: [`Records::expire_records`] removes expired records now and then. Until then a record
//!   can be read, so a reader judges the time itself.
//! - *Belonging*: a record goes with the record or the stream that it belongs to, in the same step.
//!   On Redis, a record of a stream is in the slot of the stream, and all others are in one place.
//! - `ssfd store copy` and `verify` take all records along, also of kinds that this version does not
//!   know.
//!
//! No kind is fenced by epoch: any node may write a record, and the version or the time decides. A
//! result that only the node that serves a stream may write belongs into the outbox.

pub mod activity;
pub mod client;
pub mod clock;
pub mod device;
pub mod device_token;
pub mod held_event;
pub mod held_losses;
pub mod last_use;
mod mark;
pub mod poll_position;
pub mod rejected_record;
pub mod signing_key;
pub mod source_value;
pub mod token;

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use serde::{Serialize, de::DeserializeOwned};

use super::{StoreError, archive::PageToken};
use crate::domain::{id::StreamId, time::Timestamp};

/// Records of all kinds. A call that is made again after [`StoreError::Unavailable`] changes nothing
/// if the first one was done.
#[async_trait]
pub trait Records: Send + Sync {
    /// Reads one record that belongs to no stream. One cheap look-up: requests are authenticated by it.
    async fn record(&self, name: RecordName) -> Result<Option<StoredRecord>, StoreError>;

    /// Returns records of one kind, about `limit` of them. Records that belong to no stream come in the
    /// order of their keys.
    async fn list_records(
        &self,
        query: RecordQuery,
        after: Option<PageToken>,
        limit: usize,
    ) -> Result<RecordPage, StoreError>;

    /// Returns the records of all kinds that belong to a stream.
    async fn records_of_stream(&self, stream: &StreamId) -> Result<Vec<RawRecord>, StoreError>;

    /// Writes records, each in one atomic step. Returns the version of each record, or `None` where
    /// its condition was not met, or where the record or stream that it belongs to does not exist. A
    /// record that is stored already exactly as it would be written keeps its version.
    async fn write_records(&self, writes: Vec<RecordWrite>)
    -> Result<Vec<Option<u64>>, StoreError>;

    /// Deletes a record that belongs to no stream, together with the records that belong to it. With a
    /// `version`, returns [`StoreError::Conflict`] if the record has another one. Returns `false` if
    /// there is no such record.
    async fn delete_record(
        &self,
        name: RecordName,
        version: Option<u64>,
    ) -> Result<bool, StoreError>;

    /// Removes expired records, a bounded number in one call. Returns `true` if there may be more.
    /// Records of streams do not expire.
    async fn expire_records(&self, now: Timestamp) -> Result<bool, StoreError>;

    /// Returns a number that is another one after each write and each deletion of records that belong to
    /// no stream, also by another process. Whoever depends on such records asks for it now and then. One
    /// cheap look-up.
    async fn records_state(&self) -> Result<u64, StoreError>;
}

/// The name of a record. It is unique in the store.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordName {
    /// Letters and underscores, so that a kind can be told from the key behind it.
    pub kind: String,
    pub key: String,
}

impl RecordName {
    pub fn new(kind: &str, key: &str) -> Self {
        Self { kind: kind.to_owned(), key: key.to_owned() }
    }

    /// Reads a name that was printed.
    pub(super) fn parse(text: &str) -> Option<Self> {
        text.split_once('/').map(|(kind, key)| Self::new(kind, key))
    }
}

impl fmt::Display for RecordName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind, self.key)
    }
}

/// The record or the stream with which a record goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BelongsTo {
    Nothing,
    /// A record that belongs to nothing itself.
    Record(RecordName),
    Stream(StreamId),
}

/// A record as the backends see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawRecord {
    pub name: RecordName,
    pub belongs_to: BelongsTo,
    /// The version of the kind's format, by which a later version of the daemon reads the value.
    pub format: u32,
    pub made_at: Timestamp,
    pub expires_at: Option<Timestamp>,
    /// JSON.
    pub value: Arc<str>,
}

/// A record with the version that the store gave it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRecord {
    pub version: u64,
    pub record: RawRecord,
}

/// When a record is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    Always,
    /// If no record has the name.
    Absent,
    /// If the stored record has this version.
    Version(u64),
    /// If no record has the name, or the stored one has an earlier `made_at`.
    Newer,
}

/// A record that is to be written.
#[derive(Debug, Clone)]
pub struct RecordWrite {
    pub record: RawRecord,
    pub condition: Condition,
    /// How many records of this kind stay of those that belong to the same record; the youngest stay.
    pub keep_youngest: Option<usize>,
}

/// The records that are listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordQuery {
    pub kind: String,
    pub filter: RecordFilter,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecordFilter {
    /// Records that belong to no stream, and whose key begins with this prefix.
    All { prefix: String },
    /// The same without records that belong to another record.
    Unowned { prefix: String },
    /// Records that belong to streams.
    OfStreams,
}

/// Some of the records that were asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordPage {
    pub records: Vec<StoredRecord>,
    /// `None` on the last page.
    pub next: Option<PageToken>,
}

/// A kind of record, as a type.
pub trait Record: Serialize + DeserializeOwned {
    /// The name of the kind: in the plural, since `ssfd store` counts records by it.
    const KIND: &'static str;

    /// Grows when an earlier version of the daemon could not read the value.
    const FORMAT: u32 = 1;

    fn key(&self) -> String;

    fn made_at(&self) -> Timestamp;

    fn expires_at(&self) -> Option<Timestamp> {
        None
    }

    /// Reads a value of this format or an earlier one.
    fn read(_format: u32, value: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(value)
    }
}

/// A record of some kind with its version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Versioned<R> {
    pub version: u64,
    pub record: R,
}

fn raw<R: Record>(record: &R, belongs_to: BelongsTo) -> RawRecord {
    RawRecord {
        name: RecordName::new(R::KIND, &record.key()),
        belongs_to,
        format: R::FORMAT,
        made_at: record.made_at(),
        expires_at: record.expires_at(),
        value: serde_json::to_string(record).expect("a record is JSON").into(),
    }
}

fn typed<R: Record>(stored: &StoredRecord) -> Result<Versioned<R>, StoreError> {
    let RawRecord { format, value, .. } = &stored.record;
    if R::FORMAT < *format {
        return Err(StoreError::Corrupt(format!(
            "a record of the kind {} was written by a newer ssfd: format {format}, and this one knows {}",
            R::KIND,
            R::FORMAT,
        )));
    }
    let record = R::read(*format, value).map_err(|error| {
        StoreError::Corrupt(format!("a record of the kind {}: {error}", R::KIND))
    })?;
    Ok(Versioned { version: stored.version, record })
}

/// Reads one record.
pub async fn get<R: Record>(
    store: &(impl Records + ?Sized),
    key: &str,
) -> Result<Option<Versioned<R>>, StoreError> {
    let found = store.record(RecordName::new(R::KIND, key)).await?;
    found.as_ref().map(typed).transpose()
}

/// Writes a record whether or not there is one of its name.
pub async fn put<R: Record>(
    store: &(impl Records + ?Sized),
    record: &R,
) -> Result<u64, StoreError> {
    write(store, raw(record, BelongsTo::Nothing), Condition::Always, None).await
}

/// Writes a record that belongs to another one. With `keep_youngest`, so many of its kind stay.
/// Returns [`StoreError::Conflict`] if there is no record of the name `owner`.
pub async fn put_owned<R: Record>(
    store: &(impl Records + ?Sized),
    record: &R,
    owner: RecordName,
    keep_youngest: Option<usize>,
) -> Result<u64, StoreError> {
    let record = raw(record, BelongsTo::Record(owner));
    write(store, record, Condition::Always, keep_youngest).await
}

/// Writes a new record. Returns [`StoreError::Conflict`] if there is another one of its name.
pub async fn create<R: Record>(
    store: &(impl Records + ?Sized),
    record: &R,
) -> Result<u64, StoreError> {
    write(store, raw(record, BelongsTo::Nothing), Condition::Absent, None).await
}

/// Writes a record over the version that the caller has read. Returns [`StoreError::Conflict`] if it
/// was changed or deleted since.
pub async fn replace<R: Record>(
    store: &(impl Records + ?Sized),
    record: &R,
    version: u64,
) -> Result<u64, StoreError> {
    write(store, raw(record, BelongsTo::Nothing), Condition::Version(version), None).await
}

async fn write(
    store: &(impl Records + ?Sized),
    record: RawRecord,
    condition: Condition,
    keep_youngest: Option<usize>,
) -> Result<u64, StoreError> {
    let written =
        store.write_records(vec![RecordWrite { record, condition, keep_youngest }]).await?;
    written.first().copied().flatten().ok_or(StoreError::Conflict)
}

/// Deletes a record, and with it those that belong to it. Returns `false` if there is none.
pub async fn delete<R: Record>(
    store: &(impl Records + ?Sized),
    key: &str,
) -> Result<bool, StoreError> {
    store.delete_record(RecordName::new(R::KIND, key), None).await
}

/// How many records are read in one call.
const PAGE: usize = 500;

/// Returns all records of a kind that are meant. For kinds that have thousands of records at most; a
/// longer list is shown page by page ([`page`]).
pub async fn list<R: Record>(
    store: &(impl Records + ?Sized),
    filter: RecordFilter,
) -> Result<Vec<Versioned<R>>, StoreError> {
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let (records, next) = page(store, filter.clone(), after, PAGE).await?;
        all.extend(records);
        after = next;
        if after.is_none() {
            return Ok(all);
        }
    }
}

/// Returns a page of records of a kind, and where the next page begins.
pub async fn page<R: Record>(
    store: &(impl Records + ?Sized),
    filter: RecordFilter,
    after: Option<PageToken>,
    limit: usize,
) -> Result<(Vec<Versioned<R>>, Option<PageToken>), StoreError> {
    let query = RecordQuery { kind: R::KIND.to_owned(), filter };
    let RecordPage { records, next } = store.list_records(query, after, limit).await?;
    let records = records.iter().map(typed).collect::<Result<_, _>>()?;
    Ok((records, next))
}
