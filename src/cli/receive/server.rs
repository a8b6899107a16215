//! A small HTTP server. It passes each request to a handler, and completes answers before it stops.

use std::{io, net::SocketAddr, pin::Pin, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http_body_util::Full;
use hyper::{
    Request, Response,
    body::Incoming,
    rt::{Read, Write},
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::ServerConfig;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
    task::{JoinHandle, JoinSet},
    time::timeout,
};
use tokio_rustls::TlsAcceptor;

/// The most connections at a time. Further connections wait.
const CONNECTIONS_MAX: usize = 1024;
/// The longest time for a TLS handshake, and for the head of a request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// The longest time that requests may go on after [`ReceiverServer::stop`].
const STOP_GRACE: Duration = Duration::from_secs(2);
/// The pause after a connection could not be accepted, for example because no file descriptor was
/// free.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Answers a request, or closes the connection without an answer.
pub(super) type RequestHandler = Arc<
    dyn Fn(Request<Incoming>) -> BoxFuture<'static, Result<ReceiverResponse, HangUp>> + Send + Sync,
>;
pub(super) type ReceiverResponse = Response<Full<Bytes>>;

/// Asks to close the connection, or the HTTP/2 stream, without an answer.
#[derive(Debug, thiserror::Error)]
#[error("the connection was closed on purpose")]
pub(super) struct HangUp;

/// A listening server. Ends when it is dropped.
pub(super) struct ReceiverServer {
    local_addr: SocketAddr,
    stopping: watch::Sender<bool>,
    accepting: JoinHandle<()>,
}

impl ReceiverServer {
    /// Listens on `address`, which is a host and a port. Port 0 chooses any free port.
    pub(super) async fn start(
        address: &str,
        tls: Option<ServerConfig>,
        handler: RequestHandler,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let local_addr = listener.local_addr()?;
        let (stopping, stopped) = watch::channel(false);
        let tls = tls.map(|config| TlsAcceptor::from(Arc::new(config)));
        let accepting = tokio::spawn(accept(listener, tls, handler, stopped));
        Ok(Self { local_addr, stopping, accepting })
    }

    pub(super) fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Stops accepting connections, waits for requests in progress, and closes all connections.
    pub(super) async fn stop(mut self) {
        self.stopping.send_replace(true);
        if timeout(STOP_GRACE, &mut self.accepting).await.is_err() {
            tracing::debug!("some requests did not end in time");
        }
    }
}

impl Drop for ReceiverServer {
    fn drop(&mut self) {
        // The task owns the set of its connections, so they end with it.
        self.accepting.abort();
    }
}

async fn accept(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    handler: RequestHandler,
    mut stopped: watch::Receiver<bool>,
) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    loop {
        let accepted = async {
            let slot =
                Arc::clone(&slots).acquire_owned().await.expect("the semaphore is never closed");
            (slot, listener.accept().await)
        };
        tokio::select! {
            biased;
            () = stop_requested(&mut stopped) => break,
            Some(_ended) = connections.join_next() => {}
            (slot, accepted) = accepted => match accepted {
                Ok((tcp, _)) => {
                    // Without this, the end of an answer may wait until its beginning is
                    // acknowledged.
                    tcp.set_nodelay(true).ok();
                    let serving = serve(tcp, tls.clone(), Arc::clone(&handler), stopped.clone());
                    connections.spawn(async move {
                        serving.await;
                        drop(slot);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

async fn serve(
    tcp: TcpStream,
    tls: Option<TlsAcceptor>,
    handler: RequestHandler,
    stopped: watch::Receiver<bool>,
) {
    let Some(tls) = tls else {
        return serve_http1(TokioIo::new(tcp), handler, stopped).await;
    };
    match timeout(HEAD_TIMEOUT, tls.accept(tcp)).await {
        Ok(Ok(session)) if session.get_ref().1.alpn_protocol() == Some(b"h2") => {
            serve_http2(TokioIo::new(session), handler, stopped).await;
        }
        Ok(Ok(session)) => serve_http1(TokioIo::new(session), handler, stopped).await,
        Ok(Err(error)) => tracing::debug!(%error, "the TLS handshake failed"),
        Err(_elapsed) => tracing::debug!("the TLS handshake took too long"),
    }
}

async fn serve_http1<I>(io: I, handler: RequestHandler, stopped: watch::Receiver<bool>)
where
    I: Read + Write + Unpin + Send + 'static,
{
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    let connection = builder.serve_connection(io, service_fn(move |request| handler(request)));
    until_stopped(connection, stopped, http1::Connection::graceful_shutdown).await;
}

async fn serve_http2<I>(io: I, handler: RequestHandler, stopped: watch::Receiver<bool>)
where
    I: Read + Write + Unpin + Send + 'static,
{
    let builder = http2::Builder::new(TokioExecutor::new());
    let connection = builder.serve_connection(io, service_fn(move |request| handler(request)));
    until_stopped(connection, stopped, http2::Connection::graceful_shutdown).await;
}

/// Returns once `stopped` is true or its sender is gone.
pub(super) async fn stop_requested(stopped: &mut watch::Receiver<bool>) {
    drop(stopped.wait_for(|stop| *stop).await);
}

async fn until_stopped<C>(
    connection: C,
    mut stopped: watch::Receiver<bool>,
    finish: impl FnOnce(Pin<&mut C>),
) where
    C: Future<Output = hyper::Result<()>>,
{
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop_requested(&mut stopped) => {
            finish(connection.as_mut());
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended with an error");
    }
}
