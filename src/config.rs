//! The configuration: gathers the settings that each module owns into one validated value.
//!
//! - [`load()`] reads the file and the environment. `environment` tells which variables are settings,
//!   `credential` resolves the names of systemd credentials, and `origin` finds the place of a mistake.
//! - [`Config`] holds all settings. [`Config::validate`] checks the rules that concern more than
//!   one value.
//! - [`ProviderSettings`] become a [`Provider`] of the domain; `authorization` checks their tables
//!   about authorization servers, and `source` those of sources.

mod agents;
mod authorization;
mod credential;
mod durations;
mod environment;
mod load;
mod origin;
mod provider;
mod source;

use std::{
    collections::{BTreeMap, HashMap},
    net::SocketAddr,
    path::PathBuf,
    time::Duration,
};

use serde::{Deserialize, Serialize};

pub use self::{
    agents::NamedAgents, credential::FOLDER as CREDENTIALS_FOLDER, environment::foreign_variables,
    load::load, provider::ProviderSettings, source::NamedSource,
};
use crate::{
    actor::signer::SignerSettings,
    cluster::settings::ClusterSettings,
    delivery::{poll::PollSettings, settings::DeliverySettings},
    domain::{id::ProviderName, provider::Provider, time::Timestamp},
    http::{
        Shadowed,
        settings::{InternalSettings, PublicSettings, SourcesSettings},
        shadowed,
    },
    ingest::settings::RedisIngestSettings,
    push::settings::PushSettings,
    store::{Expiry, redis::RedisSettings, sqlite::SqliteSettings},
    telemetry::logging::{self, LogError, LogSettings},
};

/// All settings. `config/ssfd.toml` lists every key with its default.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    pub log: LogSettings,
    pub public: PublicSettings,
    pub internal: InternalSettings,
    pub sources: SourcesSettings,
    pub store: StoreSettings,
    pub cluster: ClusterSettings,
    pub ingest: IngestSettings,
    pub delivery: DeliverySettings,
    pub push: PushSettings,
    pub poll: PollSettings,
    pub signer: SignerSettings,
    pub process: ProcessSettings,
    /// The providers by name. If the map is empty, there is one provider called `default`.
    pub providers: BTreeMap<ProviderName, ProviderSettings>,
}

/// The store, and for how long and how much it keeps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StoreSettings {
    pub backend: StoreBackend,
    pub sqlite: SqliteSettings,
    pub redis: RedisSettings,
    /// How long settled SETs are kept, including dead letters, unless their provider sets another
    /// time.
    #[serde(with = "humantime_serde")]
    pub event_retention: Duration,
    /// How long a publisher's event id is remembered. A second event with the same id is a
    /// duplicate.
    #[serde(with = "humantime_serde")]
    pub event_id_retention: Duration,
    /// The most SETs that a paused stream holds (SSF §8.1.2.1). `docs/receive` tells Receivers
    /// the default.
    pub held_max: usize,
    /// The most unsettled SETs of one provider; 0 means no limit. At 90 % of the limit,
    /// `POST /events` answers 503. At 100 %, the daemon also stops reading events from Redis.
    pub backlog_max: u64,
    /// How often the backlog is counted, and written to Redis for publishers.
    #[serde(with = "humantime_serde")]
    pub backlog_interval: Duration,
    /// The longest time that a paused stream holds a SET.
    #[serde(with = "humantime_serde")]
    pub held_for: Duration,
    /// How often expired SETs, and held SETs beyond the limits, are removed.
    #[serde(with = "humantime_serde")]
    pub expiry_interval: Duration,
}

/// The store that is used. The settings of the other backend have no effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StoreBackend {
    /// One file: nothing to install, for a single node.
    Sqlite,
    /// A Redis server or Cluster, for one or more nodes.
    Redis,
}

impl Default for StoreSettings {
    fn default() -> Self {
        Self {
            backend: StoreBackend::Sqlite,
            sqlite: SqliteSettings::default(),
            redis: RedisSettings::default(),
            event_retention: Duration::from_hours(30 * 24),
            event_id_retention: Duration::from_hours(24),
            held_max: 100_000,
            backlog_max: 0,
            backlog_interval: Duration::from_secs(15),
            held_for: Duration::from_hours(7 * 24),
            expiry_interval: Duration::from_mins(1),
        }
    }
}

/// The intake of events, in addition to `POST /events`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct IngestSettings {
    pub redis: RedisIngestSettings,
}

/// Settings of the process as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ProcessSettings {
    /// The number of threads that run the actors of streams; 0 means one for each core.
    pub actor_threads: usize,
    /// How long the daemon goes on serving after SIGTERM while `/readyz` answers 503, so that load
    /// balancers turn away from it first.
    #[serde(with = "humantime_serde")]
    pub lame_duck: Duration,
    /// The longest time that a stop waits for work in progress.
    #[serde(with = "humantime_serde")]
    pub drain_timeout: Duration,
    /// How often the activity of streams is recorded, and inactive streams are paused.
    #[serde(with = "humantime_serde")]
    pub activity_interval: Duration,
    /// How long a clock that was set ahead must stand before SETs and records age by the step.
    #[serde(with = "humantime_serde")]
    pub clock_step_hold: Duration,
}

impl Default for ProcessSettings {
    fn default() -> Self {
        Self {
            actor_threads: 0,
            lame_duck: Duration::from_secs(5),
            drain_timeout: Duration::from_secs(20),
            activity_interval: Duration::from_mins(1),
            clock_step_hold: Duration::from_hours(1),
        }
    }
}

/// Why a configuration is not usable. The text names the key.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("{0}")]
    Read(String),
    #[error("`{key}` {rule}")]
    Invalid { key: String, rule: String },
    #[error(transparent)]
    Log(#[from] LogError),
    /// An error with the variable, or the file and the line, where the key was set.
    #[error("{origin}: {error}")]
    At { origin: String, error: Box<Self> },
}

impl ConfigError {
    /// Returns the key that has a bad value.
    fn key(&self) -> Option<&str> {
        match self {
            Self::Invalid { key, .. } => Some(key),
            Self::Log(_) => Some("log.level"),
            Self::Read(_) | Self::At { .. } => None,
        }
    }
}

pub(crate) fn invalid<T>(
    key: impl Into<String>,
    rule: impl Into<String>,
) -> Result<T, ConfigError> {
    Err(ConfigError::Invalid { key: key.into(), rule: rule.into() })
}

impl Config {
    /// Returns the providers. Fails if one is not valid, or if two have the same path.
    pub fn providers(&self) -> Result<Vec<Provider>, ConfigError> {
        let mut by_path: HashMap<String, ProviderName> = HashMap::new();
        let mut providers = Vec::new();
        for (name, settings) in self.named_providers() {
            let provider = settings.provider(&name, &self.push.allow_networks)?;
            let path = provider.issuer.path().to_owned();
            if let Some(other) = by_path.insert(path, name.clone()) {
                // The path alone tells the provider of a request, because the Host header is not
                // trusted.
                return invalid(
                    format!("providers.{name}.issuer"),
                    format!(
                        "has the same path as the issuer of `{other}`; give each provider its own path"
                    ),
                );
            }
            providers.push(provider);
        }
        if let Some(Shadowed { provider, path, by }) = shadowed(&providers) {
            return invalid(
                format!("providers.{by}.issuer"),
                format!(
                    "takes the path `{path}` of the provider `{provider}`; give it another path"
                ),
            );
        }
        Ok(providers)
    }

    /// Returns the key files of each provider. The first key signs.
    pub fn signing_keys(&self) -> Vec<(ProviderName, Vec<PathBuf>)> {
        let files = |(name, settings): (ProviderName, ProviderSettings)| {
            let files = settings.signing_key_files(&name);
            (name, files)
        };
        self.named_providers().into_iter().map(files).collect()
    }

    /// Returns whether a provider follows the CAEP interoperability profile.
    pub fn interop(&self, provider: &ProviderName) -> bool {
        self.providers.get(provider).is_some_and(|settings| settings.interop)
    }

    /// Returns how far the clock of another node may be ahead of this one's.
    pub fn clock_skew_max(&self) -> Duration {
        match self.store.backend {
            StoreBackend::Sqlite => Duration::ZERO,
            // Each of the two clocks may differ by this much from the server's.
            StoreBackend::Redis => self.store.redis.clock_skew_max * 2,
        }
    }

    /// Returns which SETs, ids and records have expired at `now`.
    pub fn expiry(&self, now: Timestamp) -> Expiry {
        // No SET stays unsettled for longer.
        let given_up = self.delivery.retry.give_up_after.max(self.poll.give_up_after);
        let records_stay = self.store.held_for.max(given_up);
        let ids_before = now - self.store.event_id_retention;
        let (mut settled_before_of, mut ids_lead_nowhere_before) = (BTreeMap::new(), ids_before);
        for (name, settings) in self.named_providers() {
            let retention = settings.event_retention.unwrap_or(self.store.event_retention);
            if settings.event_ledger {
                let recorded_before = now - retention - records_stay;
                ids_lead_nowhere_before = ids_lead_nowhere_before.min(recorded_before);
            }
            settled_before_of.insert(name, now - retention);
        }
        Expiry {
            settled_before: now - self.store.event_retention,
            settled_before_of,
            ids_before,
            ids_lead_nowhere_before,
            records_stay,
        }
    }

    /// Returns the settings of the configured providers, or of the default one if there are none.
    pub fn named_providers(&self) -> BTreeMap<ProviderName, ProviderSettings> {
        if self.providers.is_empty() {
            let name = "default".parse().expect("a valid name");
            return BTreeMap::from([(name, ProviderSettings::default())]);
        }
        self.providers.clone()
    }

    /// Checks the rules that concern more than the type of a single value.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.providers()?;
        logging::filter(&self.log)?;
        let public = &self.public;
        if collide(public.listen, self.internal.listen) {
            return invalid(
                "internal.listen",
                format!(
                    "is {}, which `public.listen` takes already; give each listener a port of its own",
                    self.internal.listen
                ),
            );
        }
        if public.tls_certificate.is_some() != public.tls_key.is_some() {
            return invalid("public.tls_certificate", "and `public.tls_key` must be set together");
        }
        for (key, connections) in [
            ("public.connections", &public.connections),
            ("internal.connections", &self.internal.connections),
            ("sources.connections", &self.sources.connections),
        ] {
            if connections.max == 0 {
                return invalid(format!("{key}.max"), "must be at least 1");
            }
            for (name, timeout) in [
                ("head_timeout", connections.head_timeout),
                ("body_timeout", connections.body_timeout),
                ("idle_timeout", connections.idle_timeout),
            ] {
                // The HTTP server takes 0 as no limit.
                if timeout.is_zero() {
                    return invalid(format!("{key}.{name}"), "must be longer than 0");
                }
            }
        }
        if let Err((key, rule)) = self.store.redis.validate() {
            return invalid(format!("store.redis.{key}"), rule);
        }
        if let Err((key, rule)) = self.cluster.validate() {
            return invalid(format!("cluster.{key}"), rule);
        }
        if let Err((key, rule)) = self.ingest.redis.validate() {
            return invalid(format!("ingest.redis.{key}"), rule);
        }
        if let Err((key, rule)) = self.push.validate() {
            return invalid(format!("push.{key}"), rule);
        }
        let delivery = &self.delivery;
        if delivery.in_flight_max == 0 || delivery.window_max < delivery.in_flight_max {
            return invalid(
                "delivery.in_flight_max",
                "must be at least 1 and at most `delivery.window_max`",
            );
        }
        if delivery.host_in_flight_max == 0 {
            return invalid("delivery.host_in_flight_max", "must be at least 1");
        }
        let breaker = &delivery.breaker;
        if breaker.failures == 0 {
            return invalid("delivery.breaker.failures", "must be at least 1");
        }
        if breaker.open_for.is_zero() || breaker.open_for_max < breaker.open_for {
            return invalid(
                "delivery.breaker.open_for",
                "must be longer than 0 and at most `delivery.breaker.open_for_max`",
            );
        }
        if delivery.fault.attempts_min == 0 || delivery.fault.key_refusals_max == 0 {
            return invalid(
                "delivery.fault.attempts_min",
                "and `delivery.fault.key_refusals_max` must be at least 1",
            );
        }
        if delivery.retry.schedule.is_empty() {
            return invalid("delivery.retry.schedule", "must list at least one wait");
        }
        if !(0.0..=1.0).contains(&delivery.retry.jitter) {
            return invalid("delivery.retry.jitter", "must be between 0 and 1");
        }
        if self.poll.events_default == 0 || self.poll.events_max < self.poll.events_default {
            return invalid(
                "poll.events_default",
                "must be at least 1 and at most `poll.events_max`",
            );
        }
        if self.poll.give_up_after.is_zero() {
            return invalid("poll.give_up_after", "must be longer than 0");
        }
        if self.poll.answer_bytes_max == 0 {
            return invalid("poll.answer_bytes_max", "must be at least 1");
        }
        if crate::delivery::poll::WAIT_MAX < self.poll.wait {
            return invalid("poll.wait", "must be at most 300s");
        }
        source::check(self)?;
        agents::check(self)?;
        durations::check(self)
    }
}

/// Returns whether two listeners cannot have these addresses. Port 0 stands for any free one.
fn collide(one: SocketAddr, other: SocketAddr) -> bool {
    let same_ip =
        one.ip() == other.ip() || one.ip().is_unspecified() || other.ip().is_unspecified();
    one.port() != 0 && one.port() == other.port() && same_ip
}

#[cfg(test)]
mod tests;
