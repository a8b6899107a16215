//! The settings of the Redis ingest.

use std::{path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

use crate::store::redis::{RedisSettings, Topology, servers::ServerSettings};

/// Where and how events are read from Redis.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RedisIngestSettings {
    /// One server. The same as `urls` with one element.
    pub url: Option<String>,
    /// `redis://…`, `rediss://…` (TLS) or `redis+unix:///…`: one server; or some nodes of a Cluster, or
    /// all Sentinels. If this is empty and there is no `url`, nothing is read from Redis.
    pub urls: Vec<String>,
    pub topology: Topology,
    /// The name by which the Sentinels know the primary.
    pub sentinel_primary: String,
    /// The ACL user; `None` is the default user, or that of the URL.
    pub username: Option<String>,
    /// A file with the password. The line break at its end is ignored.
    pub password_file: Option<PathBuf>,
    pub sentinel_username: Option<String>,
    /// A file with the password of the Sentinels themselves.
    pub sentinel_password_file: Option<PathBuf>,
    /// A PEM file with the authorities that may have signed the servers' certificates, instead of those
    /// that the system trusts.
    pub tls_ca: Option<PathBuf>,
    /// Our own certificate and its key, for servers that ask for one.
    pub tls_certificate: Option<PathBuf>,
    pub tls_key: Option<PathBuf>,
    #[serde(with = "humantime_serde")]
    pub connect_timeout: Duration,
    /// How long the server may take to answer one command, beyond `block` for a read.
    #[serde(with = "humantime_serde")]
    pub response_timeout: Duration,
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
            urls: Vec::new(),
            topology: Topology::Standalone,
            sentinel_primary: "mymaster".into(),
            username: None,
            password_file: None,
            sentinel_username: None,
            sentinel_password_file: None,
            tls_ca: None,
            tls_certificate: None,
            tls_key: None,
            connect_timeout: Duration::from_secs(5),
            response_timeout: Duration::from_secs(5),
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

impl RedisIngestSettings {
    /// Returns the servers to read from, or `None` if nothing is read from Redis.
    pub fn servers(&self) -> Option<ServerSettings> {
        let (urls_key, urls) = match &self.url {
            Some(url) => ("ingest.redis.url", vec![url.clone()]),
            None => ("ingest.redis.urls", self.urls.clone()),
        };
        // The client of a Cluster repeats commands by itself, and the reader whatever failed.
        let RedisSettings { retries, retry_wait, .. } = RedisSettings::default();
        (!urls.is_empty()).then(|| ServerSettings {
            table: "ingest.redis",
            urls_key,
            urls,
            topology: self.topology,
            sentinel_primary: self.sentinel_primary.clone(),
            username: self.username.clone(),
            password_file: self.password_file.clone(),
            sentinel_username: self.sentinel_username.clone(),
            sentinel_password_file: self.sentinel_password_file.clone(),
            tls_ca: self.tls_ca.clone(),
            tls_certificate: self.tls_certificate.clone(),
            tls_key: self.tls_key.clone(),
            connect_timeout: self.connect_timeout,
            response_timeout: self.response_timeout,
            retries,
            retry_wait,
        })
    }

    /// Returns the first key with an invalid value, and the problem.
    pub fn validate(&self) -> Result<(), (&'static str, String)> {
        if self.url.is_some() && !self.urls.is_empty() {
            return Err(("url", "and `ingest.redis.urls` say the same; set one of them".into()));
        }
        if self.batch_max == 0 {
            return Err(("batch_max", "must be at least 1".into()));
        }
        if self.block.is_zero() {
            return Err(("block", "must be longer than 0".into()));
        }
        self.servers().map_or(Ok(()), |servers| servers.validate())
    }
}

impl std::fmt::Debug for RedisIngestSettings {
    /// The URLs may hold passwords, so they are not shown.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedisIngestSettings")
            .field("url", &self.url.as_ref().map(|_| "[redacted]"))
            .field("urls", &self.urls.iter().map(|_| "[redacted]").collect::<Vec<_>>())
            .field("topology", &self.topology)
            .field("username", &self.username)
            .field("key_prefix", &self.key_prefix)
            .field("partitions", &self.partitions)
            .field("group", &self.group)
            .finish_non_exhaustive()
    }
}
