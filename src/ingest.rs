//! Reads the Redis streams of publishers, and those with native records of a source.
//!
//! - `consumer` reads the entries of one partition, and hands the events to `transmitter::intake`. It
//!   never needs to write to Redis.
//! - `entry` takes an answer apart, entry by entry, as bytes.
//! - `display` writes how far events are durable, and the rejected entries, when Redis takes writes.
//! - `facts` and `count` find entries that were trimmed before they were read.
//! - [`mod@gauge`] tells publishers the backlog.

mod backoff;
mod consumer;
mod count;
mod display;
mod entry;
mod facts;
pub mod gauge;
mod progress;
pub mod settings;

use std::{sync::Arc, time::Duration};

use tokio::{sync::watch, task::JoinHandle};

use crate::{
    cluster::lease::Lease,
    domain::id::ProviderName,
    ingest::{consumer::Consumer, gauge::Gauge, settings::RedisIngestSettings},
    source::SourceSet,
    store::{
        Intake,
        redis::{CannotConnect, servers::Servers},
    },
    telemetry::{metrics, supervision::Supervisor},
    transmitter::Transmitter,
};

/// The publishers' Redis cannot be read as configured.
#[derive(Debug, thiserror::Error)]
#[error("cannot read from the publishers' Redis: {0}")]
pub struct IngestError(#[from] CannotConnect);

/// One Redis stream of one provider: the place of an order that holds.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Partition {
    provider: ProviderName,
    key: String,
}

impl Partition {
    fn of(provider: &ProviderName, settings: &RedisIngestSettings) -> Vec<Self> {
        let key = format!("{}{provider}", settings.key_prefix);
        let partition = |key| Self { provider: provider.clone(), key };
        match settings.partitions {
            0 => vec![partition(key)],
            count => (0..count).map(|n| partition(format!("{key}:{n}"))).collect(),
        }
    }

    /// Where entries go that are no valid events.
    fn rejected_key(&self) -> String {
        format!("{}:rejected", self.key)
    }
}

/// Returns the publishers' Redis, not connected yet, or `None` if nothing is read from Redis. A command
/// may take longer by `beyond`.
pub fn servers(
    settings: &RedisIngestSettings,
    beyond: Duration,
) -> Result<Option<Servers>, IngestError> {
    let servers = settings.servers().map(|servers| Servers::of(&servers, beyond));
    Ok(servers.transpose()?)
}

/// Where publishers read how much waits; nowhere without a URL.
pub fn gauge(settings: &RedisIngestSettings) -> Result<Option<Gauge>, IngestError> {
    Ok(servers(settings, Duration::ZERO)?.map(|servers| Gauge::new(servers, settings)))
}

/// The keys of all partitions of these providers; none without a URL.
pub fn partitions<'a>(
    settings: &RedisIngestSettings,
    providers: impl Iterator<Item = &'a ProviderName>,
) -> Vec<String> {
    let of = |provider| Partition::of(provider, settings);
    let partitions = providers.filter(|_| settings.servers().is_some()).flat_map(of);
    partitions.map(|partition| partition.key).collect()
}

/// Reads those partitions of every provider that this node holds, until `stop` turns true or its
/// sender is gone. Nothing is read without a URL.
pub fn start(
    settings: &RedisIngestSettings,
    transmitter: &Arc<Transmitter>,
    sources: &SourceSet,
    store: &Arc<dyn Intake>,
    lease: &Arc<Lease>,
    supervisor: &Supervisor,
    stop: &watch::Receiver<bool>,
) -> Result<Vec<JoinHandle<()>>, IngestError> {
    let Some(servers) = servers(settings, settings.block)? else { return Ok(Vec::new()) };
    let servers = Arc::new(servers);
    let events = transmitter.directory().providers().flat_map(|provider| {
        let partitions = Partition::of(&provider.name, settings);
        partitions.into_iter().map(move |partition| (Arc::clone(provider), partition, None))
    });
    let native = sources.iter().filter_map(|source| {
        let (key, provider) = (source.parts().redis_key.clone()?, &source.parts().provider);
        let partition = Partition { provider: provider.name.clone(), key };
        Some((Arc::clone(provider), partition, Some(Arc::clone(source))))
    });
    let consumers = events.chain(native);
    let consumers = consumers.map(|(provider, partition, source)| Consumer {
        servers: Arc::clone(&servers),
        settings: settings.clone(),
        partition,
        provider,
        source,
        transmitter: Arc::clone(transmitter),
        store: Arc::clone(store),
        lease: Arc::clone(lease),
        readiness: Arc::clone(supervisor.readiness()),
    });
    let start = |consumer: Consumer| {
        metrics::begin_partition(&consumer.partition.key);
        // Now and not in the task: nobody may find the daemon ready before it has connected.
        if lease.partitions().contains(&consumer.partition.key) {
            consumer.state_changed(false);
        }
        let (name, consumer, stop) =
            (format!("reader of {}", consumer.partition.key), Arc::new(consumer), stop.clone());
        supervisor.restarting(&name, move || Arc::clone(&consumer).run(stop.clone()))
    };
    Ok(consumers.map(start).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(partitions: u32, keys: &[&str]) {
        let settings = RedisIngestSettings { partitions, ..RedisIngestSettings::default() };
        let found = Partition::of(&"acme".parse().expect("valid"), &settings);
        assert_eq!(found.iter().map(|p| p.key.as_str()).collect::<Vec<_>>(), keys);
    }

    #[test]
    fn a_provider_has_one_stream_or_as_many_as_configured() {
        check(0, &["ssf:events:acme"]);
        check(2, &["ssf:events:acme:0", "ssf:events:acme:1"]);
    }
}
