//! The ledger: a record of each accepted event, by which the event can be traced.

use async_trait::async_trait;

use super::StoreError;
use crate::domain::{
    event_type::EventType,
    id::{ProviderName, StreamId},
    reason::StoredReason,
    set::Origin,
    time::Timestamp,
};

/// The records of accepted events.
#[async_trait]
pub trait Ledger: Send + Sync {
    /// Looks up the last recorded event with this id of its publisher. An id may be used again after a
    /// while.
    async fn event_with_id(
        &self,
        provider: &ProviderName,
        event_id: &str,
    ) -> Result<Option<RecordedEvent>, StoreError>;

    /// Looks up the recorded events that were accepted at exactly this time, in one batch or a few.
    async fn events_accepted_at(
        &self,
        provider: &ProviderName,
        accepted_at: Timestamp,
    ) -> Result<Vec<RecordedEvent>, StoreError>;
}

/// The most streams for which the record of an event says that it was withheld, and why. Further streams
/// are only counted.
pub const WITHHELD_MAX: usize = 64;

/// The record of an event, made when the event is appended. The SETs of the event follow from its
/// origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventRecord {
    pub event_type: EventType,
    /// The `txn` as the publisher gave it.
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
