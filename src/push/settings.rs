//! The settings of push delivery.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// Deadlines and bounds of an attempt, its connections, and the endpoints that may be reached.
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
    /// The most bytes that may arrive over a connection for one attempt, below TLS and HTTP. More of
    /// them close the connection.
    pub attempt_bytes_max: usize,
    /// How many bytes of a response's body are read. The rest is dropped.
    pub response_bytes_max: usize,
    /// Connections that are open at a time, to all hosts. If there are as many, an idle one gives way.
    pub connections_max: usize,
    /// Connections to one host that are open at a time. HTTP/2 needs one, and HTTP/1.1 one for each
    /// attempt.
    pub host_connections_max: usize,
    /// How long an idle connection is kept. If the Receiver closes it sooner, that costs no attempt.
    #[serde(with = "humantime_serde")]
    pub pool_idle_timeout: Duration,
    /// How long a connection is used for new requests, at most. So a changed address of a host counts
    /// soon, also under steady traffic.
    #[serde(with = "humantime_serde")]
    pub connection_age_max: Duration,
    /// How often a connection by HTTP/2 is checked for life, also while it is idle.
    #[serde(with = "humantime_serde")]
    pub http2_keep_alive_interval: Duration,
    /// How long the answer to such a check may take. Then the connection is closed.
    #[serde(with = "humantime_serde")]
    pub http2_keep_alive_timeout: Duration,
    pub dns: DnsSettings,
    /// A PEM file of certificates that are trusted in addition to the system's.
    pub trusted_roots: Option<PathBuf>,
    /// Networks that may be dialled although they are not public, such as `10.0.0.0/8`.
    pub allow_networks: Vec<IpNet>,
}

/// How the names of hosts are looked up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DnsSettings {
    /// The servers to ask instead of those of `/etc/resolv.conf`. `/etc/hosts` counts in any case.
    pub servers: Vec<SocketAddr>,
    /// Look-ups that are under way at a time.
    pub look_ups_max: usize,
    /// Look-ups for the streams of one Receiver that are under way at a time.
    pub receiver_look_ups_max: usize,
    /// How long addresses are used again, at most. A shorter lifetime in the DNS counts.
    #[serde(with = "humantime_serde")]
    pub cache_max: Duration,
}

impl Default for PushSettings {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(3),
            tls_timeout: Duration::from_secs(5),
            attempt_timeout: Duration::from_secs(10),
            attempt_bytes_max: 128 * 1024,
            response_bytes_max: 16 * 1024,
            connections_max: 4096,
            host_connections_max: 64,
            pool_idle_timeout: Duration::from_secs(90),
            connection_age_max: Duration::from_mins(2),
            http2_keep_alive_interval: Duration::from_secs(20),
            http2_keep_alive_timeout: Duration::from_secs(5),
            dns: DnsSettings::default(),
            trusted_roots: None,
            allow_networks: Vec::new(),
        }
    }
}

impl Default for DnsSettings {
    fn default() -> Self {
        Self {
            servers: Vec::new(),
            look_ups_max: 256,
            receiver_look_ups_max: 16,
            cache_max: Duration::from_mins(1),
        }
    }
}

impl PushSettings {
    /// The least bytes that an attempt must be allowed: a TLS handshake and the head of a response.
    pub const ATTEMPT_BYTES_MIN: usize = 16 * 1024;

    /// Checks the bounds. An error is a key and its rule.
    pub fn validate(&self) -> Result<(), (&'static str, String)> {
        let dns = &self.dns;
        for (key, bound) in [
            ("connections_max", self.connections_max),
            ("host_connections_max", self.host_connections_max),
            ("dns.look_ups_max", dns.look_ups_max),
            ("dns.receiver_look_ups_max", dns.receiver_look_ups_max),
        ] {
            if bound == 0 {
                return Err((key, "must be at least 1".to_owned()));
            }
        }
        if self.attempt_bytes_max < Self::ATTEMPT_BYTES_MIN {
            let rule = format!("must be at least {}, for a TLS handshake", Self::ATTEMPT_BYTES_MIN);
            return Err(("attempt_bytes_max", rule));
        }
        for (key, span) in [
            ("connect_timeout", self.connect_timeout),
            ("tls_timeout", self.tls_timeout),
            ("attempt_timeout", self.attempt_timeout),
            ("pool_idle_timeout", self.pool_idle_timeout),
            ("connection_age_max", self.connection_age_max),
            ("http2_keep_alive_interval", self.http2_keep_alive_interval),
            ("http2_keep_alive_timeout", self.http2_keep_alive_timeout),
            ("dns.cache_max", dns.cache_max),
        ] {
            if span.is_zero() {
                return Err((key, "must be longer than 0".to_owned()));
            }
        }
        Ok(())
    }
}
