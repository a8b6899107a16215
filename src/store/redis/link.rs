//! The state that the nodes of a cluster share in Redis: heartbeats, owners of slots, the change
//! feed and the changes of each slot. This module only carries it; `crate::cluster` gives it its
//! meaning.

use std::{sync::Arc, time::Duration};

use redis::{
    FromRedisValue, RedisResult,
    streams::{StreamReadOptions, StreamReadReply},
};

use tokio::time::timeout;

use super::{
    codec,
    script::{self, Script},
    servers::Connection,
    slot::Slot,
    slots::Slots,
};
use crate::{domain::id::StreamId, store::StoreError};

/// Gives access to the state that nodes share.
#[derive(Clone)]
pub struct Link {
    slots: Arc<Slots>,
}

/// The reply to a heartbeat, as three flat lists of pairs: nodes with their stages, slots with
/// their epochs, and partitions with their epochs.
pub type RawHeartbeatReply = (Vec<String>, Vec<String>, Vec<String>);

/// The streams of a slot that changed after the last change that a node has applied.
#[derive(Debug)]
pub struct SlotChanges {
    /// The id of the newest change.
    pub newest: String,
    pub changed: ChangedStreams,
}

#[derive(Debug)]
pub enum ChangedStreams {
    /// Exactly these streams. Some of them may be deleted.
    Exactly(Vec<StreamId>),
    /// Any of these, which are all streams of the slot, or a stream that was deleted: the slot's
    /// log of changes does not reach back far enough to tell.
    AnyOf(Vec<StreamId>),
}

/// One entry of the change feed.
#[derive(Debug)]
pub struct FeedEntry {
    pub id: String,
    fields: Vec<(String, String)>,
}

/// A connection of its own for reading the change feed.
pub struct FeedConnection {
    connection: Connection,
    feed: String,
    block: Duration,
}

impl Link {
    pub(super) fn new(slots: Arc<Slots>) -> Self {
        Self { slots }
    }

    /// Sends a heartbeat with the arguments of `scripts/heartbeat.lua`. Returns `None` if the store
    /// does not list the node and the heartbeat was not meant to join. A reply later than `within`
    /// is of no use; other connections are used from then on.
    pub async fn heartbeat(
        &self,
        arguments: &[String],
        within: Duration,
    ) -> Result<Option<RawHeartbeatReply>, StoreError> {
        timeout(within, self.run(&script::HEARTBEAT, arguments)).await.unwrap_or_else(|late| {
            self.slots.connections().leave();
            Err(StoreError::Unavailable(Arc::new(late)))
        })
    }

    /// Raises the fencing epoch of a slot, so that the store refuses results of lower epochs.
    /// Returns 0, or the slot's present epoch if that is not lower.
    pub async fn raise_epoch(&self, slot: Slot, epoch: u64, node: &str) -> Result<u64, StoreError> {
        self.slots.run(self.slots.call(&script::RAISE_EPOCH, slot).arg(epoch).arg(node)).await
    }

    /// Removes a node from the list and frees its slots and partitions.
    pub async fn depart(&self, node: &str) -> Result<(), StoreError> {
        self.run(&script::DEPART, &[node.to_owned()]).await
    }

    /// Returns the live nodes.
    pub async fn live_nodes(&self) -> Result<Vec<String>, StoreError> {
        self.run(&script::LIVE, &[]).await
    }

    /// Appends an entry to the change feed, which keeps about `kept` entries.
    pub async fn append_to_feed(
        &self,
        kept: usize,
        fields: &[(&str, String)],
    ) -> Result<(), StoreError> {
        let mut call = self.slots.call_cluster(&script::FEED_APPEND).arg(kept);
        for field in fields {
            call.push(field);
        }
        self.slots.run(call).await
    }

    /// Returns the id of the newest entry of the change feed.
    pub async fn newest_feed_entry(&self) -> Result<String, StoreError> {
        self.run(&script::FEED_NEWEST, &[]).await
    }

    /// Returns the streams of a slot that changed after the change `after`. With an empty `after`,
    /// returns no streams and only the id of the newest change.
    pub async fn slot_changes(&self, slot: Slot, after: &str) -> Result<SlotChanges, StoreError> {
        let call = self.slots.call(&script::CHANGES, slot).arg(after);
        let (newest, known, streams): (String, bool, Vec<String>) = self.slots.run(call).await?;
        let streams = streams.into_iter().map(codec::parsed).collect::<Result<_, _>>()?;
        let changed =
            if known { ChangedStreams::Exactly(streams) } else { ChangedStreams::AnyOf(streams) };
        Ok(SlotChanges { newest, changed })
    }

    /// Opens a connection to the change feed. Each read on it waits up to `block` for entries.
    pub async fn connect_to_feed(&self, block: Duration) -> Result<FeedConnection, StoreError> {
        let connection = self.slots.connections().connect_apart(block).await?;
        let feed = format!("{}:feed", self.slots.keys().cluster());
        Ok(FeedConnection { connection, feed, block })
    }

    async fn run<T: FromRedisValue>(
        &self,
        script: &'static Script,
        arguments: &[String],
    ) -> Result<T, StoreError> {
        let mut call = self.slots.call_cluster(script);
        for argument in arguments {
            call.push(argument);
        }
        self.slots.run(call).await
    }
}

/// The most entries of one read.
const ENTRIES_MAX: usize = 100;

impl FeedConnection {
    /// Returns the entries after the one with this id, in their order. Returns none if none arrived
    /// within the time that a read waits.
    pub async fn read_after(&mut self, id: &str) -> Result<Vec<FeedEntry>, StoreError> {
        let block = usize::try_from(self.block.as_millis()).unwrap_or(usize::MAX);
        // At least 1, because Redis takes 0 as no limit.
        let options = StreamReadOptions::default().count(ENTRIES_MAX).block(block.max(1));
        let read = redis::Cmd::xread_options(&[&self.feed], &[id], &options);
        let answer: RedisResult<Option<StreamReadReply>> =
            read.query_async(&mut self.connection).await;
        let entries = answer?.into_iter().flat_map(|reply| reply.keys).flat_map(|key| key.ids);
        let entries = entries.map(|entry| {
            let text = |value| redis::from_redis_value::<String>(value).unwrap_or_default();
            let fields = entry.map.into_iter().map(|(field, value)| (field, text(value)));
            FeedEntry { id: entry.id, fields: fields.collect() }
        });
        Ok(entries.collect())
    }
}

impl FeedEntry {
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields().find(|(field, _)| *field == name).map(|(_, value)| value)
    }

    pub fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        self.fields.iter().map(|(field, value)| (field.as_str(), value.as_str()))
    }
}
