//! What nodes that share a store say to each other by way of it. What it means, they know; here it is
//! carried.

use std::{sync::Arc, time::Duration};

use redis::{
    FromRedisValue, RedisResult,
    streams::{StreamReadOptions, StreamReadReply},
};

use tokio::time::timeout;

use super::{
    codec,
    connection::Connection,
    script::{self, Script},
    slot::Slot,
    slots::Slots,
};
use crate::{domain::id::StreamId, store::StoreError};

/// The way to what nodes share.
#[derive(Clone)]
pub struct Link {
    slots: Arc<Slots>,
}

/// Nodes with their stages, slots with their epochs, and partitions with theirs, each in a row.
pub type Heard = (Vec<String>, Vec<String>, Vec<String>);

/// What was changed in a slot since the last change that a node heard of.
#[derive(Debug)]
pub struct SlotChanges {
    /// The id of the newest.
    pub newest: String,
    pub changed: Changed,
}

#[derive(Debug)]
pub enum Changed {
    /// These streams, some of them maybe deleted.
    These(Vec<StreamId>),
    /// It is not known: any, and these are all there are.
    Any(Vec<StreamId>),
}

/// One entry of the feed.
#[derive(Debug)]
pub struct Told {
    pub id: String,
    fields: Vec<(String, String)>,
}

/// Reads the feed, over a connection of its own.
pub struct Listener {
    connection: Connection,
    feed: String,
    block: Duration,
}

impl Link {
    pub(super) fn new(slots: Arc<Slots>) -> Self {
        Self { slots }
    }

    /// A heartbeat, by the arguments of `scripts/beat.lua`. `None` if the node was thought alive and
    /// is not among the others. Later than `within` its answer is of no use; then other connections
    /// are tried.
    pub async fn beat(
        &self,
        arguments: &[String],
        within: Duration,
    ) -> Result<Option<Heard>, StoreError> {
        timeout(within, self.run(&script::BEAT, arguments)).await.unwrap_or_else(|late| {
            self.slots.connections().leave();
            Err(StoreError::Unavailable(Arc::new(late)))
        })
    }

    /// From now on results of a slot are taken in this epoch of this node. Returns 0, or the epoch
    /// that the slot has already and that is no earlier one.
    pub async fn raise(&self, slot: Slot, epoch: u64, node: &str) -> Result<u64, StoreError> {
        self.slots.run(self.slots.call(&script::RAISE, slot).arg(epoch).arg(node)).await
    }

    /// The node goes, and what it holds is free.
    pub async fn depart(&self, node: &str) -> Result<(), StoreError> {
        self.run(&script::DEPART, &[node.to_owned()]).await
    }

    /// The nodes that live.
    pub async fn live(&self) -> Result<Vec<String>, StoreError> {
        self.run(&script::LIVE, &[]).await
    }

    /// Adds an entry to the feed, which keeps about `kept` of them.
    pub async fn tell(&self, kept: usize, fields: &[(&str, String)]) -> Result<(), StoreError> {
        let mut call = self.slots.call_cluster(&script::TELL).arg(kept);
        for field in fields {
            call.push(field);
        }
        self.slots.run(call).await
    }

    /// The id of the newest entry of the feed.
    pub async fn newest_told(&self) -> Result<String, StoreError> {
        self.run(&script::TOLD, &[]).await
    }

    /// What was changed in a slot after this change; after the empty one nothing.
    pub async fn changes(&self, slot: Slot, after: &str) -> Result<SlotChanges, StoreError> {
        let call = self.slots.call(&script::CHANGES, slot).arg(after);
        let (newest, known, streams): (String, bool, Vec<String>) = self.slots.run(call).await?;
        let streams = streams.into_iter().map(codec::parsed).collect::<Result<_, _>>()?;
        let changed = if known { Changed::These(streams) } else { Changed::Any(streams) };
        Ok(SlotChanges { newest, changed })
    }

    /// Connects to read the feed; a read waits for entries for as long as `block`.
    pub async fn listen(&self, block: Duration) -> Result<Listener, StoreError> {
        let connection = self.slots.connections().connect_apart(block).await?;
        let feed = format!("{}:feed", self.slots.keys().cluster());
        Ok(Listener { connection, feed, block })
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

/// Entries that are read together.
const COUNT: usize = 100;

impl Listener {
    /// The entries behind this one, in their order; none if none came for a while.
    pub async fn after(&mut self, id: &str) -> Result<Vec<Told>, StoreError> {
        let block = usize::try_from(self.block.as_millis()).unwrap_or(usize::MAX);
        // 0 would block for ever.
        let options = StreamReadOptions::default().count(COUNT).block(block.max(1));
        let read = redis::Cmd::xread_options(&[&self.feed], &[id], &options);
        let answer: RedisResult<Option<StreamReadReply>> = match &mut self.connection {
            Connection::One(connection) => read.query_async(connection).await,
            Connection::Cluster(connection) => read.query_async(connection).await,
        };
        let entries = answer?.into_iter().flat_map(|reply| reply.keys).flat_map(|key| key.ids);
        let told = entries.map(|entry| {
            let text = |value| redis::from_redis_value::<String>(value).unwrap_or_default();
            let fields = entry.map.into_iter().map(|(field, value)| (field, text(value)));
            Told { id: entry.id, fields: fields.collect() }
        });
        Ok(told.collect())
    }
}

impl Told {
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields().find(|(field, _)| *field == name).map(|(_, value)| value)
    }

    pub fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        self.fields.iter().map(|(field, value)| (field.as_str(), value.as_str()))
    }
}
