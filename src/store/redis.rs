//! The store in Redis, for when one machine is not enough: a single server, a server behind Sentinels,
//! or a Cluster.
//!
//! ```text
//!  a call ──▶ its file (streams, outbox …)      arguments and answers
//!                  │ Call: a script on one slot
//!                  ▼
//!             slots ──▶ connection ──▶ Redis    runs scripts/*.lua, each as one atomic step
//! ```
//!
//! Streams are hashed into [slots](slot::Slot). All keys of a stream are in its slot, so a call about one
//! stream is one script, one atomic step and one round trip. A call about many streams sends a script to
//! each of their slots. Other things have the slot of their name, or are kept together in one place.
//! `keys` names every key, and `codec` describes the values.
//!
//! A call that consists of several steps documents in its module which state an interruption leaves.

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
mod replicas;
mod script;
pub mod servers;
mod settings;
mod slots;
mod streams;
mod wait_rounds;

use std::sync::Arc;

use self::{
    codec::{FORMAT, FORMAT_BEFORE, INCOMPLETE},
    link::Link,
    slots::Slots,
};
pub use self::{
    epochs::Epochs,
    error::CannotConnect,
    replicas::ReplicasMissing,
    settings::{Checks, RedisSettings, Topology},
};
use crate::{
    store::{StoreError, slot},
    telemetry::metrics,
};

/// The store in Redis. Connections are opened when they are needed and replaced when they break, so the
/// daemon needs no restart after a server was away.
pub struct RedisStore {
    slots: Arc<Slots>,
    /// Events that the servers may forget although they were accepted, with the operator's consent.
    losses: Vec<String>,
}

impl RedisStore {
    /// Connects. Refuses a server that is not fit to be a store, unless the settings only ask for a
    /// warning, and a store that another version wrote. `epochs` are the epochs of the slots that this
    /// node serves, if there are several nodes. Must be called within a runtime that outlives the store.
    pub async fn open(settings: &RedisSettings, epochs: Arc<Epochs>) -> Result<Self, StoreError> {
        let (store, version) = Self::connect(settings, epochs, Some(FORMAT)).await?;
        store.of_version(version.unwrap_or(FORMAT))
    }

    /// Does the same as [`open`](Self::open), but creates no store. Returns `None` if there is none.
    pub async fn open_existing(settings: &RedisSettings) -> Result<Option<Self>, StoreError> {
        let (store, version) = Self::connect(settings, Arc::default(), None).await?;
        version.map(|version| store.of_version(version)).transpose()
    }

    fn of_version(self, version: u32) -> Result<Self, StoreError> {
        match version {
            FORMAT => Ok(self),
            INCOMPLETE => Err(StoreError::Corrupt(
                "Redis: a copy into it is not complete; `ssfd store copy` completes it".to_owned(),
            )),
            _ => Err(written_by_another(version)),
        }
    }

    /// Connects to a store into which another one is copied, and which may be incomplete.
    pub async fn open_to_fill(settings: &RedisSettings) -> Result<Self, StoreError> {
        let (store, version) = Self::connect(settings, Arc::default(), Some(FORMAT)).await?;
        match version.unwrap_or(FORMAT) {
            FORMAT | INCOMPLETE => Ok(store),
            version => Err(written_by_another(version)),
        }
    }

    /// Connects, and returns the version of the store. An empty store gets the version `new`, if there is
    /// one.
    async fn connect(
        settings: &RedisSettings,
        epochs: Arc<Epochs>,
        new: Option<u32>,
    ) -> Result<(Self, Option<u32>), StoreError> {
        let slots = Arc::new(Slots::new(settings, epochs)?);
        let losses = checks::check(slots.connections(), settings).await?;
        metrics::store_loss_accepted(!losses.is_empty());
        let new = new.map_or(String::new(), |version| version.to_string());
        let version = slots.run(slots.call_shared(&script::OPEN).arg(new)).await?;
        Ok((Self { slots, losses }, version))
    }

    /// Returns the link by which the nodes that share this store talk to each other.
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
