//! Turns native records into decisions: what is published, held, rejected or dropped. Nothing is durable
//! afterwards but what was there before.

use std::sync::Arc;

use serde_json::Value;
use tokio::{sync::OwnedMutexGuard, task::spawn_blocking};
use url::form_urlencoded;

use super::{
    Source, SourceError, body::Part, gates::GateBook, rejects::Reject, request::SourceRequest,
    settings::Mode,
};
use crate::{
    clock,
    delivery::lane::Lane,
    domain::{
        event::Event,
        mapping::{Gate, Mapped, MappedResult, Mapping, RequestFacts, RuleName},
        time::Timestamp,
    },
};

/// An event that a source emits.
#[derive(Debug)]
pub(super) struct Emitted {
    pub(super) rule: String,
    pub(super) event: Event,
    /// The event as it would be published, for events that are held.
    pub(super) json: Value,
    /// The place of the event in its request.
    pub(super) place: usize,
    /// The document that it comes from, and its place among the events of that.
    pub(super) part: usize,
    pub(super) nth: usize,
}

impl Emitted {
    /// Returns the lane of the event, which events about the same subject share.
    pub(super) fn lane(&self) -> i64 {
        Lane::of(self.event.subject.id()).as_i64()
    }

    pub(super) fn id(&self) -> &str {
        self.event.id.as_deref().unwrap_or_default()
    }
}

/// The decisions about the records of one request.
#[derive(Debug, Default)]
pub(super) struct Prepared {
    pub(super) publish: Vec<Emitted>,
    pub(super) hold: Vec<Emitted>,
    pub(super) rejects: Vec<Reject>,
    pub(super) way: Way,
    pub(super) gates: Option<GateBook>,
    /// No other request judges gates until this is dropped.
    pub(super) turn: Option<OwnedMutexGuard<()>>,
    pub(super) dropped: usize,
    pub(super) unchanged: usize,
    pub(super) observed: usize,
}

/// How documents came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Way {
    /// Somebody sent them. The mapping finds the records in them, and the cap of a minute holds.
    #[default]
    Sent,
    /// The daemon fetched them. Each is a record, and the poll waits where the cap would hold an event.
    Polled,
}

impl Way {
    fn records<'a>(self, mapping: &Mapping, document: &'a Value) -> Vec<&'a Value> {
        match self {
            Self::Sent => mapping.split(document),
            Self::Polled => vec![document],
        }
    }
}

/// Results of a mapping on their way through the gates.
#[derive(Default)]
struct Candidates {
    way: Way,
    /// The documents that the records are in.
    documents: Vec<Value>,
    results: Vec<Candidate>,
}

enum Candidate {
    Emit(Box<EmitCandidate>),
    Reject(Reject),
    Drop,
}

struct EmitCandidate {
    rule: RuleName,
    json: Value,
    gate: Option<Gate>,
    /// The time of the record, or that of its receipt.
    told_at: Timestamp,
    native_id: Option<String>,
    native_type: Option<String>,
    /// The part of the request, the document of that, and the record in it.
    part: usize,
    document: usize,
    record: usize,
    /// The place among the events of the part.
    nth: usize,
}

impl Candidate {
    fn gate(&self) -> Option<&Gate> {
        match self {
            Self::Emit(emit) => emit.gate.as_ref(),
            Self::Reject(_) | Self::Drop => None,
        }
    }
}

/// Why a record gives no event.
pub(super) const OLD: &str = "the record is older than `max_age`; it was probably replayed";
pub(super) const NOT_ALLOWED: &str =
    "the event type is not among those that the source may emit (`may_emit`)";

/// The largest body whose records are mapped where the request is served, in bytes. Larger ones are mapped
/// by another thread, so that other requests do not wait for them.
const MAPPED_AT_ONCE_MAX: usize = 64 << 10;

/// The documents of one request, with all that a mapping may know of it.
pub(super) struct Documents {
    pub(super) parts: Vec<Part>,
    pub(super) facts: RequestFacts,
    /// The size of all of them in bytes.
    pub(super) bytes: usize,
    pub(super) received: Timestamp,
    pub(super) way: Way,
}

impl Source {
    /// Decides about each record. Fails if the store cannot be read, or too much is held already.
    pub(super) async fn prepare(
        self: &Arc<Self>,
        documents: Documents,
    ) -> Result<Prepared, SourceError> {
        let received = documents.received;
        let candidates = if documents.bytes <= MAPPED_AT_ONCE_MAX {
            self.map(documents)
        } else {
            let this = Arc::clone(self);
            let mapped = spawn_blocking(move || this.map(documents)).await;
            mapped.expect("mapping does not panic")
        };
        self.pass_gates(candidates, received).await
    }

    /// Maps the records of all documents.
    fn map(&self, Documents { parts, facts, received, way, .. }: Documents) -> Candidates {
        let mapping = &self.parts.mapping;
        let mut candidates = Candidates { way, ..Candidates::default() };
        for (part, document) in parts.into_iter().enumerate() {
            let document = match document {
                Ok(document) => document,
                Err(why) => {
                    let reject = Reject { why, ..Reject::default() };
                    candidates.results.push(Candidate::Reject(reject));
                    continue;
                }
            };
            let (at, mut nth) = (candidates.documents.len(), 0);
            for (n, record) in way.records(mapping, &document).into_iter().enumerate() {
                let mapped = mapping.apply(record, &facts, received);
                for mut candidate in self.candidates(mapped, record, received) {
                    if let Candidate::Emit(emit) = &mut candidate {
                        (emit.part, emit.document, emit.record) = (part, at, n);
                        emit.nth = nth;
                        nth += 1;
                    }
                    candidates.results.push(candidate);
                }
            }
            candidates.documents.push(document);
        }
        candidates
    }

    fn candidates(&self, mapped: Mapped, record: &Value, now: Timestamp) -> Vec<Candidate> {
        let Mapped { native_id, native_type, time, time_was_ahead, results } = mapped;
        let reject = |rule: Option<&RuleName>, why: String| Reject {
            rule: rule.map(ToString::to_string),
            why,
            native_id: native_id.clone(),
            native_type: native_type.clone(),
            record: Some(record.clone()),
            ..Reject::default()
        };
        if time_was_ahead {
            self.count_record("time_ahead", 1);
        }
        let is_old = self.is_old(time, now);
        let candidate = |result| match result {
            MappedResult::Dropped { rule: None, .. } => {
                self.unmatched.count(native_type.as_deref(), now);
                Candidate::Drop
            }
            MappedResult::Dropped { .. } => Candidate::Drop,
            MappedResult::Rejected { rule, path, why, alarm } => {
                Candidate::Reject(Reject { path, alarm, ..reject(rule.as_ref(), why) })
            }
            MappedResult::Emit { rule, .. } if is_old => {
                Candidate::Reject(reject(Some(&rule), OLD.to_owned()))
            }
            MappedResult::Emit { rule, event: json, gate } => {
                let (native_id, native_type) = (native_id.clone(), native_type.clone());
                Candidate::Emit(Box::new(EmitCandidate {
                    rule,
                    json,
                    gate,
                    told_at: time.unwrap_or(now),
                    native_id,
                    native_type,
                    part: 0,
                    document: 0,
                    record: 0,
                    nth: 0,
                }))
            }
        };
        results.into_iter().map(candidate).collect()
    }

    /// Tells whether a native time is so long ago that the record was probably replayed.
    fn is_old(&self, time: Option<Timestamp>, now: Timestamp) -> bool {
        time.is_some_and(|time| time + self.parts.bounds.max_age < now)
    }

    async fn pass_gates(
        &self,
        Candidates { way, documents, results }: Candidates,
        now: Timestamp,
    ) -> Result<Prepared, SourceError> {
        let mut prepared = Prepared { way, ..Prepared::default() };
        let gates: Vec<_> = results.iter().filter_map(Candidate::gate).collect();
        let mut book = None;
        if !gates.is_empty() {
            prepared.turn = Some(Arc::clone(&self.gating).lock_owned().await);
            let of = (&self.parts.provider.name, &self.parts.name);
            let gates = gates.into_iter();
            book = Some(GateBook::read(&*self.services.store, of, gates, now).await?);
        }
        let mut emitted = Vec::new();
        for result in results {
            let emit = match result {
                Candidate::Drop => {
                    prepared.dropped += 1;
                    continue;
                }
                Candidate::Reject(reject) => {
                    prepared.rejects.push(reject);
                    continue;
                }
                Candidate::Emit(emit) => *emit,
            };
            if let (Some(book), Some(gate)) = (&mut book, &emit.gate)
                && !book.admits(gate, emit.told_at)
            {
                prepared.unchanged += 1;
                continue;
            }
            let (place, rule) = (emitted.len(), emit.rule.to_string());
            match self.admit(&emit.json) {
                Ok(event) => {
                    let EmitCandidate { json, part, nth, .. } = emit;
                    emitted.push(Emitted { rule, event, json, place, part, nth });
                }
                Err(why) => {
                    let mapping = &self.parts.mapping;
                    let records = way.records(mapping, &documents[emit.document]);
                    prepared.rejects.push(Reject {
                        rule: Some(rule),
                        why,
                        native_id: emit.native_id,
                        native_type: emit.native_type,
                        record: records.get(emit.record).map(|record| (*record).clone()),
                        ..Reject::default()
                    });
                }
            }
        }
        drop(documents);
        prepared.gates = book;
        self.decide(emitted, way, &mut prepared).await?;
        Ok(prepared)
    }

    /// Checks an event as every publisher's event is checked, and that the source may emit its type.
    pub(super) fn admit(&self, json: &Value) -> Result<Event, String> {
        let provider = &self.parts.provider;
        let text = json.to_string();
        if self.parts.event_bytes_max < text.len() {
            return Err(format!("the event is larger than {} bytes", self.parts.event_bytes_max));
        }
        let event = self.services.transmitter.admit(provider, text.as_bytes());
        let event = event.map_err(|error| error.to_string())?;
        if self.parts.may_emit.contains(&event.event_type) {
            Ok(event)
        } else {
            Err(NOT_ALLOWED.to_owned())
        }
    }

    /// Divides events into those that are published and those that are held. An event about a subject of
    /// which an event is held is held behind it.
    async fn decide(
        &self,
        emitted: Vec<Emitted>,
        way: Way,
        prepared: &mut Prepared,
    ) -> Result<(), SourceError> {
        if self.parts.mode == Mode::Observe {
            prepared.observed += emitted.len();
            return Ok(());
        }
        self.refresh_held(clock::now()).await?;
        let now = clock::instant();
        let (mut cap, mut held) = (self.cap(), self.held());
        for event in emitted {
            if !held.has_lane(event.lane()) && (way == Way::Polled || cap.take(now)) {
                prepared.publish.push(event);
            } else {
                held.reserve(event.lane());
                prepared.hold.push(event);
            }
        }
        if self.parts.bounds.held_max < held.count() {
            for event in &prepared.hold {
                held.release(event.lane());
            }
            if way == Way::Sent {
                cap.give_back(u32::try_from(prepared.publish.len()).unwrap_or(u32::MAX));
            }
            return Err(SourceError::HeldFull);
        }
        Ok(())
    }
}

/// Returns the request's headers and parameters that a mapping may read. Credentials are left out, so that
/// no rule can put them into an event.
pub(super) fn facts(request: &SourceRequest, secret: Option<&str>) -> RequestFacts {
    const CREDENTIALS: [&str; 3] = ["authorization", "cookie", "proxy-authorization"];
    let is_secret = |name: &str| {
        CREDENTIALS.contains(&name)
            || secret.is_some_and(|secret| secret.eq_ignore_ascii_case(name))
    };
    let headers = request.headers.texts().filter(|(name, _)| !is_secret(name));
    let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let query = form_urlencoded::parse(request.query.as_bytes()).into_owned();
    RequestFacts::new(headers, query)
}
