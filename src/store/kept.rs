//! What is kept of SETs after they are settled, as operators look at it: dead letters, and what was
//! sent.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

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

/// One SET in whatever state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptSet {
    pub provider: ProviderName,
    pub stream: StreamId,
    pub seq: Seq,
    pub jti: Jti,
    /// The `jti` of the SET that this one repeats under another.
    pub copy_of: Option<Jti>,
    /// `None` once it was discarded, and where they were not asked for.
    pub claims: Option<Arc<str>>,
    /// When its event was accepted.
    pub accepted_at: Timestamp,
    /// When it was put into the outbox, for the last time.
    pub appended_at: Timestamp,
    /// What it speaks of: a control event is not sent again.
    pub kind: SetKind,
    /// By push, since then. Of a SET that waits, those that failed.
    pub attempts: u32,
    pub state: SetState,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SetState {
    /// It is in the outbox; `error` is what the last attempt came to, if one failed.
    Waiting {
        due_at: Timestamp,
        error: Option<String>,
    },
    Sent {
        at: Timestamp,
    },
    /// It is not sent again by itself. `detail` is the head of what the Receiver said, or what became
    /// of the last attempt.
    Dead {
        at: Timestamp,
        reason: StoredReason,
        detail: String,
    },
    /// It was taken out of the outbox, since the stream was not to get it any more.
    Discarded {
        at: Timestamp,
        reason: StoredReason,
    },
}

/// Which dead letters are meant: those that fit all that is given.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DeadFilter {
    pub provider: Option<ProviderName>,
    pub stream: Option<StreamId>,
    pub reason: Option<StoredReason>,
    pub event_type: Option<EventType>,
    /// The identical one.
    pub subject: Option<SubjectId>,
    /// Dead since then, and before then.
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

/// Where a page ended, in words of the store's own. What is put into an outbox after a page has come
/// to it is on none that follow, so going from page to page comes to an end.
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

/// Some of what was asked for. It may be fewer than might be, none even, and yet there is more: one
/// call looks through a bounded number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    pub sets: Vec<KeptSet>,
    /// `None` on the last page.
    pub next: Option<PageToken>,
}

/// Where in a stream's past to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Since {
    pub accepted_at: Timestamp,
    /// With this one.
    pub seq: Seq,
}

/// A SET that goes into its stream's outbox again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Requeue {
    /// As it is.
    Same(Seq),
    /// A copy of it; it stays as it is itself.
    Copy { of: Seq, jti: Jti, claims: Arc<str> },
}

/// How many dead letters there are of one kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadCount {
    pub provider: ProviderName,
    pub reason: StoredReason,
    pub sets: u64,
}

/// What is old enough to go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expiry {
    /// Settled SETs go that were settled before; and before another time those of some providers.
    pub settled_before: Timestamp,
    pub settled_before_of: BTreeMap<ProviderName, Timestamp>,
    /// Publishers' ids that are older may come again, and from another time on lead to no event.
    pub ids_before: Timestamp,
    pub ids_lead_nowhere_before: Timestamp,
    /// How much longer than the SETs the records of events stay: an event is older than what was
    /// settled of it late.
    pub records_stay: Duration,
}

impl Expiry {
    /// The same for all providers.
    pub fn of_all(settled_before: Timestamp, ids_before: Timestamp) -> Self {
        let (settled_before_of, records_stay) = (BTreeMap::new(), Duration::ZERO);
        let ids_lead_nowhere_before = ids_before.min(settled_before);
        Self {
            settled_before,
            settled_before_of,
            ids_before,
            ids_lead_nowhere_before,
            records_stay,
        }
    }

    pub(super) fn settled_before(&self, provider: &str) -> Timestamp {
        let own = self.settled_before_of.iter().find(|(name, _)| name.as_str() == provider);
        own.map_or(self.settled_before, |(_, at)| *at)
    }

    pub(super) fn recorded_before(&self, provider: &str) -> Timestamp {
        self.settled_before(provider) - self.records_stay
    }
}
