//! An event becomes one SET for each stream that wants it.

use std::{
    cell::OnceCell,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde_json::{Map, Value};

use crate::{
    clock,
    cluster::lease::LeaseUnconfirmed,
    delivery::{
        lane::Lane,
        outbox::{NewSet, SetKind},
    },
    directory::Addressees,
    domain::{
        event::Event,
        event_type::EventType,
        opt_out::OptOut,
        provider::Provider,
        reason::Reason,
        set::{EventsClaim, Origin, SetClaims},
        stream::StreamConfig,
        subject::{Subject, SubjectId, keys::SubjectKeys, list::Listed},
        time::Timestamp,
    },
    store::{
        Append, AppendBatch, Appended, StoreError,
        ledger::{EventRecord, WITHHELD_MAX},
    },
    telemetry::{
        metrics,
        spans::{self, SetFields},
    },
};

use super::Transmitter;

/// An event and what identifies it for good.
#[derive(Debug)]
pub struct Incoming {
    pub event: Event,
    pub origin: Origin,
}

impl Transmitter {
    /// Puts each event into the outbox of every stream that wants it. Once this returns `Ok`, they
    /// are durable; after an error some may be, and to do it again completes it.
    pub async fn publish(
        &self,
        provider: &Provider,
        events: Vec<Incoming>,
    ) -> Result<Vec<Appended>, StoreError> {
        let batch = self.address(provider, events).await?;
        self.append(batch).await
    }

    /// Matches each event with the streams that want it.
    pub async fn address(
        &self,
        provider: &Provider,
        events: Vec<Incoming>,
    ) -> Result<AppendBatch, StoreError> {
        if !self.sharing.lease.is_valid(clock::instant()) {
            // It would be matched with streams as they were.
            return Err(StoreError::Unavailable(Arc::new(LeaseUnconfirmed)));
        }
        let now = clock::now();
        let listed = self.look_up(provider, &events, now).await?;
        let listed = listed.into_iter().chain(std::iter::repeat_with(Listed::default));
        let events = events.into_iter().zip(listed);
        let events = events.map(|(event, listed)| self.matched(provider, event, &listed, now));
        Ok(AppendBatch { events: events.collect(), position: None, now })
    }

    /// Puts addressed events into the outboxes, as [`Self::publish`] does; the position with the last
    /// of them.
    pub async fn append(&self, batch: AppendBatch) -> Result<Vec<Appended>, StoreError> {
        let wanted = batch.events.iter().map(|event| (event.provider.clone(), event.sets.len()));
        let wanted: Vec<_> = wanted.collect();
        let sets = batch.events.iter().flat_map(|event| &event.sets);
        let spans = spans::append(sets.map(SetFields::from));
        let appended = self.store.append(batch, &|streams| self.wake(streams, false)).await?;
        spans.close();
        for (one, (provider, wanted)) in appended.iter().zip(wanted) {
            match one {
                Appended::New(streams) => {
                    if streams.is_empty() {
                        metrics::events_unmatched(&provider);
                    } else {
                        metrics::sets_appended(&provider, streams.len());
                    }
                    if streams.len() < wanted {
                        let disabled = wanted - streams.len();
                        metrics::events_suppressed(&provider, Reason::Disabled, disabled);
                    }
                }
                Appended::OptedOut { streams } => {
                    metrics::events_suppressed(&provider, Reason::OptedOut, *streams);
                }
                Appended::Duplicate => metrics::events_duplicate(&provider),
            }
        }
        Ok(appended)
    }

    /// The streams that list the subject of each event; nothing at all where every stream gets
    /// every subject. A subject that is removed while this is under way is noticed when the SET is
    /// read to be sent.
    async fn look_up(
        &self,
        provider: &Provider,
        events: &[Incoming],
        now: Timestamp,
    ) -> Result<Vec<Listed>, StoreError> {
        if !self.directory.is_selective(&provider.name) {
            return Ok(Vec::new());
        }
        let keys =
            |incoming: &Incoming| SubjectKeys::of_event(&provider.name, &incoming.event.subject);
        let subjects = events.iter().map(keys).collect();
        self.store.listed(&provider.name, subjects, now).await
    }

    /// Matches: provider, type, the addressees that the publisher named, the subject, and whether
    /// it can be named as the stream's Receiver knows it.
    fn matched(
        &self,
        provider: &Provider,
        incoming: Incoming,
        listed: &Listed,
        now: Timestamp,
    ) -> Append {
        let Incoming { event, origin } = incoming;
        let Addressees { streams, withheld, removed } =
            self.directory.addressees(&provider.name, &event, listed);
        if withheld != 0 {
            metrics::events_suppressed(&provider.name, Reason::Subject, withheld);
        }
        let sets = sets_of(provider, &event, &origin, &streams, now);
        let mut withheld: Vec<_> =
            removed.into_iter().map(|stream| (stream, Reason::Subject)).collect();
        if sets.len() < streams.len() {
            metrics::events_suppressed(&provider.name, Reason::Format, streams.len() - sets.len());
            let made: BTreeSet<_> = sets.iter().map(|set| &set.stream).collect();
            let others = streams.iter().filter(|stream| !made.contains(&stream.id));
            let others =
                others.take(WITHHELD_MAX).map(|stream| (stream.id.clone(), Reason::Format));
            withheld.extend(others);
        }
        let opt_out = OptOut::of(&event.event_type, &provider.name, &event.subject);
        let record = provider.event_ledger.then(|| EventRecord {
            event_type: event.event_type,
            txn: event.txn,
            stream_ids: event.stream_ids,
            withheld: withheld.into_iter().map(|(id, why)| (id, why.into())).collect(),
        });
        let provider = provider.name.clone();
        Append { provider, origin, event_id: event.id, sets, opt_out, record }
    }
}

/// One SET of an event for each of these streams, in their order. A stream is left out if the event
/// does not name its subject in the stream's form.
pub(super) fn sets_of(
    provider: &Provider,
    event: &Event,
    origin: &Origin,
    streams: &[Arc<StreamConfig>],
    now: Timestamp,
) -> Vec<NewSet> {
    let drawn_txn = origin.txn();
    let published = SetOf {
        provider,
        event_type: &event.event_type,
        payload: &event.payload,
        subject: event.subject.id(),
        identifiers: None,
        lane: Lane::of(event.subject.id()),
        txn: Some(event.txn.as_deref().unwrap_or(&drawn_txn)),
        origin,
        kind: SetKind::Event,
        now,
    };
    // Most events go to streams of one form: it is chosen once.
    let mut chosen = BTreeMap::new();
    for stream in streams {
        chosen.entry(stream.subject_format).or_insert_with_key(|format| {
            format.choose(&event.subject, event.event_type.fixes_subject())
        });
    }
    let identifiers = OnceCell::new();
    let sets = streams.iter().filter_map(|stream| {
        let subject = chosen[&stream.subject_format].as_deref()?;
        let mut set = SetOf { subject, ..published.clone() };
        if event.subject.has_further() || subject != event.subject.id() {
            set.identifiers = Some(Arc::clone(identifiers.get_or_init(|| as_json(&event.subject))));
        }
        Some(set.addressed_to(stream))
    });
    sets.collect()
}

fn as_json(subject: &Subject) -> Arc<str> {
    serde_json::to_string(subject).expect("a subject is JSON").into()
}

/// All that the SETs of one event have in common.
#[derive(Clone)]
pub(super) struct SetOf<'a> {
    pub(super) provider: &'a Provider,
    pub(super) event_type: &'a EventType,
    pub(super) payload: &'a Map<String, Value>,
    /// The identifier that they carry.
    pub(super) subject: &'a SubjectId,
    /// As [`NewSet::identifiers`].
    pub(super) identifiers: Option<Arc<str>>,
    pub(super) lane: Lane,
    pub(super) txn: Option<&'a str>,
    pub(super) origin: &'a Origin,
    pub(super) kind: SetKind,
    pub(super) now: Timestamp,
}

impl SetOf<'_> {
    /// Here a SET's `jti` and `iat` are fixed for good.
    pub(super) fn addressed_to(&self, stream: &StreamConfig) -> NewSet {
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
        let identifiers = self.identifiers.clone();
        let (lane, kind) = (self.lane, self.kind);
        NewSet { stream: stream.id.clone(), jti, lane, kind, claims, identifiers }
    }
}
