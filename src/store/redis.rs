//! The store in Redis, for when one machine is not enough: a server, one behind Sentinels, or a
//! Cluster.
//!
//! Streams are divided into [slots](slot::Slot). All that is about one stream is in its slot, and each call
//! about it is one script there: one step, and one round trip. A call about many streams is a script
//! on each of their slots, sent together. What belongs to no stream has a slot by its name, or is with
//! others of its kind in one place. `keys.rs` names every key, `codec.rs` the records.
//!
//! A call that is several steps says in its module what holds if it breaks off.

mod accounts;
mod activity;
mod append;
mod checks;
mod codec;
mod connection;
mod credentials;
mod epochs;
mod error;
mod judge;
mod kept;
mod keys;
mod ledger;
pub mod link;
mod lists;
mod outbox;
mod poll;
mod portable;
mod retention;
mod script;
mod settings;
mod slots;
mod streams;

use std::sync::Arc;

use async_trait::async_trait;

use self::{
    codec::{FORMAT, INCOMPLETE},
    link::Link,
    slots::Slots,
};
pub use self::{
    epochs::Epochs,
    settings::{Checks, RedisSettings, Topology},
};
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
        slot::{self, SlotSet},
    },
};

/// The store in Redis. Connections are opened when they are needed and replaced when they break, so
/// that a server that was away is served from again without a restart.
pub struct RedisStore {
    slots: Arc<Slots>,
}

impl RedisStore {
    /// Connects; refuses a server that is not fit to be a store, unless that is only to be told, and
    /// what a newer version has written. `epochs` are those of the slots that
    /// this node serves, if there are several nodes. Must be called within a runtime that outlives
    /// the store.
    pub async fn open(settings: &RedisSettings, epochs: Arc<Epochs>) -> Result<Self, StoreError> {
        let (store, version) = Self::connect(settings, epochs).await?;
        match version {
            FORMAT => Ok(store),
            INCOMPLETE => Err(StoreError::Corrupt(
                "Redis: a copy into it is not complete; `ssfd store copy` completes it".to_owned(),
            )),
            _ => Err(written_by_another(version)),
        }
    }

    /// The same for what is copied into, and lacks something for as long as that takes.
    pub async fn open_to_fill(settings: &RedisSettings) -> Result<Self, StoreError> {
        let (store, version) = Self::connect(settings, Arc::default()).await?;
        match version {
            FORMAT | INCOMPLETE => Ok(store),
            _ => Err(written_by_another(version)),
        }
    }

    async fn connect(
        settings: &RedisSettings,
        epochs: Arc<Epochs>,
    ) -> Result<(Self, u32), StoreError> {
        let slots = Arc::new(Slots::new(settings, epochs)?);
        checks::check(slots.connections(), settings).await?;
        let version = slots.run(slots.call_shared(&script::OPEN).arg(FORMAT)).await?;
        Ok((Self { slots }, version))
    }

    /// For nodes that share this store: what they say to each other by way of it.
    pub fn link(&self) -> Link {
        Link::new(Arc::clone(&self.slots))
    }
}

fn written_by_another(version: u32) -> StoreError {
    StoreError::Corrupt(format!(
        "Redis: written by another ssfd: format {version}, and this one knows {FORMAT}"
    ))
}

#[async_trait]
impl Store for RedisStore {
    async fn create_stream(&self, stream: StreamConfig, limit: usize) -> Result<(), StoreError> {
        streams::create(&self.slots, &stream, limit).await
    }

    async fn update_stream(&self, stream: StreamConfig) -> Result<(), StoreError> {
        streams::update(&self.slots, &stream).await
    }

    async fn change_status(
        &self,
        stream: StreamConfig,
        announcement: Announcement,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        streams::change_status(&self.slots, &stream, &announcement, now).await
    }

    async fn delete_stream(&self, id: &StreamId) -> Result<bool, StoreError> {
        streams::delete(&self.slots, id).await
    }

    async fn streams(&self) -> Result<Vec<StreamConfig>, StoreError> {
        streams::all(&self.slots).await
    }

    async fn stream(&self, id: &StreamId) -> Result<Option<StreamConfig>, StoreError> {
        streams::find(&self.slots, id).await
    }

    async fn change_list(
        &self,
        stream: &StreamId,
        entry: Filing,
        change: ListChange,
        limit: usize,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        lists::change(&self.slots, stream, &entry, change, limit, now).await
    }

    async fn listed(
        &self,
        provider: &ProviderName,
        subjects: Vec<SubjectKeys>,
        now: Timestamp,
    ) -> Result<Vec<Listed>, StoreError> {
        lists::listed(&self.slots, provider, &subjects, now).await
    }

    async fn streams_with_list(&self) -> Result<Vec<StreamId>, StoreError> {
        lists::streams_with_list(&self.slots).await
    }

    async fn expire_lists(&self, now: Timestamp) -> Result<bool, StoreError> {
        lists::expire(&self.slots, now).await
    }

    async fn append(
        &self,
        batch: AppendBatch,
        durable: Durable<'_>,
    ) -> Result<Vec<Appended>, StoreError> {
        append::append(&self.slots, &batch, durable).await
    }

    async fn opted_out(&self, accounts: Vec<SubjectKey>) -> Result<bool, StoreError> {
        accounts::is_any_opted_out(&self.slots, &accounts).await
    }

    async fn position(&self, partition: &str) -> Result<Option<Position>, StoreError> {
        append::position(&self.slots, partition).await
    }

    async fn read_due(
        &self,
        stream: &StreamId,
        query: OutboxQuery,
        now: Timestamp,
    ) -> Result<Due, StoreError> {
        outbox::read_due(&self.slots, stream, &query, now).await
    }

    async fn settle(
        &self,
        stream: &StreamId,
        settlements: Vec<Settlement>,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        outbox::settle(&self.slots, stream, &settlements, now).await
    }

    async fn read_pending(
        &self,
        stream: &StreamId,
        after: Cursor,
        limit: usize,
    ) -> Result<Vec<PendingSet>, StoreError> {
        outbox::read_pending(&self.slots, stream, after, limit).await
    }

    async fn acknowledge(
        &self,
        stream: &StreamId,
        acknowledgement: Acknowledgement,
        now: Timestamp,
    ) -> Result<Acknowledged, StoreError> {
        poll::acknowledge(&self.slots, stream, &acknowledgement, now).await
    }

    async fn take_for_poll(
        &self,
        stream: &StreamId,
        limit: usize,
        now: Timestamp,
        hidden_until: Timestamp,
    ) -> Result<Polled, StoreError> {
        poll::take(&self.slots, stream, limit, now, hidden_until).await
    }

    async fn next_due(
        &self,
        stream: &StreamId,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, StoreError> {
        outbox::next_due(&self.slots, stream, now).await
    }

    async fn newest(&self) -> Result<Option<Timestamp>, StoreError> {
        outbox::newest(&self.slots).await
    }

    async fn forget_waits(&self, now: Timestamp) -> Result<usize, StoreError> {
        outbox::forget_waits(&self.slots, now).await
    }

    async fn streams_with_work(
        &self,
        now: Timestamp,
        slots: SlotSet,
    ) -> Result<Vec<StreamId>, StoreError> {
        outbox::streams_with_work(&self.slots, now, slots).await
    }

    async fn backlog(&self) -> Result<Vec<Backlog>, StoreError> {
        outbox::backlog(&self.slots).await
    }

    async fn waiting(&self, stream: &StreamId) -> Result<Waiting, StoreError> {
        outbox::waiting(&self.slots, stream).await
    }

    async fn limit_held(
        &self,
        held_max: usize,
        appended_before: Timestamp,
        now: Timestamp,
    ) -> Result<Vec<(ProviderName, usize)>, StoreError> {
        retention::limit_held(&self.slots, held_max, appended_before, now).await
    }

    async fn expire(&self, expiry: Expiry) -> Result<bool, StoreError> {
        retention::expire(&self.slots, &expiry).await
    }

    async fn dead_letters(
        &self,
        filter: DeadFilter,
        after: Option<PageToken>,
        limit: usize,
    ) -> Result<Page, StoreError> {
        kept::dead_letters(&self.slots, &filter, after.as_ref(), limit).await
    }

    async fn retained(
        &self,
        stream: &StreamId,
        since: Since,
        after: Option<PageToken>,
        limit: usize,
    ) -> Result<Page, StoreError> {
        kept::retained(&self.slots, stream, since, after.as_ref(), limit).await
    }

    async fn requeue(
        &self,
        stream: &StreamId,
        sets: Vec<Requeue>,
        now: Timestamp,
    ) -> Result<usize, StoreError> {
        kept::requeue(&self.slots, stream, &sets, now).await
    }

    async fn purge(&self, stream: &StreamId, sets: Vec<Seq>) -> Result<usize, StoreError> {
        kept::purge(&self.slots, stream, &sets).await
    }

    async fn dead_counts(&self) -> Result<Vec<DeadCount>, StoreError> {
        kept::counts(&self.slots).await
    }

    async fn sets_of_jti(&self, jti: &Jti) -> Result<Vec<KeptSet>, StoreError> {
        kept::of_jti(&self.slots, jti).await
    }

    async fn kept_sets(&self, sets: Vec<(StreamId, Jti)>) -> Result<Vec<KeptSet>, StoreError> {
        kept::of_jtis(&self.slots, &sets).await
    }

    async fn event_with_id(
        &self,
        provider: &ProviderName,
        event_id: &str,
    ) -> Result<Option<RecordedEvent>, StoreError> {
        ledger::with_id(&self.slots, provider, event_id).await
    }

    async fn events_accepted_at(
        &self,
        provider: &ProviderName,
        accepted_at: Timestamp,
    ) -> Result<Vec<RecordedEvent>, StoreError> {
        ledger::accepted_at(&self.slots, provider, accepted_at).await
    }

    async fn record_activity(
        &self,
        last: Vec<(StreamId, Timestamp)>,
        recorded_at: Option<Timestamp>,
    ) -> Result<(), StoreError> {
        activity::record(&self.slots, &last, recorded_at).await
    }

    async fn activity(&self) -> Result<ActivityRecord, StoreError> {
        activity::all(&self.slots).await
    }

    async fn put_grant(&self, grant: Grant) -> Result<(), StoreError> {
        credentials::put_grant(&self.slots, &grant).await
    }

    async fn grant(&self, hash: &TokenHash) -> Result<Option<Grant>, StoreError> {
        credentials::grant(&self.slots, hash).await
    }

    async fn grants(&self) -> Result<Vec<Grant>, StoreError> {
        credentials::grants(&self.slots).await
    }

    async fn revoke_grant(&self, hash: &TokenHash) -> Result<bool, StoreError> {
        credentials::revoke(&self.slots, hash).await
    }

    async fn expire_grants(&self, now: Timestamp) -> Result<bool, StoreError> {
        credentials::expire(&self.slots, now).await
    }

    async fn create_client(&self, client: Client) -> Result<(), StoreError> {
        credentials::create_client(&self.slots, &client).await
    }

    async fn client(&self, id: &ClientId) -> Result<Option<Client>, StoreError> {
        credentials::client(&self.slots, id).await
    }

    async fn clients(&self) -> Result<Vec<Client>, StoreError> {
        credentials::clients(&self.slots).await
    }

    async fn delete_client(&self, id: &ClientId) -> Result<bool, StoreError> {
        credentials::delete_client(&self.slots, id).await
    }

    async fn issue_grant(
        &self,
        client: &ClientId,
        grant: Grant,
        live_max: usize,
    ) -> Result<(), StoreError> {
        credentials::issue(&self.slots, client, &grant, live_max).await
    }
}
