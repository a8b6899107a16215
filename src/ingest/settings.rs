//! The settings of the Redis ingest.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Where and how events are read from Redis.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RedisIngestSettings {
    /// `redis://…` or `redis+unix:///…`; without it nothing is read from Redis.
    pub url: Option<String>,
    /// A provider's events are read from `<key_prefix><provider>`.
    pub key_prefix: String,
    /// Streams per provider, named `<key>:0`, `<key>:1` and so on; 0 is one stream without a
    /// number. Order is kept within each.
    pub partitions: u32,
    /// The consumer group that shows how far was read, made on first use.
    pub group: String,
    /// Entries that are read and made durable together.
    pub batch_max: usize,
    /// How long one read waits for entries.
    #[serde(with = "humantime_serde")]
    pub block: Duration,
    /// The largest event, in bytes. A larger one is rejected, and so is one that comes over HTTP.
    pub event_bytes_max: usize,
    /// Entries that `<key>:rejected` keeps, about.
    pub rejected_max: usize,
    /// The longest wait between two tries to reach a server that is down.
    #[serde(with = "humantime_serde")]
    pub reconnect_max: Duration,
}

impl Default for RedisIngestSettings {
    fn default() -> Self {
        Self {
            url: None,
            key_prefix: "ssf:events:".into(),
            partitions: 0,
            group: "ssfd".into(),
            batch_max: 500,
            block: Duration::from_secs(2),
            event_bytes_max: 256 << 10,
            rejected_max: 100_000,
            reconnect_max: Duration::from_secs(5),
        }
    }
}

impl std::fmt::Debug for RedisIngestSettings {
    /// The URL may hold a password, so it is not shown.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedisIngestSettings")
            .field("url", &self.url.as_ref().map(|_| "[redacted]"))
            .field("key_prefix", &self.key_prefix)
            .field("partitions", &self.partitions)
            .field("group", &self.group)
            .finish_non_exhaustive()
    }
}
