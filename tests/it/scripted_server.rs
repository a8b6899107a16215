//! An HTTP server, with TLS or without, whose answers a test scripts, request by request.
#![allow(clippy::unwrap_used, reason = "a test may panic, and so may its helpers")]

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{
    HeaderMap, Method, Request, Response, StatusCode, Version,
    body::Incoming,
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ServerConfig;
use ssfd::cli::receive::certificate::{make_certificate, server_config};
use tempfile::TempDir;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::{AbortHandle, JoinHandle},
};
use tokio_rustls::TlsAcceptor;

/// The answer to a request.
#[derive(Clone)]
pub(crate) enum Reply {
    With(Response<Full<Bytes>>),
    /// The response is sent once the gate is open.
    Behind(Gate, Response<Full<Bytes>>),
    /// The connection is closed, or the HTTP/2 stream is reset.
    Nothing,
    /// The request stays open.
    Never,
}

impl Reply {
    pub(crate) fn status(status: u16) -> Self {
        Self::full(status, &[], "")
    }

    pub(crate) fn full(status: u16, headers: &[(&str, &str)], body: &str) -> Self {
        let mut response = Response::builder().status(StatusCode::from_u16(status).unwrap());
        for (name, value) in headers {
            response = response.header(*name, *value);
        }
        Self::With(response.body(Full::from(body.to_owned())).unwrap())
    }

    /// Holds the answer back until the gate is opened.
    pub(crate) fn behind(self, gate: &Gate) -> Self {
        match self {
            Self::With(response) | Self::Behind(_, response) => {
                Self::Behind(gate.clone(), response)
            }
            Self::Nothing | Self::Never => self,
        }
    }
}

/// Holds answers back until a test opens it. An open gate stays open.
#[derive(Clone, Default)]
pub(crate) struct Gate(Arc<watch::Sender<bool>>);

impl Gate {
    pub(crate) fn open(&self) {
        self.0.send_replace(true);
    }

    pub(crate) fn is_open(&self) -> bool {
        *self.0.borrow()
    }

    async fn opened(&self) {
        self.0.subscribe().wait_for(|open| *open).await.unwrap();
    }
}

/// A request as it arrived.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) method: Method,
    pub(crate) target: String,
    pub(crate) version: Version,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// The number of the connection, counted from 0.
    pub(crate) connection: usize,
}

/// Answers the n-th request, counted from 0.
type Script = Arc<dyn Fn(usize, &Seen) -> Reply + Send + Sync>;

/// A server on loopback. With TLS, its certificate is for `localhost`.
pub(crate) struct Endpoint {
    address: SocketAddr,
    scheme: &'static str,
    folder: TempDir,
    state: Arc<State>,
    accepting: JoinHandle<()>,
}

struct State {
    script: Script,
    accepted: AtomicUsize,
    seen: Mutex<Vec<Seen>>,
    connections: Mutex<Vec<AbortHandle>>,
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.accepting.abort();
        self.close_connections();
    }
}

impl Endpoint {
    /// Starts a server with TLS that offers `protocols` by ALPN.
    pub(crate) async fn start(
        protocols: &[&str],
        script: impl Fn(usize) -> Reply + Send + Sync + 'static,
    ) -> Self {
        Self::start_tls(protocols, move |n, _| script(n)).await
    }

    /// Starts a server with TLS whose script sees each request.
    pub(crate) async fn start_tls(
        protocols: &[&str],
        script: impl Fn(usize, &Seen) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let made = make_certificate(&["localhost"]).unwrap();
        let mut tls =
            server_config(made.certificate_pem.as_bytes(), made.key_pem.as_bytes()).unwrap();
        tls.alpn_protocols = protocols.iter().map(|p| p.as_bytes().to_vec()).collect();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("roots.pem"), made.authority_pem).unwrap();
        Self::listen(Some(tls), folder, Arc::new(script)).await
    }

    /// Starts a server for plain HTTP/1.1.
    pub(crate) async fn start_plain(
        script: impl Fn(usize, &Seen) -> Reply + Send + Sync + 'static,
    ) -> Self {
        Self::listen(None, tempfile::tempdir().unwrap(), Arc::new(script)).await
    }

    async fn listen(tls: Option<ServerConfig>, folder: TempDir, script: Script) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State {
            script,
            accepted: AtomicUsize::new(0),
            seen: Mutex::default(),
            connections: Mutex::default(),
        });
        let scheme = if tls.is_some() { "https" } else { "http" };
        let accepting = tokio::spawn(accept(listener, tls, Arc::clone(&state)));
        Self { address, scheme, folder, state, accepting }
    }

    /// Returns a URL whose host is the name in the certificate.
    pub(crate) fn url(&self, target: &str) -> String {
        format!("{}://localhost:{}{target}", self.scheme, self.address.port())
    }

    pub(crate) fn url_by_address(&self, target: &str) -> String {
        format!("{}://{}{target}", self.scheme, self.address)
    }

    /// Returns a PEM file with the authority that issued the certificate of this server.
    pub(crate) fn roots(&self) -> PathBuf {
        self.folder.path().join("roots.pem")
    }

    pub(crate) fn accepted(&self) -> usize {
        self.state.accepted.load(Ordering::SeqCst)
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.state.seen.lock().unwrap().clone()
    }

    /// Closes all connections without an answer.
    pub(crate) fn close_connections(&self) {
        for connection in self.state.connections.lock().unwrap().drain(..) {
            connection.abort();
        }
    }
}

async fn accept(listener: TcpListener, tls: Option<ServerConfig>, state: Arc<State>) {
    let acceptor = tls.map(|tls| TlsAcceptor::from(Arc::new(tls)));
    while let Ok((tcp, _)) = listener.accept().await {
        let serving = serve(tcp, acceptor.clone(), Arc::clone(&state));
        state.connections.lock().unwrap().push(tokio::spawn(serving).abort_handle());
    }
}

async fn serve(tcp: TcpStream, acceptor: Option<TlsAcceptor>, state: Arc<State>) {
    let connection = state.accepted.fetch_add(1, Ordering::SeqCst);
    let service = service_fn(move |request| answer(request, connection, Arc::clone(&state)));
    let (h1, h2) = (http1::Builder::new(), http2::Builder::new(TokioExecutor::new()));
    // Many scripts break the connection off, so an error here is expected.
    let _ended = match acceptor {
        None => h1.serve_connection(TokioIo::new(tcp), service).await,
        Some(acceptor) => {
            let Ok(tls) = acceptor.accept(tcp).await else { return };
            let chosen = tls.get_ref().1.alpn_protocol();
            if chosen == Some(b"h2") {
                h2.serve_connection(TokioIo::new(tls), service).await
            } else {
                h1.serve_connection(TokioIo::new(tls), service).await
            }
        }
    };
}

async fn answer(
    request: Request<Incoming>,
    connection: usize,
    state: Arc<State>,
) -> Result<Response<Full<Bytes>>, std::io::Error> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(std::io::Error::other)?.to_bytes();
    let reply = {
        let mut seen = state.seen.lock().unwrap();
        seen.push(Seen {
            method: head.method,
            target: head.uri.path_and_query().map(ToString::to_string).unwrap_or_default(),
            version: head.version,
            headers: head.headers,
            body,
            connection,
        });
        let n = seen.len() - 1;
        (state.script)(n, &seen[n])
    };
    match reply {
        Reply::With(response) => Ok(response),
        Reply::Behind(gate, response) => {
            gate.opened().await;
            Ok(response)
        }
        Reply::Nothing => Err(std::io::ErrorKind::ConnectionReset.into()),
        Reply::Never => std::future::pending().await,
    }
}
