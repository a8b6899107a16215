//! The settings of the two listeners.

use std::{net::SocketAddr, path::PathBuf};

use serde::{Deserialize, Serialize};

/// The listener for Receivers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PublicSettings {
    pub listen: SocketAddr,
    /// PEM files of the certificate chain and its key. Without them the listener speaks plain
    /// HTTP, for a proxy in front that ends TLS.
    pub tls_certificate: Option<PathBuf>,
    pub tls_key: Option<PathBuf>,
    /// Threads that serve HTTP; 0 stands for one per core.
    pub workers: usize,
    /// The largest request body, in bytes; a larger one is answered 413.
    pub body_bytes_max: usize,
}

impl Default for PublicSettings {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            tls_certificate: None,
            tls_key: None,
            workers: 0,
            body_bytes_max: 1 << 20,
        }
    }
}

/// The listener for upstream and operators: events in, metrics and health out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct InternalSettings {
    pub listen: SocketAddr,
    /// The largest body of `POST /events`, in bytes.
    pub events_bytes_max: usize,
    /// The most events in one `POST /events`.
    pub events_max: usize,
}

impl Default for InternalSettings {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 9090)),
            events_bytes_max: 8 << 20,
            events_max: 10_000,
        }
    }
}
