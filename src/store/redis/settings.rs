//! The settings of the Redis store.

use std::{fmt, num::NonZeroUsize, path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

use super::{replicas::ReplicasMissing, servers::ServerSettings};

/// The servers, and the way to talk to them.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RedisSettings {
    /// `redis://`, `rediss://` (TLS) or `redis+unix://`. One server; or some nodes of a Cluster,
    /// which name the others; or all Sentinels.
    pub urls: Vec<String>,
    pub topology: Topology,
    /// The name by which the Sentinels know the primary.
    pub sentinel_primary: String,
    /// The ACL user; `None` is the default user, or that of the URL.
    pub username: Option<String>,
    /// A file with the password. The line break at its end is ignored.
    pub password_file: Option<PathBuf>,
    /// The ACL user of the Sentinels themselves.
    pub sentinel_username: Option<String>,
    /// A file with the password of the Sentinels themselves.
    pub sentinel_password_file: Option<PathBuf>,
    /// A PEM file with the authorities that may have signed the servers' certificates, instead of those that
    /// the system trusts.
    pub tls_ca: Option<PathBuf>,
    /// Our own certificate and its key, for servers that ask for one.
    pub tls_certificate: Option<PathBuf>,
    pub tls_key: Option<PathBuf>,
    /// The head of every key, so that several stores may share a server.
    pub key_prefix: String,
    /// The number of connections to each server. Concurrent calls share them.
    pub connections: NonZeroUsize,
    #[serde(with = "humantime_serde")]
    pub connect_timeout: Duration,
    /// How long the server may take to answer one command.
    #[serde(with = "humantime_serde")]
    pub response_timeout: Duration,
    /// How often a command is repeated that found no connection, or that a server could not execute for the
    /// moment.
    pub retries: u32,
    /// The wait before a repetition.
    #[serde(with = "humantime_serde")]
    pub retry_wait: Duration,
    /// How many replicas must have a write before it counts as durable.
    pub wait_replicas: u32,
    /// How long to wait for the replicas.
    #[serde(with = "humantime_serde")]
    pub wait_timeout: Duration,
    /// The consequence while so many replicas are not there.
    pub replicas_missing: ReplicasMissing,
    /// Accepts a server that forgets events that were accepted when its power is cut.
    pub accept_loss_at_power_cut: bool,
    /// The consequence of a server that is not configured to keep its data.
    pub checks: Checks,
    /// How far the server's clock may be from ours.
    #[serde(with = "humantime_serde")]
    pub clock_skew_max: Duration,
}

/// The way in which the servers belong together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Topology {
    Standalone,
    /// One primary, whose address the Sentinels know.
    Sentinel,
    Cluster,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Checks {
    /// The daemon does not start.
    Refuse,
    /// The problem is logged, and the daemon starts.
    Warn,
}

impl Default for RedisSettings {
    fn default() -> Self {
        Self {
            urls: vec!["redis://127.0.0.1:6379".into()],
            topology: Topology::Standalone,
            sentinel_primary: "mymaster".into(),
            username: None,
            password_file: None,
            sentinel_username: None,
            sentinel_password_file: None,
            tls_ca: None,
            tls_certificate: None,
            tls_key: None,
            key_prefix: "ssf".into(),
            connections: const { NonZeroUsize::new(2).expect("not zero") },
            connect_timeout: Duration::from_secs(3),
            response_timeout: Duration::from_secs(5),
            retries: 3,
            retry_wait: Duration::from_millis(100),
            wait_replicas: 0,
            wait_timeout: Duration::from_secs(1),
            replicas_missing: ReplicasMissing::Refuse,
            accept_loss_at_power_cut: false,
            checks: Checks::Refuse,
            clock_skew_max: Duration::from_secs(2),
        }
    }
}

impl fmt::Debug for RedisSettings {
    /// The URLs may hold passwords, so they are not shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisSettings")
            .field("urls", &self.urls.iter().map(|_| "[redacted]").collect::<Vec<_>>())
            .field("topology", &self.topology)
            .field("username", &self.username)
            .field("password_file", &self.password_file)
            .field("key_prefix", &self.key_prefix)
            .finish_non_exhaustive()
    }
}

impl RedisSettings {
    /// Returns where the servers are and how to reach them.
    pub fn servers(&self) -> ServerSettings {
        ServerSettings {
            table: "store.redis",
            urls_key: "store.redis.urls",
            urls: self.urls.clone(),
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
            retries: self.retries,
            retry_wait: self.retry_wait,
        }
    }

    /// The longest time for which `WAIT` holds up other commands on its connection.
    pub(super) fn held_up_max(&self) -> Duration {
        if self.wait_replicas == 0 { Duration::ZERO } else { self.wait_timeout }
    }

    /// Returns the first key with an invalid value, and the problem.
    pub fn validate(&self) -> Result<(), (&'static str, String)> {
        self.servers().validate()?;
        // Braces in a key determine the slot of a Cluster, so the prefix must have none.
        let plain = !self.key_prefix.is_empty() && !self.key_prefix.contains(['{', '}']);
        if plain {
            Ok(())
        } else {
            Err(("key_prefix", "must not be empty, nor have braces".into()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(settings: RedisSettings, wrong: &str) {
        assert_eq!(settings.validate().map_err(|(key, _)| key), Err(wrong));
    }

    #[test]
    fn what_does_not_fit_together_is_refused() {
        let default = RedisSettings::default;
        assert_eq!(default().validate(), Ok(()));
        check(RedisSettings { urls: vec![], ..default() }, "urls");
        let two = vec!["redis://a".to_owned(), "redis://b".to_owned()];
        let cluster = RedisSettings { urls: two, topology: Topology::Cluster, ..default() };
        assert_eq!(cluster.validate(), Ok(()));
        check(RedisSettings { topology: Topology::Standalone, ..cluster }, "urls");
        check(RedisSettings { key_prefix: "a{b}".into(), ..default() }, "key_prefix");
        check(RedisSettings { username: Some("u".into()), ..default() }, "username");
        let sentinel_username = Some("u".into());
        check(RedisSettings { sentinel_username, ..default() }, "sentinel_username");
        check(RedisSettings { tls_key: Some("k".into()), ..default() }, "tls_certificate");
    }

    #[test]
    fn a_password_is_not_shown() {
        let urls = vec!["redis://:hunter2@127.0.0.1".to_owned()];
        let shown = format!("{:?}", RedisSettings { urls, ..RedisSettings::default() });
        assert!(shown.contains("[redacted]") && !shown.contains("hunter2"), "{shown}");
    }
}
