//! An HTTP/1.1 server over paced connections. `actix_web::HttpServer` does the same over plain sockets, and
//! takes no others.

use std::{
    fmt,
    future::ready,
    io,
    net::{SocketAddr, TcpListener},
    rc::Rc,
    time::Duration,
};

use actix_http::{HttpService, KeepAlive, Protocol, Request, Response, error::DispatchError};
use actix_server::GracefulShutdownSignal;
use actix_service::{IntoServiceFactory, ServiceFactoryExt as _, fn_service, map_config};
use actix_tls::accept::{
    TlsError,
    rustls_0_23::{Acceptor, TlsStream},
};
use actix_web::{
    Error,
    body::MessageBody,
    dev::{AppConfig, Extensions, Server, Service, ServiceFactory},
    rt::net::TcpStream,
};
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::http::{
    connection::{WRITE_BUFFER_BYTES, WatchedConnection, note_certificate},
    paced::Paced,
};

/// Without this the end of an answer waits until its beginning is acknowledged, which takes 40 ms for
/// each poll.
const TCP_NODELAY: bool = true;
/// How long a connection may take to close after its last answer.
const CLOSING_MAX: Duration = Duration::from_secs(1);
/// How long a server that stops waits for requests under way, in seconds. Each of them is short once
/// long polls are released.
const REQUEST_DRAIN_SECS: u64 = 5;
/// The only protocol that TLS offers.
const ALPN: &[u8] = b"http/1.1";

/// The bounds of a server.
#[derive(Debug, Clone, Copy)]
pub(super) struct ServerBounds {
    pub(super) workers: usize,
    pub(super) connections_max: usize,
    pub(super) head_timeout: Duration,
    pub(super) idle_timeout: Duration,
    pub(super) tls_timeout: Duration,
}

/// The stream of a connection, with or without TLS.
trait OverTcp: AsyncRead + AsyncWrite + Unpin + 'static {
    fn tcp(&self) -> &TcpStream;

    /// Keeps what the client showed of itself.
    fn note_client(&self, extensions: &mut Extensions);
}

impl OverTcp for TcpStream {
    fn tcp(&self) -> &TcpStream {
        self
    }

    fn note_client(&self, _: &mut Extensions) {}
}

impl OverTcp for TlsStream<TcpStream> {
    fn tcp(&self) -> &TcpStream {
        self.get_ref().0
    }

    fn note_client(&self, extensions: &mut Extensions) {
        note_certificate(self.get_ref().1, extensions);
    }
}

/// A connection as `actix_http` takes it.
type Accepted<T> = (Paced<T>, Protocol, Option<SocketAddr>);

/// Starts a server. `app` is called at least once for each worker.
pub(super) fn start<F, I, S, B>(
    listener: TcpListener,
    tls: Option<ServerConfig>,
    bounds: ServerBounds,
    app: F,
) -> io::Result<Server>
where
    F: Fn() -> I + Send + Clone + 'static,
    I: IntoServiceFactory<S, Request>,
    S: ServiceFactory<Request, Config = AppConfig> + 'static,
    S::Future: 'static,
    S::Error: Into<Error>,
    S::InitError: fmt::Debug,
    S::Response: Into<Response<B>>,
    <S::Service as Service<Request>>::Future: 'static,
    B: MessageBody + 'static,
{
    let builder = Server::build()
        .workers(bounds.workers)
        // The server counts connections by worker.
        .max_concurrent_connections(bounds.connections_max.div_ceil(bounds.workers))
        .shutdown_timeout(REQUEST_DRAIN_SECS)
        .disable_signals();
    let ending = builder.graceful_shutdown_signal();
    let builder = match tls {
        None => builder.listen("http", listener, move || {
            let pace = move |tcp| ready(paced(tcp, bounds).map_err(DispatchError::Io));
            let ending = ending.clone();
            let http = http(app(), bounds, move || notified(ending.clone()));
            fn_service(pace).and_then(http)
        }),
        Some(mut tls) => {
            tls.alpn_protocols = vec![ALPN.to_vec()];
            builder.listen("https", listener, move || {
                let mut acceptor = Acceptor::new(tls.clone());
                acceptor.set_handshake_timeout(bounds.tls_timeout);
                let failed = |error| TlsError::Service(DispatchError::Io(error));
                let pace = move |tls| ready(paced(tls, bounds).map_err(failed));
                let ending = ending.clone();
                let http = http(app(), bounds, move || notified(ending.clone()));
                acceptor
                    .map_err(TlsError::into_service_error)
                    .and_then(fn_service(pace))
                    .and_then(http.map_err(TlsError::Service))
            })
        }
    };
    Ok(builder?.run())
}

async fn notified(ending: GracefulShutdownSignal) {
    ending.notified().await;
}

/// Takes an accepted connection into the pace that its requests need.
fn paced<T: OverTcp>(stream: T, bounds: ServerBounds) -> io::Result<Accepted<T>> {
    let tcp = stream.tcp();
    tcp.set_nodelay(TCP_NODELAY)?;
    let peer = tcp.peer_addr().ok();
    let connection = WatchedConnection::of(tcp, bounds.head_timeout + bounds.idle_timeout)?;
    Ok((Paced::new(stream, connection), Protocol::Http1, peer))
}

/// Makes the service that speaks HTTP over a connection. It closes idle connections once `ending` resolves.
fn http<T, I, S, B, E>(
    app: I,
    bounds: ServerBounds,
    ending: impl Fn() -> E + 'static,
) -> impl ServiceFactory<Accepted<T>, Config = (), Response = (), Error = DispatchError, InitError = ()>
where
    T: OverTcp,
    I: IntoServiceFactory<S, Request>,
    S: ServiceFactory<Request, Config = AppConfig> + 'static,
    S::Future: 'static,
    S::Error: Into<Error>,
    S::InitError: fmt::Debug,
    S::Response: Into<Response<B>>,
    <S::Service as Service<Request>>::Future: 'static,
    B: MessageBody + 'static,
    E: Future<Output = ()> + 'static,
{
    let app = app.into_factory().map_err(|error| error.into().error_response());
    HttpService::build()
        .graceful_shutdown_signal(ending)
        .keep_alive(KeepAlive::Timeout(bounds.idle_timeout))
        .client_request_timeout(bounds.head_timeout)
        .client_disconnect_timeout(CLOSING_MAX)
        .h1_write_buffer_size(WRITE_BUFFER_BYTES)
        .on_connect_ext(|io: &Paced<T>, extensions| {
            extensions.insert(Rc::clone(io.connection()));
            io.stream().note_client(extensions);
        })
        .finish(map_config(app, |()| AppConfig::default()))
}
