//! Reads the Redis streams of publishers. A consumer reads the entries of one partition, hands the events
//! to `transmitter::intake`, and shows how far they are durable. [`mod@gauge`] tells publishers the backlog.

mod backoff;
mod consumer;
mod entry;
pub mod gauge;
mod progress;
pub mod settings;

use std::sync::Arc;

use redis::{IntoConnectionInfo as _, RedisResult, io::tcp::TcpSettings};
use tokio::{sync::watch, task::JoinHandle};

use crate::{
    cluster::lease::Lease,
    domain::{id::ProviderName, provider::Provider},
    ingest::{consumer::Consumer, gauge::Gauge, settings::RedisIngestSettings},
    store::Intake,
    telemetry::readiness::Readiness,
    transmitter::Transmitter,
};

/// The publishers' Redis cannot be read as configured.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    #[error("`ingest.redis.url` is not the URL of a Redis server: {0}")]
    Url(#[source] redis::RedisError),
}

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

/// Returns a client of the publishers' Redis, not connected yet, or `None` without a URL.
pub fn client(settings: &RedisIngestSettings) -> Result<Option<redis::Client>, IngestError> {
    let client = settings.url.as_deref().map(open).transpose();
    client.map_err(IngestError::Url)
}

/// Without a delay a small command does not wait for the answer to the one before.
fn open(url: &str) -> RedisResult<redis::Client> {
    let tcp = TcpSettings::default().set_nodelay(true);
    redis::Client::open(url.into_connection_info()?.set_tcp_settings(tcp))
}

/// Where publishers read how much waits; nowhere without a URL.
pub fn gauge(settings: &RedisIngestSettings) -> Result<Option<Gauge>, IngestError> {
    Ok(client(settings)?.map(|client| Gauge::new(client, settings)))
}

/// The keys of all partitions of these providers; none without a URL.
pub fn partitions<'a>(
    settings: &RedisIngestSettings,
    providers: impl Iterator<Item = &'a ProviderName>,
) -> Vec<String> {
    let of = |provider| Partition::of(provider, settings);
    let partitions = providers.filter(|_| settings.url.is_some()).flat_map(of);
    partitions.map(|partition| partition.key).collect()
}

/// Reads those partitions of every provider that this node holds, until `stop` turns true or its
/// sender is gone. Nothing is read without a URL.
pub fn start(
    settings: &RedisIngestSettings,
    transmitter: &Arc<Transmitter>,
    store: &Arc<dyn Intake>,
    lease: &Arc<Lease>,
    readiness: &Arc<Readiness>,
    stop: &watch::Receiver<bool>,
) -> Result<Vec<JoinHandle<()>>, IngestError> {
    let Some(client) = client(settings)? else { return Ok(Vec::new()) };
    let providers: Vec<Arc<Provider>> = transmitter.directory().providers().cloned().collect();
    let consumers = providers.into_iter().flat_map(|provider| {
        let partitions = Partition::of(&provider.name, settings);
        partitions.into_iter().map(move |partition| (Arc::clone(&provider), partition))
    });
    let consumers = consumers.map(|(provider, partition)| Consumer {
        client: client.clone(),
        settings: settings.clone(),
        partition,
        provider,
        transmitter: Arc::clone(transmitter),
        store: Arc::clone(store),
        lease: Arc::clone(lease),
        readiness: Arc::clone(readiness),
    });
    let start = |consumer: Consumer| {
        // Now and not in the task: nobody may find the daemon ready before it has connected.
        if lease.partitions().contains(&consumer.partition.key) {
            consumer.state_changed(false);
        }
        tokio::spawn(consumer.run(stop.clone()))
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
