//! The actions of a courier, and the values that they carry.

use std::{sync::Arc, time::Duration};

use crate::{
    delivery::{
        courier::signatures::SigningBatch,
        fault::Fault,
        outbox::{Disposition, OutboxQuery, PendingSet, Settlement},
        parcel::{Outcomes, Parcel},
    },
    domain::{
        stream::{PushEndpoint, StreamConfig},
        time::Timestamp,
    },
};

/// An action that the courier wants performed. Each action names the input that answers it.
#[derive(Debug, PartialEq, Eq)]
pub enum CourierAction {
    /// Read the SETs that can be pushed: `on_read` or `on_read_failed`.
    Read(OutboxQuery),
    /// Claim room for so many further attempts at the host: at once `on_claimed` with as many as
    /// there is room for, and `on_room` for each of the others once there is.
    Claim { host: Arc<str>, count: usize },
    /// Give back room for so many attempts at the host.
    Release { host: Arc<str>, count: usize },
    /// Sign these SETs: `on_signed` or `on_signing_failed`.
    Sign(SigningBatch),
    /// Push the parcel, with the room of one attempt at its host: `on_attempts_ended`.
    Push(Attempt),
    /// Record these results: `on_settled` or `on_settle_failed`.
    Settle(Vec<Settlement>),
    /// The endpoint is at fault. Have the stream of this version paused: `on_pause_ended`.
    Pause { version: u64, fault: Fault },
    /// Call `on_tick` at this time, instead of at any time named before.
    TickAt(Timestamp),
    /// The store has refused a result: another node serves the stream, and the lease is to know.
    LeaseLost,
    /// End the courier. Nothing is under way, or another node does it again.
    Stop,
    /// Log and count this.
    Note(CourierNote),
}

/// An event at a courier, for logs and metrics.
#[derive(Debug, PartialEq, Eq)]
pub enum CourierNote {
    /// The endpoint answered an attempt, or did not; `class` is [`Outcome::class`].
    ///
    /// [`Outcome::class`]: crate::delivery::outcome::Outcome::class
    Answered { class: &'static str },
    /// A result of an attempt is about to be recorded. `deviates` if the Receiver accepted the SET
    /// by a status other than 202.
    Judged { set: PendingSet, disposition: Disposition, deviates: bool },
    /// The Receiver refused the signature, so that the SET is signed once more.
    SignedAgain { set: PendingSet },
    /// So many SETs were given up by their age, without a further attempt.
    GivenUp { sets: usize },
    /// The endpoint is out of reach and only probed, or no longer so.
    CutOff(bool),
    /// The stream was changed, and everything in memory is read anew.
    StartedOver(Changed),
}

/// The part of a stream that was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Changed {
    /// Subjects were removed from the stream, or its signing keys were replaced.
    SubjectsOrKeys,
    /// Anything else than the endpoint and the status. The courier keeps its knowledge of the endpoint.
    Configuration,
    /// The endpoint or the status of the stream: the endpoint is given a fresh start.
    Stream,
}

/// Why a call of the store failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreFailure {
    /// Another node serves the stream now.
    Fenced,
    /// The store was not reached, or could not do it: another try may help.
    Unavailable,
}

/// The endpoint of a stream, and its host.
///
/// Invariant: the stream is a push stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    stream: Arc<StreamConfig>,
    host: Arc<str>,
}

impl Destination {
    pub fn of(stream: &Arc<StreamConfig>) -> Option<Self> {
        let host = stream.endpoint()?.origin();
        Some(Self { stream: Arc::clone(stream), host })
    }

    pub fn stream(&self) -> &StreamConfig {
        &self.stream
    }

    pub fn endpoint(&self) -> &PushEndpoint {
        self.stream.endpoint().expect("only push streams have a destination")
    }

    /// Scheme, name and port.
    pub fn host(&self) -> &Arc<str> {
        &self.host
    }

    /// Whether both have the same endpoint, in a stream of the same status. Nothing else of a stream
    /// tells about its endpoint.
    pub(super) fn is_alike(&self, other: &Self) -> bool {
        self.endpoint() == other.endpoint() && self.stream.status == other.stream.status
    }

    /// Whether the SETs of the stream go elsewhere by now. A stream that was deleted has no other
    /// destination.
    pub(super) fn is_left(&self, stream: Option<&Arc<StreamConfig>>) -> bool {
        stream.is_some_and(|stream| stream.endpoint() != self.stream.endpoint())
    }
}

/// One try to deliver.
#[derive(Debug, PartialEq, Eq)]
pub struct Attempt {
    pub parcel: Parcel,
    pub destination: Destination,
    /// The generation of the signatures. Signatures of an earlier generation are not kept, because the
    /// stream was changed after they were made.
    pub(super) generation: u64,
}

/// An attempt that is over.
#[derive(Debug, PartialEq, Eq)]
pub struct Attempted {
    pub attempt: Attempt,
    pub outcomes: Outcomes,
}

/// A span that has to pass before something is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wait {
    until: Timestamp,
    span: Duration,
}

impl Wait {
    pub(super) fn from(now: Timestamp, span: Duration) -> Self {
        Self { until: now + span, span }
    }

    /// A wait longer than its span is due to a clock that was set back meanwhile.
    pub(super) fn is_over(self, now: Timestamp) -> bool {
        self.until <= now || now + self.span < self.until
    }

    pub(super) fn until(self) -> Timestamp {
        self.until
    }
}
