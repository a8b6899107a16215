//! Opens connections: looks up the name, checks the address, connects, and performs the TLS handshake,
//! each within a deadline.

use std::{
    convert::Infallible,
    error::Error,
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use hyper::{Uri, http::uri::Scheme};
use hyper_rustls::MaybeHttpsStream;
use hyper_util::{
    client::legacy::connect::{HttpConnector, dns::Name},
    rt::TokioIo,
};
use rustls_pki_types::ServerName;
use tokio::{
    net::TcpStream,
    sync::oneshot,
    time::{Instant, timeout, timeout_at},
};
use tokio_rustls::TlsConnector;
use tower_service::Service;

use super::{
    identity::{HttpVersion, PushIdentity},
    meter::{Meter, Metered},
    pool::Slot,
    resolve::{Asker, LookUpError, Resolver},
    settings::PushSettings,
};
use crate::{
    delivery::outcome::FailureClass,
    domain::endpoint_policy::{EndpointPolicy, EndpointRefused},
};

/// Opens the connections of one identity.
pub(super) struct Dialer {
    resolver: Resolver,
    http_version: HttpVersion,
    tls: TlsConnector,
    /// Offers no HTTP/2.
    tls_http1: TlsConnector,
    policy: EndpointPolicy,
    connect_timeout: Duration,
    tls_timeout: Duration,
    attempt_bytes_max: usize,
}

/// The versions of HTTP that a connection is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Versions {
    /// The versions of the identity.
    Negotiated,
    Http1,
}

/// A new connection, with or without TLS.
pub(super) struct Dialled {
    pub(super) io: MaybeHttpsStream<TokioIo<Metered>>,
    pub(super) is_http2: bool,
    pub(super) meter: Arc<Meter>,
    /// Resolves once the socket is closed.
    pub(super) gone: oneshot::Receiver<Infallible>,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum DialError {
    #[error(transparent)]
    Refused(#[from] EndpointRefused),
    #[error("the host has no address")]
    LookUp(#[from] LookUpError),
    #[error("no connection")]
    Connect(#[source] Box<dyn Error + Send + Sync>),
    #[error("no connection within {0:?}")]
    ConnectTimeout(Duration),
    #[error("no TLS session")]
    Tls(#[source] io::Error),
    #[error("no TLS session within {0:?}")]
    TlsTimeout(Duration),
    #[error("no HTTP session")]
    Http(#[source] hyper::Error),
    #[error("no connection before the end of the attempt")]
    Deadline,
    #[error("the attempts before this one have not connected yet")]
    Busy,
    #[error(
        "no place for a connection was free; `push.connections_max` bounds all of them, and \
         `push.host_connections_max` those to one host"
    )]
    NoSlot,
}

impl DialError {
    /// Classifies the error by its variant alone. The cause of `Connect` may be that we have no
    /// descriptor, and the cause of `Tls` a TLS error; `failure` looks at those first.
    pub(super) fn class(&self) -> FailureClass {
        match self {
            Self::Refused(_) => FailureClass::AddressRefused,
            Self::LookUp(LookUpError::NoPlace) | Self::NoSlot => FailureClass::NoCapacity,
            Self::LookUp(_)
            | Self::Connect(_)
            | Self::ConnectTimeout(_)
            | Self::Tls(_)
            | Self::Http(_)
            | Self::Busy => FailureClass::Connect,
            // Silence tells nothing about the certificate.
            Self::TlsTimeout(_) | Self::Deadline => FailureClass::Timeout,
        }
    }
}

impl Dialer {
    pub(super) fn new(
        settings: &PushSettings,
        tls: rustls::ClientConfig,
        identity: &PushIdentity,
        resolver: &Resolver,
    ) -> Self {
        let http_version = identity.http_version;
        let connector = |version: HttpVersion| {
            let mut tls = tls.clone();
            tls.alpn_protocols = version.alpn();
            TlsConnector::from(Arc::new(tls))
        };
        Self {
            resolver: resolver.clone(),
            http_version,
            tls: connector(http_version),
            tls_http1: connector(HttpVersion::Http1),
            policy: identity.policy.clone(),
            connect_timeout: settings.connect_timeout,
            tls_timeout: settings.tls_timeout,
            attempt_bytes_max: settings.attempt_bytes_max,
        }
    }

    /// Whether a host may turn out to speak HTTP/2.
    pub(super) fn may_be_http2(&self, encrypted: bool) -> bool {
        match self.http_version {
            HttpVersion::Negotiated => encrypted,
            HttpVersion::Http1 => false,
            HttpVersion::Http2 => true,
        }
    }

    pub(super) async fn dial(
        &self,
        uri: &Uri,
        versions: Versions,
        asker: Asker<'_>,
        slot: Slot,
    ) -> Result<Dialled, DialError> {
        let host = uri.host().unwrap_or_default();
        // This deadline includes the look-up of the name.
        let deadline = Instant::now() + self.connect_timeout;
        self.policy.check(host, port_of(uri))?;
        let addresses = self.addresses(host, asker, deadline).await?;
        let tcp = self.connect(uri, addresses, deadline).await?;

        let meter = Arc::new(Meter::new(self.attempt_bytes_max));
        let (tcp, gone) = Metered::new(tcp, &meter, slot);
        let tcp = TokioIo::new(tcp);
        if uri.scheme() != Some(&Scheme::HTTPS) {
            let is_http2 = self.http_version == HttpVersion::Http2;
            return Ok(Dialled { io: MaybeHttpsStream::Http(tcp), is_http2, meter, gone });
        }
        let server_name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned());
        let server_name = server_name.map_err(|error| DialError::Tls(io::Error::other(error)))?;
        let tls = match versions {
            Versions::Negotiated => &self.tls,
            Versions::Http1 => &self.tls_http1,
        };
        let handshake = tls.connect(server_name, TokioIo::new(tcp));
        let session = match timeout(self.tls_timeout, handshake).await {
            Ok(session) => session.map_err(DialError::Tls)?,
            Err(_elapsed) => return Err(DialError::TlsTimeout(self.tls_timeout)),
        };
        let is_http2 = self.http_version == HttpVersion::Http2
            || session.get_ref().1.alpn_protocol() == Some(b"h2");
        Ok(Dialled { io: MaybeHttpsStream::from(session), is_http2, meter, gone })
    }

    /// Returns the addresses of a name that may be dialled, and none for a literal address. Each
    /// connection is judged anew, because a name that was harmless when its stream was created may
    /// point elsewhere now.
    async fn addresses(
        &self,
        host: &str,
        asker: Asker<'_>,
        deadline: Instant,
    ) -> Result<Vec<SocketAddr>, DialError> {
        if host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok() {
            return Ok(Vec::new());
        }
        let found = self.resolver.look_up(host, asker, deadline).await?;
        let permitted = found.iter().filter(|address| self.policy.permits(**address));
        // The connector replaces the port.
        let permitted: Vec<_> = permitted.map(|address| SocketAddr::new(*address, 0)).collect();
        match found.first() {
            Some(address) if permitted.is_empty() => Err(EndpointRefused::Address(*address).into()),
            _ => Ok(permitted),
        }
    }

    /// Connects to the first address that answers (RFC 8305).
    async fn connect(
        &self,
        uri: &Uri,
        addresses: Vec<SocketAddr>,
        deadline: Instant,
    ) -> Result<TcpStream, DialError> {
        let mut connector = HttpConnector::new_with_resolver(Found(addresses));
        connector.enforce_http(false);
        connector.set_nodelay(true);
        // The connector divides this time among the addresses of a name, so that a dead address
        // leaves time for the next one.
        connector.set_connect_timeout(Some(self.connect_timeout));
        match timeout_at(deadline, connector.call(uri.clone())).await {
            Ok(Ok(connected)) => Ok(connected.into_inner()),
            Ok(Err(error)) => Err(DialError::Connect(error.into())),
            Err(_elapsed) => Err(DialError::ConnectTimeout(self.connect_timeout)),
        }
    }
}

fn port_of(uri: &Uri) -> u16 {
    let by_scheme = if uri.scheme() == Some(&Scheme::HTTPS) { 443 } else { 80 };
    uri.port_u16().unwrap_or(by_scheme)
}

/// Addresses that were looked up before.
#[derive(Debug, Clone)]
struct Found(Vec<SocketAddr>);

impl Service<Name> for Found {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = Infallible;
    type Future = std::future::Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Name) -> Self::Future {
        std::future::ready(Ok(std::mem::take(&mut self.0).into_iter()))
    }
}
