//! Opens connections: checks the address, connects, and performs the TLS handshake, each within a
//! deadline.

use std::{
    error::Error,
    io,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::future::BoxFuture;
use hyper::{Uri, http::uri::Scheme};
use hyper_rustls::MaybeHttpsStream;
use hyper_util::{client::legacy::connect::HttpConnector, rt::TokioIo};
use rustls_pki_types::ServerName;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tower_service::Service;

use super::{
    connection::{Dialled, Served},
    guard::GuardedResolver,
    settings::PushSettings,
};
use crate::{
    delivery::outcome::FailureClass,
    domain::endpoint_policy::{EndpointPolicy, EndpointRefused},
};

/// Opens the connections of a pool. Cheap to clone.
#[derive(Clone)]
pub(super) struct Dialer {
    tcp: HttpConnector<GuardedResolver>,
    tls: TlsConnector,
    policy: EndpointPolicy,
    connect_timeout: Duration,
    tls_timeout: Duration,
}

/// Why a connection was not opened.
#[derive(Debug, thiserror::Error)]
pub(super) enum DialError {
    #[error(transparent)]
    Refused(#[from] EndpointRefused),
    #[error("no connection")]
    Connect(#[source] Box<dyn Error + Send + Sync>),
    #[error("no connection within {0:?}")]
    ConnectTimeout(Duration),
    #[error("no TLS session")]
    Tls(#[source] io::Error),
    #[error("no TLS session within {0:?}")]
    TlsTimeout(Duration),
}

impl DialError {
    /// Classifies the error by its variant alone. The cause of `Connect` may be a refused address,
    /// and the cause of `Tls` a TLS error; `failure` looks at those first.
    pub(super) fn class(&self) -> FailureClass {
        match self {
            Self::Refused(_) => FailureClass::AddressRefused,
            Self::Connect(_) | Self::ConnectTimeout(_) | Self::Tls(_) => FailureClass::Connect,
            // Silence tells nothing about the certificate.
            Self::TlsTimeout(_) => FailureClass::Timeout,
        }
    }
}

impl Dialer {
    pub(super) fn new(
        settings: &PushSettings,
        tls: rustls::ClientConfig,
        policy: EndpointPolicy,
    ) -> Self {
        let mut tcp = HttpConnector::new_with_resolver(GuardedResolver(policy.clone()));
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        // The connector divides this time among the addresses of a name, so that a dead address
        // leaves time for the next one.
        tcp.set_connect_timeout(Some(settings.connect_timeout));
        Self {
            tcp,
            tls: TlsConnector::from(Arc::new(tls)),
            policy,
            connect_timeout: settings.connect_timeout,
            tls_timeout: settings.tls_timeout,
        }
    }

    async fn dial(mut self, uri: Uri) -> Result<Dialled, DialError> {
        let host = uri.host().unwrap_or_default();
        // The connector does not ask its resolver about a literal address.
        self.policy.check(host, port_of(&uri))?;
        let server_name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned());
        let encrypted = uri.scheme() == Some(&Scheme::HTTPS);

        // This deadline includes the look-up of the name.
        let tcp = match timeout(self.connect_timeout, self.tcp.call(uri)).await {
            Ok(connected) => connected.map_err(|error| DialError::Connect(error.into()))?,
            Err(_elapsed) => return Err(DialError::ConnectTimeout(self.connect_timeout)),
        };
        let io = if encrypted {
            let server_name =
                server_name.map_err(|error| DialError::Tls(io::Error::other(error)))?;
            let handshake = self.tls.connect(server_name, TokioIo::new(tcp));
            match timeout(self.tls_timeout, handshake).await {
                Ok(session) => MaybeHttpsStream::from(session.map_err(DialError::Tls)?),
                Err(_elapsed) => return Err(DialError::TlsTimeout(self.tls_timeout)),
            }
        } else {
            MaybeHttpsStream::Http(tcp)
        };
        Ok(Dialled { io, served: Served::default() })
    }
}

fn port_of(uri: &Uri) -> u16 {
    let by_scheme = if uri.scheme() == Some(&Scheme::HTTPS) { 443 } else { 80 };
    uri.port_u16().unwrap_or(by_scheme)
}

impl Service<Uri> for Dialer {
    type Response = Dialled;
    type Error = DialError;
    type Future = BoxFuture<'static, Result<Dialled, DialError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), DialError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        Box::pin(self.clone().dial(uri))
    }
}
