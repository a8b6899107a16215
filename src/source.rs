//! Sources: configured ways in for the native events of identity providers.
//!
//! A [`Source`] takes what its identity provider sends, as it sends it, and gives events. It knows no
//! HTTP library: `http::sources` hands it a [`SourceRequest`](request::SourceRequest) and writes its
//! [`Reply`](request::Reply), and `ingest` hands it the entries of a Redis stream.
//!
//! ```text
//!  request ─▶ handshake ─▶ verify ─▶ body ─▶ mapping ─▶ gates ─▶ admission ─▶ cap ─▶ transmitter::publish
//!                │            │        │        │          │          │         │             │
//!                ▼            ▼        ▼        ▼          ▼          ▼         ▼             ▼
//!              answer     401, 400 400 / 2xx  dropped  unchanged  rejected    held     durable: answer
//! ```
//!
//! - `receive` answers a request within its time. `prepare` turns records into events and decides about
//!   each; `conclude` makes the result durable.
//! - [`verify`] judges the sender, [`handshake`] answers its first questions, `body` finds the records.
//! - `gates` lets an event pass only if a value has changed. `cap` bounds the events of a minute, and `held`
//!   keeps what is beyond it for an operator. `rejects` keeps records that gave no event, and why.
//!   `unmatched` counts native types that no rule takes.
//! - [`poll`] fetches records from the provider, and `entries` takes in what was fetched.
//! - [`settings`] is the table of a source. [`Kind`] says what a request holds, and words its answers.
//!   [`set`] takes SETs of another Transmitter apart.
//!
//! Correctness rests on the event's id alone. The sender repeats what it got no answer for, the repeated
//! record gives an event with the same id, and the store calls that a duplicate. Whatever a source keeps
//! (held events, rejected records, values of gates) has a name that derives from the record, so a
//! repetition writes the same again. The cap and the unmatched types are kept by each node, in memory.

mod body;
mod cap;
pub mod client_certificate;
mod conclude;
mod entries;
mod explain;
mod gates;
pub mod handshake;
mod held;
mod kind;
pub mod poll;
mod prepare;
mod receive;
mod registry;
mod rejects;
pub mod request;
pub mod set;
pub mod settings;
mod unmatched;
pub mod verify;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use aws_lc_rs::digest::{SHA256, digest};
use tokio::sync::Semaphore;

pub(crate) use self::cap::MinuteCap;
pub use self::{
    body::UnreadableBody,
    conclude::Counts,
    entries::NativeEntry,
    explain::{EmittedResult, Explained, ExplainedResult, Explainer, TriedBody},
    held::HeldAction,
    kind::Kind,
    registry::{SourceName, SourceSet},
    unmatched::UnmatchedType,
};
use self::{held::HeldBook, poll::Poll, settings::BoundSettings, unmatched::Unmatched};
use crate::{
    clock,
    domain::{event_type::EventType, mapping::Mapping, provider::Provider},
    source::{settings::Mode, verify::Verifier},
    store::{Records, StoreError},
    telemetry::{log_pace::LogPace, metrics, readiness::Readiness},
    transmitter::Transmitter,
};

/// The most requests of one source that are worked on at a time. Further ones are answered 503.
pub const REQUESTS_MAX: usize = 64;
/// When it is worth another try, if a source takes nothing at present. Senders obey it without a bound, so
/// it is short.
const RETRY_AFTER: Duration = Duration::from_secs(20);
/// The shortest time between two log lines of one kind about a source.
const LOG_INTERVAL: Duration = Duration::from_mins(1);

/// The parts that a source is made of.
pub struct SourceParts {
    pub provider: Arc<Provider>,
    pub name: SourceName,
    pub preset: Option<String>,
    pub mode: Mode,
    pub bounds: BoundSettings,
    pub kind: Kind,
    pub mapping: Mapping,
    /// `None` if the source takes no requests.
    pub verifier: Option<Verifier>,
    pub redis_key: Option<String>,
    /// `None` if the source does not poll.
    pub poll: Option<Arc<Poll>>,
    /// The types that may be emitted. If there are none, those that the mapping can emit.
    pub may_emit: Vec<EventType>,
    /// The largest event, in bytes.
    pub event_bytes_max: usize,
    /// How long the store remembers ids.
    pub store_id_retention: Duration,
}

/// Everything that the sources of a daemon share.
#[derive(Clone)]
pub struct SourceServices {
    pub transmitter: Arc<Transmitter>,
    pub store: Arc<dyn Records>,
    pub readiness: Arc<Readiness>,
}

/// One configured source.
pub struct Source {
    parts: SourceParts,
    services: SourceServices,
    in_flight: Arc<Semaphore>,
    cap: Mutex<MinuteCap>,
    held: Mutex<HeldBook>,
    /// Held while the gates of a request are judged, so that no other request judges by the same values.
    gating: Arc<tokio::sync::Mutex<()>>,
    /// Held while an operator releases or discards held events.
    operating: tokio::sync::Mutex<()>,
    unmatched: Unmatched,
    log: LogPace<&'static str>,
}

impl Source {
    pub fn new(mut parts: SourceParts, services: SourceServices) -> Arc<Self> {
        if parts.may_emit.is_empty() {
            parts.may_emit = parts.mapping.emits().into_iter().collect();
        }
        parts.may_emit = parts.provider.with_converted(parts.may_emit);
        let cap = MinuteCap::new(parts.bounds.events_per_minute_max, clock::instant());
        let source = Self {
            parts,
            services,
            in_flight: Arc::new(Semaphore::new(REQUESTS_MAX)),
            cap: Mutex::new(cap),
            held: Mutex::default(),
            gating: Arc::default(),
            operating: tokio::sync::Mutex::default(),
            unmatched: Unmatched::default(),
            log: LogPace::new(LOG_INTERVAL),
        };
        source.begin_metrics();
        Arc::new(source)
    }

    pub fn parts(&self) -> &SourceParts {
        &self.parts
    }

    /// Returns the native types that no rule took on this node, the most frequent first.
    pub fn unmatched(&self) -> Vec<(String, UnmatchedType)> {
        self.unmatched.all()
    }

    /// Returns the mapping of the source.
    pub fn mapping(&self) -> &Mapping {
        &self.parts.mapping
    }

    /// Returns the name of the source in the log and in `/readyz`.
    fn label(&self) -> String {
        format!("{}/{}", self.parts.provider.name, self.parts.name)
    }

    /// By how much longer than others the store remembers the ids of this source.
    fn id_kept_longer(&self) -> Duration {
        let own = self.parts.bounds.event_id_retention.unwrap_or_default();
        own.saturating_sub(self.parts.store_id_retention)
    }

    fn cap(&self) -> MutexGuard<'_, MinuteCap> {
        self.cap.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn held(&self) -> MutexGuard<'_, HeldBook> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the series of all metrics of the source, with 0.
    fn begin_metrics(&self) {
        let (provider, source) = (&self.parts.provider.name, self.parts.name.as_str());
        for outcome in receive::OUTCOMES {
            metrics::source_requests(provider, source, outcome, 0);
        }
        for outcome in conclude::OUTCOMES {
            metrics::source_records(provider, source, outcome, 0);
        }
        for reason in verify::Refusal::LABELS {
            metrics::source_auth_failures(provider, source, reason, 0);
        }
        metrics::source_held(provider, source, 0);
        self.begin_poll_metrics();
    }
}

/// The reason why records cannot be taken in at present.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The source holds as many events as it may.
    #[error("the source holds as many events as it may; release or discard them")]
    HeldFull,
}

/// Returns a short hash of a text, as the name of a record.
fn hash(text: &str) -> String {
    const BYTES: usize = 16;
    let digest = digest(&SHA256, text.as_bytes());
    let bytes = digest.as_ref().iter().take(BYTES);
    bytes.fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"))
}
