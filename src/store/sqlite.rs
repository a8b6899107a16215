//! The store in one SQLite file: nothing to install, and one machine's worth of speed. One thread
//! writes and commits in groups, a few others read; no call blocks the runtime.

mod activity;
mod append;
mod clients;
mod connection;
mod due;
mod error;
mod folding;
mod grants;
mod job;
mod kept;
mod ledger;
mod lookup;
mod opt_out;
mod outbox;
#[cfg(test)]
mod plan;
mod portable;
mod reader;
mod retention;
mod row;
mod streams;
mod subjects;
mod writer;

use std::{num::NonZeroUsize, path::PathBuf, time::Duration};

use async_trait::async_trait;
use rusqlite::Connection;
use serde::{Deserialize, Serialize};

use self::{append::Appending, folding::Folding, reader::Readers, writer::Writer};
use crate::{
    delivery::outbox::{Cursor, OutboxQuery, PendingSet, Seq, Settlement},
    domain::{
        client::Client,
        grant::{Grant, TokenHash},
        id::{ClientId, Jti, ProviderName, StreamId},
        stream::StreamConfig,
        subject::{
            keys::{Filing, SubjectKey, SubjectKeys},
            list::{ListChange, Listed},
        },
        time::Timestamp,
    },
    store::{
        Acknowledged, Acknowledgement, ActivityRecord, Announcement, AppendBatch, Appended,
        Backlog, Due, Durable, Polled, Position, Store, StoreError, Waiting,
        kept::{DeadCount, DeadFilter, Expiry, KeptSet, Page, PageToken, Requeue, Since},
        ledger::RecordedEvent,
        slot::SlotSet,
    },
};

/// Where the database is and how it is served.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SqliteSettings {
    /// The database file. It is created if it is not there; its folder is not.
    pub path: PathBuf,
    /// The most calls that share one commit.
    pub group_max: NonZeroUsize,
    /// The most calls that wait for the writer, and as many for the readers; further ones wait for
    /// a place.
    pub queue_max: NonZeroUsize,
    /// How long the record of an attempt waits for others to share its commit; it does so only
    /// while nothing else is to be written.
    #[serde(with = "humantime_serde")]
    pub settle_delay: Duration,
    /// Threads that read.
    pub readers: NonZeroUsize,
    /// How long to wait for another process that writes into the same file.
    #[serde(with = "humantime_serde")]
    pub busy_timeout: Duration,
}

impl Default for SqliteSettings {
    fn default() -> Self {
        const fn at_least_one(number: usize) -> NonZeroUsize {
            NonZeroUsize::new(number).expect("the defaults are not zero")
        }
        Self {
            path: PathBuf::from("ssfd.db"),
            group_max: const { at_least_one(256) },
            queue_max: const { at_least_one(1024) },
            settle_delay: Duration::from_millis(2),
            readers: const { at_least_one(2) },
            busy_timeout: Duration::from_secs(5),
        }
    }
}

/// The store in one SQLite file. Dropping it ends its threads, once the calls they were given are
/// done.
pub struct SqliteStore {
    // Dropped in this order: the last connection to be closed folds the log into the database,
    // which a reader may not.
    readers: Readers,
    writer: Writer,
    _folding: Option<Folding>,
}

impl SqliteStore {
    /// Opens the database, or creates it with an empty schema. Refuses a file that is not a
    /// database of ours or was written by a newer version; the error names the path.
    pub fn open(settings: &SqliteSettings) -> Result<Self, StoreError> {
        Self::over(connection::open(settings)?, settings)
    }

    /// The same for what is copied into, and lacks something for as long as that takes.
    pub fn open_to_fill(settings: &SqliteSettings) -> Result<Self, StoreError> {
        Self::over(connection::open_to_fill(settings)?, settings)
    }

    /// Opens a database that is there already, for a look at it while a daemon may serve from it.
    /// Nothing can be written.
    pub fn open_read_only(settings: &SqliteSettings) -> Result<Self, StoreError> {
        let writer = Writer::start(connection::open_existing(settings)?, settings)?;
        Ok(Self { readers: Readers::start(settings)?, writer, _folding: None })
    }

    fn over(mut db: Connection, settings: &SqliteSettings) -> Result<Self, StoreError> {
        let folding = Folding::start(&mut db, settings)?;
        let writer = Writer::start(db, settings)?;
        Ok(Self { readers: Readers::start(settings)?, writer, _folding: Some(folding) })
    }

    /// Groups of calls committed so far.
    pub fn commits(&self) -> u64 {
        self.writer.commits()
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn create_stream(&self, stream: StreamConfig, limit: usize) -> Result<(), StoreError> {
        self.writer.run(move |db| streams::create(db, &stream, limit)).await
    }

    async fn update_stream(&self, stream: StreamConfig) -> Result<(), StoreError> {
        self.writer.run(move |db| streams::update(db, &stream)).await
    }

    async fn change_status(
        &self,
        stream: StreamConfig,
        announcement: Announcement,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        self.writer.run(move |db| streams::change_status(db, &stream, &announcement, now)).await
    }

    async fn delete_stream(&self, id: &StreamId) -> Result<bool, StoreError> {
        let id = id.clone();
        self.writer.run(move |db| streams::delete(db, &id)).await
    }

    async fn streams(&self) -> Result<Vec<StreamConfig>, StoreError> {
        self.readers.run(streams::all).await
    }

    async fn stream(&self, id: &StreamId) -> Result<Option<StreamConfig>, StoreError> {
        let id = id.clone();
        self.readers.run(move |db| streams::find(db, &id)).await
    }

    async fn change_list(
        &self,
        stream: &StreamId,
        entry: Filing,
        change: ListChange,
        limit: usize,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let stream = stream.clone();
        self.writer.run(move |db| subjects::change(db, &stream, &entry, change, limit, now)).await
    }

    async fn listed(
        &self,
        provider: &ProviderName,
        subjects: Vec<SubjectKeys>,
        now: Timestamp,
    ) -> Result<Vec<Listed>, StoreError> {
        let provider = provider.clone();
        self.readers.run(move |db| subjects::listed(db, &provider, &subjects, now)).await
    }

    async fn streams_with_list(&self) -> Result<Vec<StreamId>, StoreError> {
        self.readers.run(subjects::streams_with_list).await
    }

    async fn expire_lists(&self, now: Timestamp) -> Result<bool, StoreError> {
        self.writer.run(move |db| subjects::expire(db, now)).await
    }

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
        self.readers.run(move |db| append::position(db, &partition)).await
    }

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
            let due::Read { sets, next_retry, unwanted } = self.readers.run(read).await?;
            if unwanted.is_empty() {
                return Ok(Due { sets, next_retry, discarded });
            }
            // In their place there may be others to read.
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
        self.writer.run_patiently(move |db| outbox::settle(db, &stream, &settlements, now)).await
    }

    async fn read_pending(
        &self,
        stream: &StreamId,
        after: Cursor,
        limit: usize,
    ) -> Result<Vec<PendingSet>, StoreError> {
        let stream = stream.clone();
        self.readers.run(move |db| outbox::read_pending(db, &stream, after, limit)).await
    }

    async fn acknowledge(
        &self,
        stream: &StreamId,
        acknowledgement: Acknowledgement,
        now: Timestamp,
    ) -> Result<Acknowledged, StoreError> {
        let stream = stream.clone();
        self.writer
            .run_often(move |db| outbox::acknowledge(db, &stream, &acknowledgement, now))
            .await
    }

    async fn take_for_poll(
        &self,
        stream: &StreamId,
        limit: usize,
        now: Timestamp,
        hidden_until: Timestamp,
    ) -> Result<Polled, StoreError> {
        let stream = stream.clone();
        self.writer.run_often(move |db| outbox::take(db, &stream, limit, now, hidden_until)).await
    }

    async fn next_due(
        &self,
        stream: &StreamId,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, StoreError> {
        let stream = stream.clone();
        self.readers.run(move |db| outbox::next_due(db, &stream, now)).await
    }

    async fn newest(&self) -> Result<Option<Timestamp>, StoreError> {
        self.readers.run(outbox::newest).await
    }

    async fn forget_waits(&self, now: Timestamp) -> Result<usize, StoreError> {
        self.writer.run(move |db| outbox::forget_waits(db, now)).await
    }

    async fn streams_with_work(
        &self,
        now: Timestamp,
        _: SlotSet,
    ) -> Result<Vec<StreamId>, StoreError> {
        self.readers.run(move |db| outbox::streams_with_work(db, now)).await
    }

    async fn backlog(&self) -> Result<Vec<Backlog>, StoreError> {
        self.readers.run(outbox::backlog).await
    }

    async fn waiting(&self, stream: &StreamId) -> Result<Waiting, StoreError> {
        let stream = stream.clone();
        self.readers.run(move |db| outbox::waiting(db, &stream)).await
    }

    async fn limit_held(
        &self,
        held_max: usize,
        appended_before: Timestamp,
        now: Timestamp,
    ) -> Result<Vec<(ProviderName, usize)>, StoreError> {
        let limit = move |db: &_| retention::limit_held(db, held_max, appended_before, now);
        self.writer.run(limit).await
    }

    async fn expire(&self, expiry: Expiry) -> Result<bool, StoreError> {
        self.writer.run(move |db| retention::expire(db, &expiry)).await
    }

    async fn dead_letters(
        &self,
        filter: DeadFilter,
        after: Option<PageToken>,
        limit: usize,
    ) -> Result<Page, StoreError> {
        self.readers.run(move |db| kept::dead_letters(db, &filter, after.as_ref(), limit)).await
    }

    async fn retained(
        &self,
        stream: &StreamId,
        since: Since,
        after: Option<PageToken>,
        limit: usize,
    ) -> Result<Page, StoreError> {
        let stream = stream.clone();
        let read = move |db: &_| kept::retained(db, &stream, since, after.as_ref(), limit);
        self.readers.run(read).await
    }

    async fn requeue(
        &self,
        stream: &StreamId,
        sets: Vec<Requeue>,
        now: Timestamp,
    ) -> Result<usize, StoreError> {
        let stream = stream.clone();
        self.writer.run(move |db| kept::requeue(db, &stream, &sets, now)).await
    }

    async fn purge(&self, stream: &StreamId, sets: Vec<Seq>) -> Result<usize, StoreError> {
        let stream = stream.clone();
        self.writer.run(move |db| kept::purge(db, &stream, &sets)).await
    }

    async fn dead_counts(&self) -> Result<Vec<DeadCount>, StoreError> {
        self.readers.run(kept::counts).await
    }

    async fn sets_of_jti(&self, jti: &Jti) -> Result<Vec<KeptSet>, StoreError> {
        let jti = jti.clone();
        self.readers.run(move |db| kept::of_jti(db, &jti)).await
    }

    async fn kept_sets(&self, sets: Vec<(StreamId, Jti)>) -> Result<Vec<KeptSet>, StoreError> {
        self.readers.run(move |db| kept::of_jtis(db, &sets)).await
    }

    async fn event_with_id(
        &self,
        provider: &ProviderName,
        event_id: &str,
    ) -> Result<Option<RecordedEvent>, StoreError> {
        let (provider, event_id) = (provider.clone(), event_id.to_owned());
        self.readers.run(move |db| ledger::with_id(db, &provider, &event_id)).await
    }

    async fn events_accepted_at(
        &self,
        provider: &ProviderName,
        accepted_at: Timestamp,
    ) -> Result<Vec<RecordedEvent>, StoreError> {
        let provider = provider.clone();
        self.readers.run(move |db| ledger::accepted_at(db, &provider, accepted_at)).await
    }

    async fn record_activity(
        &self,
        last: Vec<(StreamId, Timestamp)>,
        recorded_at: Option<Timestamp>,
    ) -> Result<(), StoreError> {
        self.writer.run(move |db| activity::record(db, &last, recorded_at)).await
    }

    async fn activity(&self) -> Result<ActivityRecord, StoreError> {
        self.readers.run(activity::all).await
    }

    async fn put_grant(&self, grant: Grant) -> Result<(), StoreError> {
        self.writer.run(move |db| grants::put(db, &grant)).await
    }

    async fn grant(&self, hash: &TokenHash) -> Result<Option<Grant>, StoreError> {
        let hash = hash.clone();
        self.readers.run(move |db| grants::find(db, &hash)).await
    }

    async fn grants(&self) -> Result<Vec<Grant>, StoreError> {
        self.readers.run(grants::all).await
    }

    async fn revoke_grant(&self, hash: &TokenHash) -> Result<bool, StoreError> {
        let hash = hash.clone();
        self.writer.run(move |db| grants::revoke(db, &hash)).await
    }

    async fn expire_grants(&self, now: Timestamp) -> Result<bool, StoreError> {
        self.writer.run(move |db| grants::expire(db, now)).await
    }

    async fn create_client(&self, client: Client) -> Result<(), StoreError> {
        self.writer.run(move |db| clients::create(db, &client)).await
    }

    async fn client(&self, id: &ClientId) -> Result<Option<Client>, StoreError> {
        let id = id.clone();
        self.readers.run(move |db| clients::find(db, &id)).await
    }

    async fn clients(&self) -> Result<Vec<Client>, StoreError> {
        self.readers.run(clients::all).await
    }

    async fn delete_client(&self, id: &ClientId) -> Result<bool, StoreError> {
        let id = id.clone();
        self.writer.run(move |db| clients::delete(db, &id)).await
    }

    async fn issue_grant(
        &self,
        client: &ClientId,
        grant: Grant,
        live_max: usize,
    ) -> Result<(), StoreError> {
        let client = client.clone();
        self.writer.run(move |db| clients::issue(db, &client, &grant, live_max)).await
    }
}
