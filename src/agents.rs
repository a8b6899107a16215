//! Agents: devices prove who they are and report their posture.
//!
//! An [`Agents`] is one table of the configuration: the devices of a provider that are judged by the same
//! rules. It knows no HTTP library: `http::agents` hands it requests, and `maintenance` runs its sweep.
//!
//! ```text
//!  challenge ─▶ answer, facts ─▶ proof ─▶ rules ─▶ one write ─▶ publish ─▶ note that
//!                                  │               (challenge used,
//!                                  ▼                status, pending change)
//!                              Refusal: counted, nothing changes
//! ```
//!
//! - `challenges` makes challenges and knows its own. `proof` verifies answers, and `failures` counts
//!   those that may be guesses. `check_in` brings it all together.
//! - `publish` publishes a change that is pending and notes that. `sweep` completes what a crash left,
//!   and judges the devices that have not checked in.
//! - `enrol` lets devices register themselves, if the table allows it. `devices` has the calls of operators.
//! - [`settings`] is the table. [`AgentsSet`] holds all tables of a daemon.
//!
//! Correctness rests on the record of the device. One write uses up the challenge, changes the status and
//! keeps the change as pending, and it succeeds only over the version that was read; so a challenge works
//! once on all nodes, and a status changes once. The event of a pending change has an id and an origin
//! that derive from the number of the change, so whoever publishes it again changes nothing. The lock of a
//! device and the rate of enrolments only save work; each node keeps them in memory.

mod challenges;
mod check_in;
mod devices;
mod enrol;
mod failures;
mod proof;
mod publish;
mod registry;
pub mod settings;
mod sweep;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use aws_lc_rs::{
    digest::{SHA256, digest},
    hmac,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use tokio::sync::Semaphore;

pub use self::{
    challenges::ChallengeError,
    check_in::{ANSWER_BYTES_MAX, CheckIn, CheckInError, CheckedIn},
    devices::{DeviceError, DeviceFilter, DevicePage, InvalidToken, Registration, TOKEN_BYTES},
    enrol::{EnrolError, Enrolment},
    registry::{AgentsOverview, AgentsSet},
    sweep::SweepCounts,
};
use self::{failures::FailureBook, proof::TokenKey, settings::AgentsConfig, sweep::Listening};
use crate::{
    auth, clock,
    domain::{
        id::{AgentsName, DeviceId},
        posture::{DeviceKey, Refusal, Status},
        provider::Provider,
    },
    signing::material::CurrentMaterial,
    source::{MinuteCap, verify::secrets::SharedSecret},
    store::Records,
    telemetry::{log_pace::LogPace, metrics, readiness::Readiness},
    transmitter::Transmitter,
};

/// The most requests of one table that are worked on at a time. Further ones are answered 503.
pub const REQUESTS_MAX: usize = 256;
/// When it is worth another try, if a request cannot be served at present.
pub const RETRY_AFTER: Duration = Duration::from_secs(5);
/// How often a device is read again that another request changed meanwhile.
const TRIES: usize = 8;
/// The shortest time between two log lines of one kind about a table.
const LOG_INTERVAL: Duration = Duration::from_mins(1);

/// The parts that a table of agents is made of.
pub struct AgentsParts {
    pub provider: Arc<Provider>,
    pub name: AgentsName,
    pub config: AgentsConfig,
    /// The secrets by which a device may register itself.
    pub enrolment: Vec<SharedSecret>,
}

/// Everything that the tables of a daemon share.
#[derive(Clone)]
pub struct AgentsServices {
    pub transmitter: Arc<Transmitter>,
    pub store: Arc<dyn Records>,
    pub material: CurrentMaterial,
    pub readiness: Arc<Readiness>,
}

/// One table of agents.
pub struct Agents {
    parts: AgentsParts,
    services: AgentsServices,
    in_flight: Semaphore,
    failures: Mutex<FailureBook>,
    enrolments: Mutex<MinuteCap>,
    /// The answers of unknown devices are verified with this key, so that they take as long as those of
    /// others.
    decoy: TokenKey,
    listening: tokio::sync::Mutex<Listening>,
    log: LogPace<&'static str>,
}

impl Agents {
    pub fn new(parts: AgentsParts, services: AgentsServices) -> Arc<Self> {
        let config = &parts.config;
        let failures = FailureBook::new(config.failures_max, config.lock_for);
        let enrolments = MinuteCap::new(config.enrolments_per_minute_max, clock::instant());
        let agents = Self {
            parts,
            services,
            in_flight: Semaphore::new(REQUESTS_MAX),
            failures: Mutex::new(failures),
            enrolments: Mutex::new(enrolments),
            decoy: TokenKey::of(&auth::new_token()),
            listening: tokio::sync::Mutex::default(),
            log: LogPace::new(LOG_INTERVAL),
        };
        agents.begin_metrics();
        Arc::new(agents)
    }

    pub fn parts(&self) -> &AgentsParts {
        &self.parts
    }

    fn key(&self, device: &DeviceId) -> DeviceKey {
        DeviceKey {
            provider: self.parts.provider.name.clone(),
            agents: self.parts.name.clone(),
            device: device.clone(),
        }
    }

    /// Returns the name of the table in the log and in `/readyz`.
    fn label(&self) -> String {
        format!("{}/{}", self.parts.provider.name, self.parts.name)
    }

    fn failures(&self) -> MutexGuard<'_, FailureBook> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enrolments(&self) -> MutexGuard<'_, MinuteCap> {
        self.enrolments.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns a text that no other write has.
    fn written_by() -> String {
        clock::random_uuid().simple().to_string()
    }

    fn count_request(&self, request: &'static str, outcome: &'static str, count: usize) {
        let (provider, agents) = (&self.parts.provider.name, self.parts.name.as_str());
        metrics::agent_requests(provider, agents, request, outcome, count);
    }

    fn count_refusal(&self, reason: &'static str, count: usize) {
        let (provider, agents) = (&self.parts.provider.name, self.parts.name.as_str());
        metrics::agent_refusals(provider, agents, reason, count);
    }

    fn count_change(&self, status: &'static str, count: usize) {
        let (provider, agents) = (&self.parts.provider.name, self.parts.name.as_str());
        metrics::device_changes(provider, agents, status, count);
    }

    /// Makes the series of all metrics of the table, with 0.
    fn begin_metrics(&self) {
        for outcome in challenges::OUTCOMES {
            self.count_request("challenge", outcome, 0);
        }
        for outcome in check_in::OUTCOMES {
            self.count_request("check_in", outcome, 0);
        }
        for outcome in enrol::OUTCOMES {
            self.count_request("enrol", outcome, 0);
        }
        for reason in Refusal::LABELS {
            self.count_refusal(reason, 0);
        }
        for status in [Status::Compliant, Status::NotCompliant] {
            self.count_change(status.as_str(), 0);
        }
        let (provider, agents) = (&self.parts.provider.name, self.parts.name.as_str());
        metrics::agent_losses_held(provider, agents, 0);
    }
}

/// Returns the SHA-256 of some bytes, in base64url.
fn sha256(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(digest(&SHA256, bytes))
}

/// The algorithm of answers: HS512.
const HMAC: hmac::Algorithm = hmac::HMAC_SHA512;
