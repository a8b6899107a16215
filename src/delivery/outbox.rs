//! SETs that wait: the form in which the store keeps them and couriers see them.

use std::sync::Arc;

use crate::{
    delivery::lane::Lane,
    domain::{
        id::{Jti, StreamId},
        reason::Reason,
        set::{Origin, reissued},
        time::Timestamp,
    },
};

/// A SET's place in its stream's outbox: later SETs have higher ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Seq(pub i64);

/// The kind of a SET. Control events go before others, so that no backlog delays them, and among
/// them the announcement first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SetKind {
    Event,
    /// verification (SSF §8.1.4).
    Control,
    /// stream-updated (SSF §8.1.5): all that a stream sends that is not enabled.
    Announcement,
}

/// A SET on its way into an outbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewSet {
    pub stream: StreamId,
    pub jti: Jti,
    pub lane: Lane,
    pub kind: SetKind,
    /// The claims as JSON, the same in every transmission.
    pub claims: Arc<str>,
    /// All that the event names its subject by, as JSON of a `Subject`, if that is more or other
    /// than the `sub_id` of the claims: it is on the stream by any of these, or not.
    pub identifiers: Option<Arc<str>>,
}

impl NewSet {
    /// The same as a SET of an event that was begun by this origin.
    #[must_use]
    pub fn under(&self, first: &Origin, now: Timestamp) -> Self {
        let mut set = self.clone();
        set.jti = first.jti(&self.stream);
        // Claims of another hand are left as they are.
        if let Some(claims) = reissued(&self.claims, &set.jti, now) {
            set.claims = claims.into();
        }
        set
    }
}

/// A SET that is not settled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingSet {
    pub seq: Seq,
    pub jti: Jti,
    pub lane: Lane,
    pub kind: SetKind,
    pub claims: Arc<str>,
    /// When the event was accepted.
    pub appended_at: Timestamp,
    /// Attempts that failed so far.
    pub attempts: u32,
    /// Not before this may it be sent (again).
    pub due_at: Timestamp,
}

/// Asks the outbox of a push stream for the SETs that can go out now. Of each lane that is the head,
/// the oldest SET that is not settled, and no other. Kinds do not wait for one another, and so they
/// have separate lanes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OutboxQuery {
    /// Heads that are in memory already: they are passed over.
    pub busy: Vec<Seq>,
    /// How many events that were never tried, the oldest first.
    pub fresh: usize,
    /// How many events that failed before and are due again, the longest due first. Of these places
    /// and those above, either takes what the other leaves.
    pub retries: usize,
}

impl OutboxQuery {
    /// How many SETs of each other kind are read, in addition and before the events. There are hardly
    /// ever more, because a stream has one announcement, and verifications are paced.
    pub const CONTROL_MAX: usize = 4;
}

/// The result of one SET.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Disposition {
    /// The Receiver has it.
    Delivered,
    /// The SET will never be sent again; `detail` is a bounded text.
    Dead { reason: Reason, detail: String },
    /// The same, and it was not tried once more for that.
    GivenUp { reason: Reason, detail: String },
    /// The SET is to be tried again at this time, or at once if the stream has changed since the result
    /// was judged ([`Settlement::version`]).
    RetryAt { due_at: Timestamp, error: String },
}

/// The record of an attempt's result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settlement {
    pub seq: Seq,
    pub disposition: Disposition,
    /// The version of the stream by which the result was judged. A change of the endpoint, a change to
    /// poll and a resumption make due whatever waits. A time that was chosen before such a change says
    /// nothing about the stream as it is now, so the store writes a time for this version alone.
    pub version: u64,
}
