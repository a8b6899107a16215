//! The settings of push delivery.

use std::{path::PathBuf, time::Duration};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// Deadlines and bounds of an attempt, and the endpoints that may be reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PushSettings {
    /// Bounds the look-up of the host's name and the TCP connection together.
    #[serde(with = "humantime_serde")]
    pub connect_timeout: Duration,
    /// Bounds the TLS handshake.
    #[serde(with = "humantime_serde")]
    pub tls_timeout: Duration,
    /// Bounds the whole attempt, from the look-up of the name to the end of the response.
    #[serde(with = "humantime_serde")]
    pub attempt_timeout: Duration,
    /// How long an idle connection is kept. Receivers close idle connections after 5 s or more, and a
    /// SET must not be sent over a connection that is just being closed.
    #[serde(with = "humantime_serde")]
    pub pool_idle_timeout: Duration,
    /// How many bytes of a response's body are read. The rest is dropped.
    pub response_bytes_max: usize,
    /// A PEM file of certificates that are trusted in addition to the system's.
    pub trusted_roots: Option<PathBuf>,
    /// Networks that may be dialled although they are not public, such as `10.0.0.0/8`.
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
