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
mod append;
mod archive;
mod checks;
mod codec;
mod connection;
mod epochs;
mod error;
mod judge;
mod keys;
mod ledger;
pub mod link;
mod lists;
mod maintenance;
mod outbox;
mod poll;
mod portable;
mod records;
mod script;
mod settings;
mod slots;
mod streams;

use std::sync::Arc;

use self::{
    codec::{FORMAT, FORMAT_BEFORE, INCOMPLETE},
    link::Link,
    slots::Slots,
};
pub use self::{
    epochs::Epochs,
    settings::{Checks, RedisSettings, Topology},
};
use crate::store::{StoreError, slot};

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
    let remedy = if version == FORMAT_BEFORE {
        "; copy it into a SQLite file with `ssfd store copy` of that ssfd, let this one open the file, \
         and copy it from there into an empty Redis"
    } else {
        ""
    };
    StoreError::Corrupt(format!(
        "Redis: written by another ssfd: format {version}, and this one knows {FORMAT}{remedy}"
    ))
}
