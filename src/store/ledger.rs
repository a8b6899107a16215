//! What is recorded of each accepted event, so that it can be told what became of it.

use crate::domain::{
    event_type::EventType,
    id::{ProviderName, StreamId},
    reason::StoredReason,
    set::Origin,
    time::Timestamp,
};

/// The most streams of which it is recorded that an event was withheld from them, and why; the
/// others are counted only.
pub const WITHHELD_MAX: usize = 64;

/// What is recorded of an event as it is appended. Which SETs it became follows from its origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventRecord {
    pub event_type: EventType,
    /// As its publisher gave it.
    pub txn: Option<String>,
    pub stream_ids: Option<Vec<StreamId>>,
    /// Streams that asked for its type and do not get it, and why. The store adds the reasons that
    /// only the store can judge: [`Reason::Disabled`] and [`Reason::OptedOut`]. It keeps
    /// [`WITHHELD_MAX`] of them.
    ///
    /// [`Reason::Disabled`]: crate::domain::reason::Reason::Disabled
    /// [`Reason::OptedOut`]: crate::domain::reason::Reason::OptedOut
    pub withheld: Vec<(StreamId, StoredReason)>,
}

/// An event that was accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedEvent {
    pub provider: ProviderName,
    pub accepted_at: Timestamp,
    pub origin: Origin,
    /// Its publisher's id for it.
    pub event_id: Option<String>,
    pub record: EventRecord,
}
