//! The settings of the two listeners.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::auth::rates::RateSettings;

/// The bounds of a listener on its connections.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ConnectionSettings {
    /// The most connections at a time. Further ones wait until one is closed.
    pub max: usize,
    /// The time for the head of a request. If the first head of a connection is slower, it is answered
    /// 408. If a later one is slower, the connection is closed.
    #[serde(with = "humantime_serde")]
    pub head_timeout: Duration,
    /// The time for the body of a request. A slower body is answered 408.
    #[serde(with = "humantime_serde")]
    pub body_timeout: Duration,
    /// How long a connection without a request is kept. The default is above the 60 s for which proxies
    /// keep one, so that a proxy never sends a request on a connection that is being closed.
    #[serde(with = "humantime_serde")]
    pub idle_timeout: Duration,
}

impl Default for ConnectionSettings {
    fn default() -> Self {
        Self {
            max: 10_000,
            head_timeout: Duration::from_secs(5),
            body_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(75),
        }
    }
}

/// The listener for Receivers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PublicSettings {
    pub listen: SocketAddr,
    /// PEM files of the certificate chain and its key. Without them the listener speaks plain HTTP,
    /// for a proxy in front of it that terminates TLS.
    pub tls_certificate: Option<PathBuf>,
    pub tls_key: Option<PathBuf>,
    /// How long a TLS handshake may take.
    #[serde(with = "humantime_serde")]
    pub tls_timeout: Duration,
    /// Threads that serve HTTP; 0 means one per core.
    pub workers: usize,
    /// The largest request body, in bytes. A larger body is answered 413.
    pub body_bytes_max: usize,
    /// The most bytes of answers to one Receiver that it has not read, and of its bodies that are not
    /// complete; 0 means no limit. While there are as many, its further requests are answered 429.
    pub unread_bytes_max: usize,
    /// The networks of proxies whose `X-Forwarded-For` names the caller. All others could make it up.
    pub trusted_proxies: Vec<IpNet>,
    pub connections: ConnectionSettings,
    pub rates: RateSettings,
}

impl Default for PublicSettings {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            tls_certificate: None,
            tls_key: None,
            tls_timeout: Duration::from_secs(5),
            workers: 0,
            body_bytes_max: 1 << 20,
            unread_bytes_max: 64 << 20,
            trusted_proxies: Vec::new(),
            connections: ConnectionSettings::default(),
            rates: RateSettings::default(),
        }
    }
}

/// The listener for identity providers, which send their native events to sources.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SourcesSettings {
    /// The address. Without one, the sources have no listener of their own.
    pub listen: Option<SocketAddr>,
    /// Whether the public listener serves the sources, too.
    pub public: bool,
    /// PEM files of the certificate chain and its key. Without them the listener speaks plain HTTP,
    /// for a proxy in front of it that terminates TLS.
    pub tls_certificate: Option<PathBuf>,
    pub tls_key: Option<PathBuf>,
    /// A PEM file of the authorities of client certificates. With it, the listener asks each client for a
    /// certificate, which sources may demand. A client without one is admitted.
    pub tls_client_ca: Option<PathBuf>,
    /// How long a TLS handshake may take.
    #[serde(with = "humantime_serde")]
    pub tls_timeout: Duration,
    /// Threads that serve HTTP; 0 means one per core.
    pub workers: usize,
    /// The networks of proxies whose `X-Forwarded-For`, and whose fingerprints of client certificates,
    /// are believed.
    pub trusted_proxies: Vec<IpNet>,
    pub connections: ConnectionSettings,
}

impl Default for SourcesSettings {
    fn default() -> Self {
        Self {
            listen: None,
            public: false,
            tls_certificate: None,
            tls_key: None,
            tls_client_ca: None,
            tls_timeout: Duration::from_secs(5),
            workers: 1,
            trusted_proxies: Vec::new(),
            connections: ConnectionSettings { max: 1000, ..ConnectionSettings::default() },
        }
    }
}

/// The listener for publishers and operators: events, the admin API, metrics and health.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct InternalSettings {
    pub listen: SocketAddr,
    /// The largest body of `POST /events`, in bytes.
    pub events_bytes_max: usize,
    /// The most events in one `POST /events`.
    pub events_max: usize,
    pub connections: ConnectionSettings,
}

impl Default for InternalSettings {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 9090)),
            events_bytes_max: 8 << 20,
            events_max: 10_000,
            connections: ConnectionSettings { max: 1000, ..ConnectionSettings::default() },
        }
    }
}
