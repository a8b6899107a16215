//! Polling: a source fetches its records from the provider, because webhooks lose some, and because some
//! providers can only be asked.
//!
//! ```text
//!  Poller ─ Round ─▶ request ─▶ Client ─▶ provider
//!    │        ▲                             │
//!    │        └─ PageFacts ◀── Page ◀───────┘
//!    │                          │ records
//!    │                          ▼
//!    ├──────────────▶ Source::take_polled ─▶ durable
//!    └─ then ───────▶ PollPosition moves
//! ```
//!
//! - `poller` is the task of one URL. The node that holds the slot of the source polls it.
//! - `round` decides the request for each page and where the position is after it; `pace` decides when the
//!   next round begins. Both are pure.
//! - `template` makes the URLs, `client` sends requests, `credentials` has the secret or the access token, and
//!   `link` and `page` read answers. `fault` names each failure and its remedy.
//! - `state` is there for operators. `seen` only saves work.
//!
//! Correctness rests on two rules: the position moves after the records are durable, and the events of a
//! record that comes again are duplicates by their ids.

mod client;
mod credentials;
mod fault;
mod link;
mod open;
mod pace;
mod page;
mod poller;
mod round;
mod seen;
mod state;
pub mod template;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::{sync::watch, task::JoinHandle};

use self::{
    client::Client, credentials::Credentials, fault::Fault, poller::Poller, state::PollBoard,
};
pub use self::{
    open::PollError,
    state::{LastPollError, LastRound, PollState, Tally},
};
use super::{Source, SourceSet, cap::MinuteCap, settings::PollConfig};
use crate::{
    cluster::lease::Lease,
    store::{
        StoreError,
        records::poll_position::{PollPosition, PollPositionStore as _},
        slot::Slot,
    },
    telemetry::{metrics, supervision::Supervisor},
};

/// The poll of one source.
#[derive(Debug)]
pub struct Poll {
    config: PollConfig,
    client: Client,
    credentials: Credentials,
    board: PollBoard,
    /// The events that this node's polls have published in the last minute.
    cap: Mutex<MinuteCap>,
}

impl Poll {
    pub fn config(&self) -> &PollConfig {
        &self.config
    }

    fn cap(&self) -> MutexGuard<'_, MinuteCap> {
        self.cap.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Source {
    /// Returns the state of each polled URL on this node.
    pub fn polls(&self) -> Vec<PollState> {
        self.parts.poll.as_ref().map(|poll| poll.board.states()).unwrap_or_default()
    }

    /// Returns the positions of the polled URLs, which all nodes share.
    pub async fn poll_positions(&self) -> Result<Vec<PollPosition>, StoreError> {
        let (provider, source) = (&self.parts.provider.name, &self.parts.name);
        if self.parts.poll.is_none() {
            return Ok(Vec::new());
        }
        self.services.store.poll_positions(provider, source).await
    }

    /// Makes the series of the metrics of the poll, with 0.
    pub(super) fn begin_poll_metrics(&self) {
        let Some(poll) = &self.parts.poll else { return };
        let (provider, source) = (&self.parts.provider.name, self.parts.name.as_str());
        for outcome in [poller::COMPLETE, poller::CONTINUED].into_iter().chain(Fault::LABELS) {
            metrics::source_poll_rounds(provider, source, outcome, 0);
        }
        for result in ["new", "known"] {
            metrics::source_poll_events(provider, source, result, 0);
        }
        for url in &poll.config.urls {
            metrics::source_poll_lag(provider, source, &url.name, std::time::Duration::ZERO);
        }
    }
}

/// Polls all sources that are to be polled, each while this node holds its slot, until `stop` turns true or
/// its sender is gone.
pub fn start(
    sources: &SourceSet,
    lease: &Arc<Lease>,
    supervisor: &Supervisor,
    stop: &watch::Receiver<bool>,
) -> Vec<JoinHandle<()>> {
    let urls = sources.iter().flat_map(|source| {
        let poll = source.parts.poll.as_ref();
        let urls = poll.map_or(0, |poll| poll.config.urls.len());
        poll.into_iter().flat_map(move |poll| (0..urls).map(move |url| (source, poll, url)))
    });
    let start = |(source, poll, url): (&Arc<Source>, &Arc<Poll>, usize)| {
        let (provider, name) = (source.parts.provider.name.as_str(), source.parts.name.as_str());
        let poller = Arc::new(Poller {
            source: Arc::clone(source),
            poll: Arc::clone(poll),
            url,
            lease: Arc::clone(lease),
            slot: Slot::of(&["poll", provider, name]),
        });
        let stop = stop.clone();
        let name = format!("poll of {provider}/{name}");
        supervisor.restarting(&name, move || Arc::clone(&poller).run(stop.clone()))
    };
    urls.map(start).collect()
}
