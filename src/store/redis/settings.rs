//! The settings of the Redis store.

use std::{fmt, num::NonZeroUsize, path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

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
    /// A file with the password of the Sentinels themselves.
    pub sentinel_username: Option<String>,
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
    /// Returns the first key with an invalid value, and the problem.
    pub fn validate(&self) -> Result<(), (&'static str, &'static str)> {
        let check = |valid: bool, key, rule| if valid { Ok(()) } else { Err((key, rule)) };
        check(!self.urls.is_empty(), "urls", "must have at least one URL")?;
        let one = self.topology != Topology::Standalone || self.urls.len() == 1;
        check(one, "urls", "must be one URL, unless `topology` is `cluster` or `sentinel`")?;
        // Braces in a key determine the slot of a Cluster, so the prefix must have none.
        let plain = !self.key_prefix.is_empty() && !self.key_prefix.contains(['{', '}']);
        check(plain, "key_prefix", "must not be empty, nor have braces")?;
        // Without a password nobody is signed in, and the server takes us for its default user.
        let named = self.username.is_none() || self.password_file.is_some();
        check(named, "username", "needs `store.redis.password_file`")?;
        let named = self.sentinel_username.is_none() || self.sentinel_password_file.is_some();
        check(named, "sentinel_username", "needs `store.redis.sentinel_password_file`")?;
        let pair = self.tls_certificate.is_some() == self.tls_key.is_some();
        check(pair, "tls_certificate", "and `store.redis.tls_key` belong together")?;
        let bounded = !self.connect_timeout.is_zero() && !self.response_timeout.is_zero();
        check(
            bounded,
            "response_timeout",
            "and `store.redis.connect_timeout` must be longer than 0",
        )
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
