//! An HTTPS server that a test scripts, request by request.
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
    task::{AbortHandle, JoinHandle},
};
use tokio_rustls::TlsAcceptor;

/// What a request is answered with.
#[derive(Clone)]
pub(crate) enum Reply {
    With(Response<Full<Bytes>>),
    /// The connection is closed, or the HTTP/2 stream reset.
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
}

/// A request as it arrived.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) method: Method,
    pub(crate) target: String,
    pub(crate) version: Version,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// Counts the connections from 0.
    pub(crate) connection: usize,
}

/// Answers the n-th request, from 0, by its script.
type Script = Arc<dyn Fn(usize) -> Reply + Send + Sync>;

/// A TLS server on loopback with a certificate for `localhost`.
pub(crate) struct Endpoint {
    address: SocketAddr,
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
    /// Offers `protocols` by ALPN.
    pub(crate) async fn start(
        protocols: &[&str],
        script: impl Fn(usize) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let made = make_certificate(&["localhost"]).unwrap();
        let mut tls =
            server_config(made.certificate_pem.as_bytes(), made.key_pem.as_bytes()).unwrap();
        tls.alpn_protocols = protocols.iter().map(|p| p.as_bytes().to_vec()).collect();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("roots.pem"), made.authority_pem).unwrap();

        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State {
            script: Arc::new(script),
            accepted: AtomicUsize::new(0),
            seen: Mutex::default(),
            connections: Mutex::default(),
        });
        let accepting = tokio::spawn(accept(listener, tls, Arc::clone(&state)));
        Self { address, folder, state, accepting }
    }

    /// An URL whose host the certificate names.
    pub(crate) fn url(&self, target: &str) -> String {
        format!("https://localhost:{}{target}", self.address.port())
    }

    pub(crate) fn url_by_address(&self, target: &str) -> String {
        format!("https://{}{target}", self.address)
    }

    /// A PEM file with the authority that vouches for this server.
    pub(crate) fn roots(&self) -> PathBuf {
        self.folder.path().join("roots.pem")
    }

    pub(crate) fn accepted(&self) -> usize {
        self.state.accepted.load(Ordering::SeqCst)
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.state.seen.lock().unwrap().clone()
    }

    /// Closes all connections without a word.
    pub(crate) fn close_connections(&self) {
        for connection in self.state.connections.lock().unwrap().drain(..) {
            connection.abort();
        }
    }
}

async fn accept(listener: TcpListener, tls: ServerConfig, state: Arc<State>) {
    let acceptor = TlsAcceptor::from(Arc::new(tls));
    while let Ok((tcp, _)) = listener.accept().await {
        let serving = serve(tcp, acceptor.clone(), Arc::clone(&state));
        state.connections.lock().unwrap().push(tokio::spawn(serving).abort_handle());
    }
}

async fn serve(tcp: TcpStream, acceptor: TlsAcceptor, state: Arc<State>) {
    let connection = state.accepted.fetch_add(1, Ordering::SeqCst);
    let Ok(tls) = acceptor.accept(tcp).await else { return };
    let h2 = tls.get_ref().1.alpn_protocol() == Some(b"h2");
    let service = service_fn(move |request| answer(request, connection, Arc::clone(&state)));
    // A connection that breaks off is part of many a script.
    let _ended = if h2 {
        http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(tls), service).await
    } else {
        http1::Builder::new().serve_connection(TokioIo::new(tls), service).await
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
        (state.script)(seen.len() - 1)
    };
    match reply {
        Reply::With(response) => Ok(response),
        Reply::Nothing => Err(std::io::ErrorKind::ConnectionReset.into()),
        Reply::Never => std::future::pending().await,
    }
}
