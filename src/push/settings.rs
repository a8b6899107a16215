//! What an operator may set about pushing.

use std::{path::PathBuf, time::Duration};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// How endpoints are dialled, and how long they may take.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PushSettings {
    /// From the look-up of the host's name to an open TCP connection.
    #[serde(with = "humantime_serde")]
    pub connect_timeout: Duration,
    /// The TLS handshake.
    #[serde(with = "humantime_serde")]
    pub tls_timeout: Duration,
    /// The whole attempt, from the look-up of the name to the end of the response.
    #[serde(with = "humantime_serde")]
    pub attempt_timeout: Duration,
    /// How long a connection without a request is kept. Receivers close theirs after 5 s and more,
    /// and a SET must not run into that.
    #[serde(with = "humantime_serde")]
    pub pool_idle_timeout: Duration,
    /// How much of a response's body is read; the rest is dropped.
    pub response_bytes_max: usize,
    /// A PEM file of certificates that are trusted beside the system's.
    pub trusted_roots: Option<PathBuf>,
    /// Networks that may be dialled though they are not public, such as `10.0.0.0/8`.
    pub allow_networks: Vec<IpNet>,
}

impl Default for PushSettings {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(3),
            tls_timeout: Duration::from_secs(5),
            attempt_timeout: Duration::from_secs(10),
            pool_idle_timeout: Duration::from_secs(4),
            response_bytes_max: 16 * 1024,
            trusted_roots: None,
            allow_networks: Vec::new(),
        }
    }
}
