//! Turns events into SETs: finds the candidates of each event, has each judged, and writes the claims.
//!
//! [`Work`] is what the intake appends: an event with all of its SETs, or a [`LongEvent`], whose SETs are
//! written step by step, so that memory holds the claims of one step only.

use std::{borrow::Cow, cell::OnceCell, sync::Arc, time::Duration};

use super::{
    Incoming,
    schedule::{OrderKey, Size},
};
use crate::{
    delivery::{
        lane::Lane,
        outbox::{NewSet, SetKind},
    },
    directory::{Candidates, Directory},
    domain::{
        event::Event,
        event_type::EventType,
        id::{ProviderName, StreamId},
        judgement::{Identifiers, Judgement},
        opt_out::OptOut,
        payload::Payload,
        provider::Provider,
        reason::{Reason, StoredReason},
        set::{EventsClaim, Origin, SetClaims},
        stream::StreamConfig,
        subject::{Subject, SubjectId, list::Listed},
        time::Timestamp,
    },
    store::{
        Append, STEP_MAX, Step,
        ledger::{EventRecord, WITHHELD_MAX},
    },
    telemetry::metrics,
};

/// An addressed event, on its way into the store.
#[expect(clippy::large_enum_variant, reason = "most events are short, and not to be boxed")]
pub(super) enum Work {
    /// An event that is one step.
    Short(Append),
    Long(Box<LongEvent>),
}

/// An event of more than [`STEP_MAX`] SETs.
pub(super) struct LongEvent {
    provider: Arc<Provider>,
    event: Event,
    origin: Origin,
    id_kept_longer: Duration,
    opt_out: Option<OptOut>,
    withheld: Vec<(StreamId, StoredReason)>,
    streams: Vec<Arc<StreamConfig>>,
    /// Where in `streams` the step that was written last begins, and the next one.
    step_start: usize,
    taken: usize,
    now: Timestamp,
}

impl Work {
    pub(super) fn size(&self) -> Size {
        match self {
            Self::Short(_) => Size::Short,
            Self::Long(_) => Size::Long,
        }
    }

    pub(super) fn provider(&self) -> &ProviderName {
        match self {
            Self::Short(append) => &append.provider,
            Self::Long(event) => event.provider(),
        }
    }

    /// Returns what the order of events counts for: the lane, and the accounts whose choice the event
    /// makes or respects.
    pub(super) fn order_keys(&self) -> Vec<OrderKey> {
        let (provider, lane, opt_out) = match self {
            Self::Short(append) => {
                (&append.provider, append.sets.first().map(|set| set.lane), &append.opt_out)
            }
            Self::Long(event) => {
                let lane = Lane::of(event.event.subject.id());
                (&event.provider.name, Some(lane), &event.opt_out)
            }
        };
        let lane = lane.map(|lane| OrderKey::Lane(provider.clone(), lane));
        let accounts = match opt_out {
            Some(OptOut::Begins(keys) | OptOut::Ends(keys) | OptOut::Respected(keys)) => &keys[..],
            None => &[],
        };
        let mut keys: Vec<_> =
            lane.into_iter().chain(accounts.iter().copied().map(OrderKey::Account)).collect();
        keys.sort_unstable();
        keys.dedup();
        keys
    }
}

/// Matches one event with the streams that want it.
pub(super) fn address(
    directory: &Directory,
    provider: &Arc<Provider>,
    incoming: Incoming,
    listed: &Listed,
    now: Timestamp,
) -> Work {
    let Incoming { event, origin, id_kept_longer } = incoming;
    let judgement = Judgement::new(provider, &event, listed);
    let Candidates { mut streams, unlisted } = directory.candidates(&provider.name, &judgement);
    let mut suppressed = Suppressed { subject: unlisted, ..Suppressed::default() };
    let opt_out = OptOut::of(&event.event_type, &provider.name, &event.subject);
    let mut sets = Vec::new();
    // The claims of few candidates are written as they are judged. Many candidates are judged first,
    // because an event that may be long is cut before its claims are written.
    let many = STEP_MAX < streams.len();
    if many {
        streams.retain(|stream| {
            let addressed = judgement.of_candidate(stream);
            addressed.inspect_err(|reason| suppressed.add(&stream.id, *reason)).is_ok()
        });
    } else {
        let maker = SetMaker::new(provider, &event, &origin, now);
        sets.reserve_exact(streams.len());
        for stream in &streams {
            match judgement.of_candidate(stream) {
                Ok(identifier) => sets.push(maker.make(stream, identifier)),
                Err(reason) => suppressed.add(&stream.id, reason),
            }
        }
    }
    drop(judgement);
    suppressed.count(provider);
    let withheld = suppressed.withheld;
    if STEP_MAX < streams.len() {
        let provider = Arc::clone(provider);
        let long = LongEvent {
            provider,
            event,
            origin,
            id_kept_longer,
            opt_out,
            withheld,
            streams,
            step_start: 0,
            taken: 0,
            now,
        };
        return Work::Long(Box::new(long));
    }
    if many {
        sets = sets_of(provider, &event, &origin, &streams, now);
    }
    let record = provider.event_ledger.then_some(EventRecord {
        event_type: event.event_type,
        txn: event.txn,
        stream_ids: event.stream_ids,
        withheld,
    });
    let provider = provider.name.clone();
    let (event_id, step) = (event.id, Step::Whole);
    let append = Append { provider, origin, event_id, id_kept_longer, sets, opt_out, record, step };
    Work::Short(append)
}

/// Counts from how many streams an event is withheld, and names the first of them.
#[derive(Default)]
struct Suppressed {
    subject: usize,
    format: usize,
    withheld: Vec<(StreamId, StoredReason)>,
}

impl Suppressed {
    fn add(&mut self, stream: &StreamId, reason: Reason) {
        match reason {
            Reason::Format => self.format += 1,
            _ => self.subject += 1,
        }
        if self.withheld.len() < WITHHELD_MAX {
            self.withheld.push((stream.clone(), reason.into()));
        }
    }

    fn count(&self, provider: &Provider) {
        for (reason, count) in [(Reason::Subject, self.subject), (Reason::Format, self.format)] {
            if count != 0 {
                metrics::events_suppressed(&provider.name, reason, count);
            }
        }
    }
}

impl LongEvent {
    pub(super) fn provider(&self) -> &ProviderName {
        &self.provider.name
    }

    /// Returns the number of its SETs.
    pub(super) fn streams(&self) -> usize {
        self.streams.len()
    }

    /// Returns the streams of the step that was written last.
    pub(super) fn step_streams(&self) -> &[Arc<StreamConfig>] {
        &self.streams[self.step_start..self.taken]
    }

    pub(super) fn now(&self) -> Timestamp {
        self.now
    }

    /// Writes the next step. Must not be called after the last one.
    pub(super) fn next_step(&mut self) -> Append {
        let end = self.streams.len().min(self.taken + STEP_MAX);
        let step = match (self.taken == 0, end == self.streams.len()) {
            (true, true) => Step::Whole,
            (true, false) => Step::First,
            (false, false) => Step::Middle,
            (false, true) => Step::Last,
        };
        let streams = &self.streams[self.taken..end];
        debug_assert!(!streams.is_empty(), "the last step was written");
        let sets = sets_of(&self.provider, &self.event, &self.origin, streams, self.now);
        (self.step_start, self.taken) = (self.taken, end);
        // The record is needed where the event begins and where it ends.
        let recorded = self.provider.event_ledger && step != Step::Middle;
        Append {
            provider: self.provider.name.clone(),
            origin: self.origin.clone(),
            event_id: self.event.id.clone(),
            id_kept_longer: self.id_kept_longer,
            sets,
            opt_out: self.opt_out.clone(),
            record: recorded.then(|| EventRecord {
                event_type: self.event.event_type.clone(),
                txn: self.event.txn.clone(),
                stream_ids: self.event.stream_ids.clone(),
                withheld: self.withheld.clone(),
            }),
            step,
        }
    }

    /// Remembers which streams of the step that was written last turned out to be disabled. The last
    /// step records them.
    pub(super) fn withhold(&mut self, is_disabled: impl Fn(&StreamId) -> bool) {
        let room = WITHHELD_MAX.saturating_sub(self.withheld.len());
        let streams = self.streams[self.step_start..self.taken].iter().map(|stream| &stream.id);
        let disabled = streams.filter(|stream| is_disabled(stream)).take(room);
        let disabled = disabled.map(|stream| (stream.clone(), Reason::Disabled.into()));
        self.withheld.extend(disabled);
    }
}

/// Writes one SET for each of these streams, in their order.
fn sets_of(
    provider: &Provider,
    event: &Event,
    origin: &Origin,
    streams: &[Arc<StreamConfig>],
    now: Timestamp,
) -> Vec<NewSet> {
    let identifiers = Identifiers::of(event);
    let maker = SetMaker::new(provider, event, origin, now);
    let sets = streams
        .iter()
        .filter_map(|stream| Some(maker.make(stream, identifiers.in_form(stream.subject_format)?)));
    sets.collect()
}

/// Makes the SETs of one event.
pub(in crate::transmitter) struct SetMaker<'a> {
    provider: &'a Provider,
    event: &'a Event,
    origin: &'a Origin,
    lane: Lane,
    txn: Cow<'a, str>,
    /// The subject as JSON, which several SETs share.
    subject: OnceCell<Arc<str>>,
    now: Timestamp,
}

impl<'a> SetMaker<'a> {
    pub(in crate::transmitter) fn new(
        provider: &'a Provider,
        event: &'a Event,
        origin: &'a Origin,
        now: Timestamp,
    ) -> Self {
        let txn = event.txn.as_deref().map_or_else(|| origin.txn().into(), Cow::Borrowed);
        let lane = Lane::of(event.subject.id());
        Self { provider, event, origin, lane, txn, subject: OnceCell::new(), now }
    }

    /// Makes the SET of one stream, with this identifier of the subject.
    pub(in crate::transmitter) fn make(
        &self,
        stream: &StreamConfig,
        identifier: &SubjectId,
    ) -> NewSet {
        let Event { event_type, payload, subject, .. } = self.event;
        let same = std::ptr::eq(identifier, subject.id()) || identifier == subject.id();
        let all_in_claims = same && !subject.has_further();
        let set = SetOf {
            provider: self.provider,
            event_type,
            payload,
            subject: identifier,
            identifiers: (!all_in_claims)
                .then(|| Arc::clone(self.subject.get_or_init(|| as_json(subject)))),
            lane: self.lane,
            txn: Some(&self.txn),
            origin: self.origin,
            kind: SetKind::Event,
            now: self.now,
        };
        set.addressed_to(stream)
    }
}

fn as_json(subject: &Subject) -> Arc<str> {
    serde_json::to_string(subject).expect("a subject is JSON").into()
}

/// All that a SET is made of, but for its stream.
pub(in crate::transmitter) struct SetOf<'a> {
    pub(in crate::transmitter) provider: &'a Provider,
    pub(in crate::transmitter) event_type: &'a EventType,
    pub(in crate::transmitter) payload: &'a Payload,
    /// The identifier that the SET carries.
    pub(in crate::transmitter) subject: &'a SubjectId,
    /// The identifiers, as in [`NewSet::identifiers`].
    pub(in crate::transmitter) identifiers: Option<Arc<str>>,
    pub(in crate::transmitter) lane: Lane,
    pub(in crate::transmitter) txn: Option<&'a str>,
    pub(in crate::transmitter) origin: &'a Origin,
    pub(in crate::transmitter) kind: SetKind,
    pub(in crate::transmitter) now: Timestamp,
}

impl SetOf<'_> {
    /// Fixes the `jti` and the `iat` of a SET for good.
    pub(in crate::transmitter) fn addressed_to(self, stream: &StreamConfig) -> NewSet {
        let jti = self.origin.jti(&stream.id);
        let claims = SetClaims {
            iss: &self.provider.issuer,
            iat: self.now,
            jti: &jti,
            aud: &stream.audience,
            txn: self.txn,
            sub_id: self.subject,
            events: EventsClaim { event_type: self.event_type, payload: self.payload },
        };
        let claims = Arc::from(claims.to_json());
        let Self { lane, kind, identifiers, .. } = self;
        NewSet { stream: stream.id.clone(), jti, lane, kind, claims, identifiers }
    }
}
