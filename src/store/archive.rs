//! SETs that are kept after they were settled: dead letters, sent SETs and discarded SETs.

use std::sync::Arc;

use async_trait::async_trait;

use super::StoreError;
use crate::{
    delivery::outbox::{Seq, SetKind},
    domain::{
        event_type::EventType,
        id::{Jti, ProviderName, StreamId},
        reason::StoredReason,
        set::ClaimsHead,
        subject::SubjectId,
        time::Timestamp,
    },
};

/// Settled SETs, for operators. Operators drive the pages: each call looks through a bounded number of
/// SETs and is one step.
#[async_trait]
pub trait Archive: Send + Sync {
    /// Returns the dead letters that match the filter, stream by stream and in the order of their
    /// outboxes, `limit` at most.
    async fn dead_letters(
        &self,
        filter: DeadFilter,
        after: Option<PageToken>,
        limit: usize,
    ) -> Result<Page, StoreError>;

    /// Returns SETs of one stream that were sent or are dead letters, in the order of the outbox,
    /// `limit` at most. Control events are left out, and so are copies, because an operator who goes
    /// back to a time twice should not find them twice.
    async fn retained(
        &self,
        stream: &StreamId,
        since: Since,
        after: Option<PageToken>,
        limit: usize,
    ) -> Result<Page, StoreError>;

    /// Puts sent SETs and dead letters into the outbox of their stream again, in this order and behind
    /// all that waits, as if they were appended now. Returns how many. A SET that already waits or is
    /// gone is left out, and so is a control event; all are left out if the stream is disabled or gone.
    async fn requeue(
        &self,
        stream: &StreamId,
        sets: Vec<Requeue>,
        now: Timestamp,
    ) -> Result<usize, StoreError>;

    /// Removes dead letters of one stream. Returns how many there were.
    async fn purge(&self, stream: &StreamId, sets: Vec<Seq>) -> Result<usize, StoreError>;

    /// Counts the dead letters. The cost grows with their number.
    async fn dead_counts(&self) -> Result<Vec<DeadCount>, StoreError>;

    /// Looks up the SETs of this `jti`, in any state. There is one, unless a `jti` was made elsewhere.
    /// Costs a look-up for each stream.
    async fn sets_of_jti(&self, jti: &Jti) -> Result<Vec<KeptSet>, StoreError>;

    /// Looks up SETs by stream and `jti`, in any state, together with the copies that repeat them under
    /// another `jti`. Does not load claims.
    async fn kept_sets(&self, sets: Vec<(StreamId, Jti)>) -> Result<Vec<KeptSet>, StoreError>;
}

/// One SET in any state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptSet {
    pub provider: ProviderName,
    pub stream: StreamId,
    pub seq: Seq,
    pub jti: Jti,
    /// The `jti` of the SET that this one repeats under another.
    pub copy_of: Option<Jti>,
    /// `None` if the SET was discarded, or if the claims were not asked for.
    pub claims: Option<Arc<str>>,
    /// When its event was accepted.
    pub accepted_at: Timestamp,
    /// When the SET was last put into the outbox.
    pub appended_at: Timestamp,
    /// The kind of the SET. A control event is not sent again.
    pub kind: SetKind,
    /// Attempts by push since then. For a SET that waits, the failed attempts.
    pub attempts: u32,
    pub state: SetState,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SetState {
    /// The SET is in the outbox. `error` is the outcome of the last attempt, if one failed.
    Waiting {
        due_at: Timestamp,
        error: Option<String>,
    },
    Sent {
        at: Timestamp,
    },
    /// The SET is a dead letter and is not sent again by itself. `detail` is the beginning of the
    /// Receiver's answer, or the outcome of the last attempt.
    Dead {
        at: Timestamp,
        reason: StoredReason,
        detail: String,
    },
    /// The SET was removed from the outbox, because the stream must not get it any more.
    Discarded {
        at: Timestamp,
        reason: StoredReason,
    },
}

/// Selects the dead letters that match all given members.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DeadFilter {
    pub provider: Option<ProviderName>,
    pub stream: Option<StreamId>,
    pub reason: Option<StoredReason>,
    pub event_type: Option<EventType>,
    /// The identical subject, not a matching one.
    pub subject: Option<SubjectId>,
    /// The SET became a dead letter at `since` or later, and before `until`.
    pub since: Option<Timestamp>,
    pub until: Option<Timestamp>,
    pub jti: Option<Jti>,
}

impl DeadFilter {
    pub fn means(&self, set: &KeptSet) -> bool {
        let SetState::Dead { at, reason, .. } = &set.state else { return false };
        let cheap = self.provider.as_ref().is_none_or(|provider| *provider == set.provider)
            && self.stream.as_ref().is_none_or(|stream| *stream == set.stream)
            && self.reason.as_ref().is_none_or(|wanted| wanted == reason)
            && self.jti.as_ref().is_none_or(|jti| *jti == set.jti)
            && self.since.is_none_or(|since| since <= *at)
            && self.until.is_none_or(|until| *at < until);
        if !cheap || (self.event_type.is_none() && self.subject.is_none()) {
            return cheap;
        }
        let head = set.claims.as_deref().and_then(ClaimsHead::of).unwrap_or_default();
        self.event_type.as_ref().is_none_or(|wanted| head.event_type.as_ref() == Some(wanted))
            && self.subject.as_ref().is_none_or(|wanted| head.subject.as_ref() == Some(wanted))
    }
}

/// The place where a page ended, in a notation of the store. SETs that are put into an outbox while the
/// pages are read are on no later page, so that reading comes to an end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageToken(pub(super) String);

impl From<String> for PageToken {
    fn from(raw: String) -> Self {
        Self(raw)
    }
}

impl PageToken {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Some of the SETs that were asked for. A page may have fewer SETs than its limit, or none, although more
/// follow, because one call looks through a bounded number of SETs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    pub sets: Vec<KeptSet>,
    /// `None` on the last page.
    pub next: Option<PageToken>,
}

/// The place in a stream's past at which reading begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Since {
    pub accepted_at: Timestamp,
    /// Reading begins with this SET.
    pub seq: Seq,
}

/// A SET that is put into its stream's outbox again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Requeue {
    /// The SET itself.
    Same(Seq),
    /// A copy of the SET, which stays as it is.
    Copy { of: Seq, jti: Jti, claims: Arc<str> },
}

/// The number of dead letters of one provider with one reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadCount {
    pub provider: ProviderName,
    pub reason: StoredReason,
    pub sets: u64,
}
