//! What survives a restart. The store is the queue; every message elsewhere is only a hint that
//! there is something in it.

mod about;
pub mod copy;
mod incoming;
pub mod kept;
pub mod ledger;
mod outgoing;
pub mod portable;
pub mod redis;
pub mod slot;
pub mod sqlite;

use std::sync::Arc;

use async_trait::async_trait;

pub use self::{
    incoming::{Append, AppendBatch, Appended, Durable, EntryId, Position, STEP_MAX},
    outgoing::{Acknowledged, Acknowledgement, Backlog, Due, Polled, Waiting},
};
use crate::{
    delivery::outbox::{Cursor, NewSet, OutboxQuery, PendingSet, Seq, Settlement},
    domain::{
        client::Client,
        grant::{Grant, TokenHash},
        id::{ClientId, Jti, ProviderName, StreamId},
        stream::StreamConfig,
        subject::{
            keys::{Filing, SubjectKey, SubjectKeys},
            list::{ListChange, Listed},
        },
        time::Timestamp,
    },
    store::{
        kept::{DeadCount, DeadFilter, Expiry, KeptSet, Page, PageToken, Requeue, Since},
        ledger::RecordedEvent,
        slot::SlotSet,
    },
};

/// What can go wrong, by what the caller can do about it.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The stream was changed meanwhile, or is gone: read it again and decide anew.
    #[error("the stream was changed by another request")]
    Conflict,
    /// The Receiver has as many streams as it may.
    #[error("the Receiver has {0} streams, as many as it may")]
    StreamLimit(usize),
    /// The stream's list has as many subjects as it may, or as many shapes of complex ones.
    #[error("the stream has as many subjects on its list as it may")]
    SubjectLimit,
    /// What a page was to go on from was not said by this store.
    #[error("there is no such page")]
    NoSuchPage,
    /// Another node serves the stream now, and with it what becomes of its SETs: nothing of the call
    /// was done, and nothing more is to be done here.
    #[error("another node serves this stream now")]
    Fenced,
    /// The store cannot be reached, or was not while it answered; another try may help once the cause
    /// is gone.
    #[error("the store is not available")]
    Unavailable(#[source] Arc<dyn std::error::Error + Send + Sync>),
    /// What the store holds cannot be read as what it should be.
    #[error("the store holds something unreadable: {0}")]
    Corrupt(String),
}

/// What a change of status appends, of [`SetKind::Announcement`]: so at most one of a stream waits.
///
/// [`SetKind::Announcement`]: crate::delivery::outbox::SetKind::Announcement
#[derive(Debug, Clone)]
pub enum Announcement {
    None,
    /// Only if one waited.
    Instead(NewSet),
    New(NewSet),
}

/// The most shapes that the complex subjects on one stream's list may have: each that there is at a
/// provider is a look-up for its complex events.
pub const SHAPES_PER_STREAM_MAX: usize = 16;

/// When streams were last active, as far as it was recorded.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ActivityRecord {
    pub last: Vec<(StreamId, Timestamp)>,
    /// Until when all was recorded: so long at least there was a daemon to be asked.
    pub recorded_at: Option<Timestamp>,
}

/// Everything durable. After `Ok` a call survives a crash. Each call about one stream is one atomic
/// step; a call about many may be several, one behind the other, where streams are kept apart. After
/// [`StoreError::Unavailable`] a step was done or was not, as when the answer to a commit is lost: to
/// make the same call again completes it, and doubles no SET and loses none. After any other error
/// nothing was done. `tests/it/store_contract.rs` runs one suite on every backend.
#[async_trait]
pub trait Store: Send + Sync {
    // Streams: one change at a time, careful rather than fast.

    /// Keeps a new stream, unless its Receiver has `limit` streams of the provider already
    /// ([`StoreError::StreamLimit`]).
    async fn create_stream(&self, stream: StreamConfig, limit: usize) -> Result<(), StoreError>;

    /// Replaces a stream by its next version, of the same status. [`StoreError::Conflict`] if the
    /// store does not hold `stream.version - 1`. If its delivery changes, what waits is due at once:
    /// it was put off for the sake of the old one.
    async fn update_stream(&self, stream: StreamConfig) -> Result<(), StoreError>;

    /// Replaces a stream by its next version, of another status or reason, in the same way. An
    /// announcement that waits is withdrawn; if the new status discards, so is all else that waits;
    /// and the announcement of the change is appended. What waits on a push stream is due at once
    /// when that is enabled again. Returns how many other SETs were discarded.
    async fn change_status(
        &self,
        stream: StreamConfig,
        announcement: Announcement,
        now: Timestamp,
    ) -> Result<u64, StoreError>;

    /// Deletes a stream and its outbox. `false` if there was none.
    async fn delete_stream(&self, id: &StreamId) -> Result<bool, StoreError>;

    /// All streams, for building the index of a starting node.
    async fn streams(&self) -> Result<Vec<StreamConfig>, StoreError>;

    /// One stream as it is now: a change that another node made is taken up by it.
    async fn stream(&self, id: &StreamId) -> Result<Option<StreamConfig>, StoreError>;

    // Lists of subjects. Most calls are about nothing but one entry and may be many.

    /// Changes an entry of a stream's list; one that is there already, or is not, is no error. It
    /// holds from the earliest beginning that was asked for, and until the earliest end that was
    /// asked for since. [`StoreError::SubjectLimit`] if it were one more than `limit`,
    /// [`StoreError::Conflict`] if there is no such stream.
    async fn change_list(
        &self,
        stream: &StreamId,
        entry: Filing,
        change: ListChange,
        limit: usize,
        now: Timestamp,
    ) -> Result<(), StoreError>;

    /// For each of these subjects of a provider, in their order, the streams that have it on their
    /// list, under any of its identifiers.
    async fn listed(
        &self,
        provider: &ProviderName,
        subjects: Vec<SubjectKeys>,
        now: Timestamp,
    ) -> Result<Vec<Listed>, StoreError>;

    /// Streams whose list is not empty.
    async fn streams_with_list(&self) -> Result<Vec<StreamId>, StoreError>;

    /// Removes entries that hold no longer, a bounded number in one call; `true` if there is more.
    async fn expire_lists(&self, now: Timestamp) -> Result<bool, StoreError>;

    // Events in.

    /// Makes a batch durable. Idempotent: a SET whose `jti` the outbox has is left as it is. An
    /// event goes into a stream that is enabled or paused, judged in the same step; for any other
    /// it is left out. Accounts opt out and in as the batch has it, each event judged by those
    /// before it. The position is behind the batch once all else of it is durable. An event whose
    /// append broke off is none that was: it is appended again, under whichever origin it comes.
    ///
    /// A batch for many streams is several steps, between which other calls have their turn. Of each
    /// stream `durable` is told once its step is done, whether or not those behind it fail.
    async fn append(
        &self,
        batch: AppendBatch,
        durable: Durable<'_>,
    ) -> Result<Vec<Appended>, StoreError>;

    /// Whether one of these accounts is opted out (RISC §2.8).
    async fn opted_out(&self, accounts: Vec<SubjectKey>) -> Result<bool, StoreError>;

    /// Where the reader of a partition stands; `None` if it never read.
    async fn position(&self, partition: &str) -> Result<Option<Position>, StoreError>;

    // SETs out. Those of a stream that is not enabled are held, save for an announcement (SSF
    // §8.1.5): the calls in which SETs go out see nothing else of it, judged in the same step.

    /// Reads what can be pushed: the announcement, then control events, then events. It costs as
    /// much as is read, and as is passed over, whatever else waits. An event whose subject is not on
    /// the stream at `now` is discarded in place of being read. A store need not find what waits on a
    /// poll stream here, nor what waits on a push stream in [`Self::take_for_poll`] and
    /// [`Self::next_due`].
    async fn read_due(
        &self,
        stream: &StreamId,
        query: OutboxQuery,
        now: Timestamp,
    ) -> Result<Due, StoreError>;

    /// Records results of attempts. A SET that is settled already, or gone, stays as it is. `true`
    /// if one that was settled had another behind it in its lane, which is the head now.
    async fn settle(
        &self,
        stream: &StreamId,
        settlements: Vec<Settlement>,
        now: Timestamp,
    ) -> Result<bool, StoreError>;

    /// For inspection: SETs that may go out and lie behind the cursor, in the order of
    /// [`Self::read_due`] and within each kind in that of appending, `limit` at most. Neither lanes
    /// nor times count.
    async fn read_pending(
        &self,
        stream: &StreamId,
        after: Cursor,
        limit: usize,
    ) -> Result<Vec<PendingSet>, StoreError>;

    /// Settles what a polling Receiver acknowledges or refuses; a `jti` that does not wait is
    /// ignored.
    async fn acknowledge(
        &self,
        stream: &StreamId,
        acknowledgement: Acknowledgement,
        now: Timestamp,
    ) -> Result<Acknowledged, StoreError>;

    /// Takes up to `limit` SETs that may go out and are due, in the same order, and keeps them from
    /// further polls until `hidden_until`. While an event is kept so, those behind it in its lane
    /// are kept as well: handed out again, it would come after them.
    async fn take_for_poll(
        &self,
        stream: &StreamId,
        limit: usize,
        now: Timestamp,
        hidden_until: Timestamp,
    ) -> Result<Polled, StoreError>;

    /// When the next SET of this stream becomes due that may go out and is not due `now`: how long
    /// a long poll may sleep that found none.
    async fn next_due(
        &self,
        stream: &StreamId,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, StoreError>;

    /// Push streams of these slots of which [`Self::read_due`] would read something: what a lost hint
    /// would leave behind. A store of one node may tell of all slots.
    async fn streams_with_work(
        &self,
        now: Timestamp,
        slots: SlotSet,
    ) -> Result<Vec<StreamId>, StoreError>;

    /// When the newest event was appended of those that are kept. A clock that is behind it has gone
    /// back.
    async fn newest(&self) -> Result<Option<Timestamp>, StoreError>;

    /// Makes due what waits for a time after `now`, read from a clock that has since gone back.
    /// Returns how many SETs that are.
    async fn forget_waits(&self, now: Timestamp) -> Result<usize, StoreError>;

    /// What waits, held or not, by provider.
    async fn backlog(&self) -> Result<Vec<Backlog>, StoreError>;

    /// What waits on one stream, held or not; nothing if there is no such stream.
    async fn waiting(&self, stream: &StreamId) -> Result<Waiting, StoreError>;

    /// Bounds what paused streams hold: of each, events appended before `appended_before` are dead,
    /// and so are the oldest beyond the `held_max` newest, with the reason [`Reason::HoldLimit`]. Returns
    /// how many, by provider.
    async fn limit_held(
        &self,
        held_max: usize,
        appended_before: Timestamp,
        now: Timestamp,
    ) -> Result<Vec<(ProviderName, usize)>, StoreError>;

    /// Removes what is old enough, a bounded number in one call; `true` if there is more. What waits
    /// does not expire.
    async fn expire(&self, expiry: Expiry) -> Result<bool, StoreError>;

    // Settled SETs, for operators.

    /// Dead letters that are meant, stream by stream and in the order of their outboxes, `limit` at
    /// most.
    async fn dead_letters(
        &self,
        filter: DeadFilter,
        after: Option<PageToken>,
        limit: usize,
    ) -> Result<Page, StoreError>;

    /// SETs of one stream that are sent or dead, in the order of the outbox, `limit` at most.
    /// Control events are not among them, nor copies: who goes back to a time twice does not find
    /// them twice.
    async fn retained(
        &self,
        stream: &StreamId,
        since: Since,
        after: Option<PageToken>,
        limit: usize,
    ) -> Result<Page, StoreError>;

    /// Puts sent and dead SETs into the outbox of their stream again, in this order and behind all
    /// that waits, as if they were appended now. Returns how many: one that waits already or is gone
    /// is left out, and so is a control event; all are if the stream is disabled or gone.
    async fn requeue(
        &self,
        stream: &StreamId,
        sets: Vec<Requeue>,
        now: Timestamp,
    ) -> Result<usize, StoreError>;

    /// Removes dead letters of one stream; returns how many there were.
    async fn purge(&self, stream: &StreamId, sets: Vec<Seq>) -> Result<usize, StoreError>;

    /// How many dead letters there are; costs as much as there are.
    async fn dead_counts(&self) -> Result<Vec<DeadCount>, StoreError>;

    // What became of an event.

    /// The SETs of this `jti`, in whatever state; one, unless a `jti` was made elsewhere. Costs a look
    /// for each stream.
    async fn sets_of_jti(&self, jti: &Jti) -> Result<Vec<KeptSet>, StoreError>;

    /// Those of these SETs that there are, in whatever state, and what repeats them under another
    /// `jti`; without claims.
    async fn kept_sets(&self, sets: Vec<(StreamId, Jti)>) -> Result<Vec<KeptSet>, StoreError>;

    /// The last recorded event with this id of its publisher, if it is recorded: an id is good again
    /// after a while.
    async fn event_with_id(
        &self,
        provider: &ProviderName,
        event_id: &str,
    ) -> Result<Option<RecordedEvent>, StoreError>;

    /// Recorded events that were accepted at this very time, in one batch or a few.
    async fn events_accepted_at(
        &self,
        provider: &ProviderName,
        accepted_at: Timestamp,
    ) -> Result<Vec<RecordedEvent>, StoreError>;

    // Activity, for streams that are stopped without it (SSF §8.1.1).

    /// Records when streams were last active; one that there is not is ignored. Of what several nodes
    /// record, the latest stays. With `recorded_at` all is recorded now that was seen until then.
    async fn record_activity(
        &self,
        last: Vec<(StreamId, Timestamp)>,
        recorded_at: Option<Timestamp>,
    ) -> Result<(), StoreError>;

    async fn activity(&self) -> Result<ActivityRecord, StoreError>;

    // Credentials.

    async fn put_grant(&self, grant: Grant) -> Result<(), StoreError>;

    async fn grant(&self, hash: &TokenHash) -> Result<Option<Grant>, StoreError>;

    /// Those that an operator made; those of clients are not among them.
    async fn grants(&self) -> Result<Vec<Grant>, StoreError>;

    /// `false` if there was no such token.
    async fn revoke_grant(&self, hash: &TokenHash) -> Result<bool, StoreError>;

    /// Removes tokens that have expired, a bounded number in one call; `true` if there may be more.
    async fn expire_grants(&self, now: Timestamp) -> Result<bool, StoreError>;

    // Clients of the built-in authorization server.

    /// Keeps a new client. [`StoreError::Conflict`] if there is one of this id.
    async fn create_client(&self, client: Client) -> Result<(), StoreError>;

    async fn client(&self, id: &ClientId) -> Result<Option<Client>, StoreError>;

    async fn clients(&self) -> Result<Vec<Client>, StoreError>;

    /// Removes a client and every token that it was issued. `false` if there was none.
    async fn delete_client(&self, id: &ClientId) -> Result<bool, StoreError>;

    /// Keeps a token that a client was issued; of its tokens the youngest `live_max` stay.
    /// [`StoreError::Conflict`] if there is no such client.
    async fn issue_grant(
        &self,
        client: &ClientId,
        grant: Grant,
        live_max: usize,
    ) -> Result<(), StoreError>;
}
