//! Outboxes: the SETs of each stream that are not settled.

use async_trait::async_trait;

use super::{StoreError, slot::SlotSet};
use crate::{
    delivery::{
        outbox::{OutboxQuery, PendingSet, Seq, Settlement},
        poll::PollLimit,
    },
    domain::{
        id::{Jti, StreamId},
        reason::Reason,
        set_error::{ErrCode, SetError},
        time::Timestamp,
    },
};

/// The SETs that go out, by push and by poll. The SETs of a stream that is not enabled are held, save
/// for an announcement (SSF §8.1.5): the calls in which SETs go out see nothing else of such a stream,
/// and judge its status in the same step.
#[async_trait]
pub trait Outbox: Send + Sync {
    /// Reads the SETs that can be pushed: the announcement, then control events, then events. The cost
    /// grows with what is read and passed over, and not with what else waits. An event whose subject
    /// is not on the stream at `now` is discarded instead of being read. A store need not find the
    /// SETs of a poll stream here, nor those of a push stream in [`Self::take_for_poll`] and
    /// [`Self::next_due`].
    async fn read_due(
        &self,
        stream: &StreamId,
        query: OutboxQuery,
        now: Timestamp,
    ) -> Result<Due, StoreError>;

    /// Records the results of attempts. A SET that is already settled, or is gone, stays as it is. A SET
    /// whose retry was judged by another version of the stream is due at once.
    /// Returns `true` if a settled SET had another one behind it in its lane, which is the head now.
    async fn settle(
        &self,
        stream: &StreamId,
        settlements: Vec<Settlement>,
        now: Timestamp,
    ) -> Result<bool, StoreError>;

    /// Discards SETs that must not be sent. A SET that is settled or gone stays as it is. Returns how many
    /// were discarded.
    async fn discard(
        &self,
        stream: &StreamId,
        unwanted: Vec<Seq>,
        reason: Reason,
        now: Timestamp,
    ) -> Result<usize, StoreError>;

    /// Settles the SETs that a polling Receiver acknowledges or refuses. A `jti` that does not wait is
    /// ignored.
    async fn acknowledge(
        &self,
        stream: &StreamId,
        acknowledgement: Acknowledgement,
        now: Timestamp,
    ) -> Result<Acknowledged, StoreError>;

    /// Takes SETs within `limit` that may go out and are due, in the order of [`Self::read_due`], and
    /// hides them from further polls until `hidden_until`. While an event is hidden, the events behind
    /// it in its lane are hidden as well, because it would come after them if it were handed out again.
    async fn take_for_poll(
        &self,
        stream: &StreamId,
        limit: PollLimit,
        now: Timestamp,
        hidden_until: Timestamp,
    ) -> Result<Polled, StoreError>;

    /// Returns when the next SET of this stream that may go out and is not due `now` becomes due. A
    /// long poll that found no SET sleeps until then.
    async fn next_due(
        &self,
        stream: &StreamId,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, StoreError>;

    /// Returns the push streams of these slots of which [`Self::read_due`] would read something. The
    /// sweep finds by this call the work whose wake-up was lost. A store that serves one node may
    /// return streams of all slots.
    async fn streams_with_work(
        &self,
        now: Timestamp,
        slots: SlotSet,
    ) -> Result<Vec<StreamId>, StoreError>;

    /// Counts the SETs that wait on one stream, held or not. A stream that does not exist has none.
    async fn waiting(&self, stream: &StreamId) -> Result<Waiting, StoreError>;
}

/// The SETs that a push stream can send now.
#[derive(Debug, Clone, Default)]
pub struct Due {
    /// Of each kind, the SETs that failed before come first, and then the SETs that were never tried.
    pub sets: Vec<PendingSet>,
    /// When the next SET becomes due that failed before and is not due yet.
    pub next_retry: Option<Timestamp>,
    /// How many SETs were discarded because their subjects are no longer on the stream.
    pub discarded: usize,
    /// How many SETs were discarded because the stream no longer asks for their types. Only
    /// [`super::requested`] counts them.
    pub unrequested: usize,
}

/// The SETs that are handed to a polling Receiver.
#[derive(Debug, Clone, Default)]
pub struct Polled {
    pub sets: Vec<PendingSet>,
    /// Whether more SETs could be handed out now.
    pub more: bool,
    /// The number of discarded SETs, as in [`Due::discarded`].
    pub discarded: usize,
    /// The number of discarded SETs, as in [`Due::unrequested`].
    pub unrequested: usize,
}

/// A Receiver's answer to the SETs that it got by poll (RFC 8936 §2.2).
#[derive(Debug, Clone, Default)]
pub struct Acknowledgement {
    pub acked: Vec<Jti>,
    pub refused: Vec<(Jti, SetError)>,
}

/// The SETs that an acknowledgement settled.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Acknowledged {
    /// When each delivered SET was appended.
    pub delivered: Vec<Timestamp>,
    /// With which `err` each dead letter was refused.
    pub dead: Vec<ErrCode>,
}

/// The SETs that wait on one stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Waiting {
    pub sets: u64,
    pub oldest: Option<Timestamp>,
}
