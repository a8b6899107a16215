//! Connections over TLS without a pool.

use std::{path::Path, sync::Arc};

use rustls_pki_types::ServerName;
use ssfd::push::tls::client_config;
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

/// The version of HTTP, negotiated by ALPN.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Http {
    One,
    Two,
}

impl Http {
    pub(crate) const ALL: [Self; 2] = [Self::One, Self::Two];

    pub(crate) fn alpn(self) -> &'static str {
        match self {
            Self::One => "http/1.1",
            Self::Two => "h2",
        }
    }

    /// Returns the usual name of the version.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::One => "HTTP/1.1",
            Self::Two => "HTTP/2",
        }
    }

    pub(crate) fn of_alpn(alpn: &str) -> Self {
        if alpn == Self::Two.alpn() { Self::Two } else { Self::One }
    }
}

/// Connects to servers on this machine whose certificate is signed by one of `roots`, a PEM file.
#[derive(Clone)]
pub(crate) struct Connector(TlsConnector);

impl Connector {
    pub(crate) fn new(roots: &Path, http: Http) -> Self {
        let mut config = client_config(Some(roots)).expect("usable roots");
        config.alpn_protocols = vec![http.alpn().into()];
        Self(TlsConnector::from(Arc::new(config)))
    }

    pub(crate) async fn connect(&self, port: u16) -> TlsStream<TcpStream> {
        let connection = TcpStream::connect(("127.0.0.1", port)).await.expect("it listens");
        connection.set_nodelay(true).ok();
        let name = ServerName::try_from("127.0.0.1").expect("an address");
        self.0.connect(name, connection).await.expect("a session")
    }
}
