//! The durable state of the daemon. The store is the queue; every message elsewhere is only a hint that
//! there is something in it.
//!
//! The store is made of capabilities, one trait in one file, with the values that it takes and gives
//! beside it. Each of the two backends implements a trait in the file that has its SQL or its Lua. A
//! user names only the capabilities that it needs (`Arc<dyn Outbox>`); the composition root holds an
//! `Arc<dyn Store>`, which coerces into each of them.
//!
//! ```text
//!                    trait          has
//!  events in   ───▶  Intake         append, positions of readers, accounts that opted out
//!                    Ledger         which events were accepted
//!  delivery    ◀──▶  Outbox         SETs that are not settled: read, settle, poll
//!  operators   ◀──▶  Archive        settled SETs: dead letters, replay
//!  Receivers   ◀──▶  Streams        configuration and status
//!                    SubjectLists   which subjects are on a stream
//!  all others  ◀──▶  Records        what is rarely written: tokens, clients, activity, marks
//!  the daemon  ◀──▶  Maintenance    expiry, bounds, backlog, the clock
//!  store copy  ◀──▶  Portable       all of it, as items that every store understands
//! ```
//!
//! After `Ok` a call survives a crash. Each call about one stream is one atomic step; a call about many
//! streams may be several steps, one behind the other, where streams are kept apart. After
//! [`StoreError::Unavailable`] a step was done or was not, as when the answer to a commit is lost:
//! making the same call again completes the step, doubles no SET and loses none. After any other error
//! nothing was done. `tests/it/store_contract.rs` runs one suite on every backend.

mod about;
pub mod archive;
mod condition;
pub mod copy;
mod incoming;
pub mod ledger;
mod maintenance;
mod outbox;
pub mod portable;
pub mod records;
pub mod redis;
pub mod requested;
pub mod slot;
pub mod sqlite;
mod streams;
mod subject_lists;

use std::sync::Arc;

pub use self::{
    archive::Archive,
    condition::{Condition, STALLED_AFTER},
    incoming::{Append, AppendBatch, Appended, Durable, EntryId, Intake, Position, STEP_MAX, Step},
    ledger::Ledger,
    maintenance::{Backlog, Expiry, Maintenance},
    outbox::{Acknowledged, Acknowledgement, Due, Outbox, Polled, Waiting},
    portable::Portable,
    records::{
        Records,
        activity::{ActivityRecord, ActivityStore},
        client::ClientStore,
        clock::ClockStore,
        token::TokenStore,
    },
    streams::{Announcement, Streams},
    subject_lists::{SHAPES_PER_STREAM_MAX, SubjectLists},
};

/// Everything durable, for the composition root. Its capabilities are what others name.
pub trait Store:
    Archive + Intake + Ledger + Maintenance + Outbox + Portable + Records + Streams + SubjectLists
{
}

impl<T> Store for T where
    T: Archive
        + Intake
        + Ledger
        + Maintenance
        + Outbox
        + Portable
        + Records
        + Streams
        + SubjectLists
{
}

/// Errors of the store, named for what the caller can do about them.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The stream or the record was changed meanwhile, or is gone. The caller reads it again and decides
    /// anew.
    #[error("the stream was changed by another request")]
    Conflict,
    /// The Receiver has as many streams as it may have.
    #[error("the Receiver has {0} streams, as many as it may")]
    StreamLimit(usize),
    /// The stream's list has as many subjects as it may have, or as many shapes of complex subjects.
    #[error("the stream has as many subjects on its list as it may")]
    SubjectLimit,
    /// The page token was not given by this store.
    #[error("there is no such page")]
    NoSuchPage,
    /// Another node serves the stream now, and records the results of its SETs. Nothing of the call was
    /// done, and this node must do nothing more for the stream.
    #[error("another node serves this stream now")]
    Fenced,
    /// The store could not be reached, or the connection was lost before the answer came. Another try may
    /// help once the cause is gone.
    #[error("the store is not available")]
    Unavailable(#[source] Arc<dyn std::error::Error + Send + Sync>),
    /// The store holds something that cannot be read.
    #[error("the store holds something unreadable: {0}")]
    Corrupt(String),
}
