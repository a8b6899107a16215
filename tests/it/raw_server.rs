//! A server that answers with any bytes a test likes, by HTTP/1.1 or HTTP/2, with TLS or without.
#![allow(clippy::unwrap_used, reason = "a test may panic, and so may its helpers")]

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use ssfd::cli::receive::certificate::{make_certificate, server_config};
use tempfile::TempDir;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpListener,
    task::JoinHandle,
};
use tokio_rustls::TlsAcceptor;

/// The version of HTTP that a server speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    Http1,
    Http2,
}

/// The answer to a request.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) bytes: Vec<u8>,
    pub(crate) then: Then,
}

/// The conduct of the server after its answer.
#[derive(Debug, Clone)]
pub(crate) enum Then {
    /// The next request is read.
    GoOn,
    /// TCP is closed, without an end of the session of TLS.
    Close,
    /// Nothing more is said.
    Silence,
    /// Nothing is read either.
    Deaf,
    /// These bytes are sent for ever, and nothing is read.
    Flood(Vec<u8>),
}

impl Answer {
    pub(crate) fn new(bytes: impl Into<Vec<u8>>, then: Then) -> Self {
        Self { bytes: bytes.into(), then }
    }
}

/// Answers the n-th request, counted from 0, on the HTTP/2 stream of this number.
type Script = Arc<dyn Fn(usize, u32) -> Answer + Send + Sync>;

/// A server on loopback. With TLS, its certificate is for `localhost`.
pub(crate) struct RawServer {
    address: SocketAddr,
    scheme: &'static str,
    folder: TempDir,
    state: Arc<State>,
    accepting: JoinHandle<()>,
}

struct State {
    script: Script,
    accepted: AtomicUsize,
    /// Connections that are open.
    open: AtomicUsize,
    seen: AtomicUsize,
}

impl Drop for RawServer {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl RawServer {
    /// Starts a server with TLS that speaks one version.
    pub(crate) async fn start(
        version: Version,
        script: impl Fn(usize, u32) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let protocol: &[u8] = match version {
            Version::Http1 => b"http/1.1",
            Version::Http2 => b"h2",
        };
        Self::start_tls(&[protocol], Arc::new(script)).await
    }

    /// Starts a server with TLS that speaks both versions, and prefers HTTP/2. By HTTP/1.1 the number of
    /// the stream is 0.
    pub(crate) async fn start_both(
        script: impl Fn(usize, u32) -> Answer + Send + Sync + 'static,
    ) -> Self {
        Self::start_tls(&[b"h2", b"http/1.1"], Arc::new(script)).await
    }

    /// Starts a server for plain HTTP/1.1.
    pub(crate) async fn start_plain(
        script: impl Fn(usize, u32) -> Answer + Send + Sync + 'static,
    ) -> Self {
        Self::start_plain_at(Ipv4Addr::LOCALHOST, 0, script).await
    }

    /// Starts a server for plain HTTP/1.1 at this address of loopback.
    pub(crate) async fn start_plain_at(
        ip: Ipv4Addr,
        port: u16,
        script: impl Fn(usize, u32) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind((ip, port)).await.unwrap();
        Self::listen(listener, None, String::new(), Arc::new(script))
    }

    async fn start_tls(protocols: &[&[u8]], script: Script) -> Self {
        let made = make_certificate(&["localhost"]).unwrap();
        let mut tls =
            server_config(made.certificate_pem.as_bytes(), made.key_pem.as_bytes()).unwrap();
        tls.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        let acceptor = TlsAcceptor::from(Arc::new(tls));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        Self::listen(listener, Some(acceptor), made.authority_pem, script)
    }

    fn listen(
        listener: TcpListener,
        acceptor: Option<TlsAcceptor>,
        roots: String,
        script: Script,
    ) -> Self {
        let address = listener.local_addr().unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("roots.pem"), roots).unwrap();
        let scheme = if acceptor.is_some() { "https" } else { "http" };
        let state = Arc::new(State {
            script,
            accepted: AtomicUsize::new(0),
            open: AtomicUsize::new(0),
            seen: AtomicUsize::new(0),
        });
        let shared = Arc::clone(&state);
        let accepting = tokio::spawn(async move {
            // The connections end with the server.
            let mut serving = tokio::task::JoinSet::new();
            while let Ok((tcp, _)) = listener.accept().await {
                let (state, acceptor) = (Arc::clone(&shared), acceptor.clone());
                serving.spawn(async move {
                    state.accepted.fetch_add(1, Ordering::SeqCst);
                    state.open.fetch_add(1, Ordering::SeqCst);
                    // Many scripts break the connection off, so an error here is expected.
                    let _ended = match acceptor {
                        None => serve_http1(tcp, &state).await,
                        Some(acceptor) => match acceptor.accept(tcp).await {
                            Ok(tls) if tls.get_ref().1.alpn_protocol() == Some(b"h2") => {
                                serve_http2(tls, &state).await
                            }
                            Ok(tls) => serve_http1(tls, &state).await,
                            Err(error) => Err(error),
                        },
                    };
                    state.open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        Self { address, scheme, folder, state, accepting }
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    pub(crate) fn url(&self) -> String {
        self.url_of("localhost")
    }

    pub(crate) fn url_of(&self, host: &str) -> String {
        format!("{}://{host}:{}/in", self.scheme, self.address.port())
    }

    /// Returns a PEM file with the authority that issued the certificate of this server.
    pub(crate) fn roots(&self) -> Option<PathBuf> {
        (self.scheme == "https").then(|| self.folder.path().join("roots.pem"))
    }

    /// Returns how many connections were accepted.
    pub(crate) fn accepted(&self) -> usize {
        self.state.accepted.load(Ordering::SeqCst)
    }

    /// Returns how many connections this server has not ended, nor found ended.
    pub(crate) fn open(&self) -> usize {
        self.state.open.load(Ordering::SeqCst)
    }

    /// Returns how many requests were read in full.
    pub(crate) fn seen(&self) -> usize {
        self.state.seen.load(Ordering::SeqCst)
    }
}

impl State {
    fn answer(&self, stream: u32) -> Answer {
        let n = self.seen.fetch_add(1, Ordering::SeqCst);
        (self.script)(n, stream)
    }
}

async fn serve_http1(mut io: impl AsyncRead + AsyncWrite + Unpin, state: &State) -> io::Result<()> {
    let mut read = Vec::new();
    loop {
        while !takes_request(&mut read) {
            if io.read_buf(&mut read).await? == 0 {
                return Ok(());
            }
        }
        if !give(&mut io, state.answer(0)).await? {
            return Ok(());
        }
    }
}

/// Takes a whole request with `Content-Length` from what was read, if it is there.
fn takes_request(read: &mut Vec<u8>) -> bool {
    let text = String::from_utf8_lossy(read).to_ascii_lowercase();
    let Some(head) = text.find("\r\n\r\n") else { return false };
    let length = text[..head].split("content-length: ").nth(1);
    let length = length.and_then(|rest| rest.lines().next()?.trim().parse::<usize>().ok());
    let end = head + 4 + length.unwrap_or(0);
    if read.len() < end {
        return false;
    }
    read.drain(..end);
    true
}

/// Gives an answer; `false` if the connection is to be closed.
async fn give(io: &mut (impl AsyncRead + AsyncWrite + Unpin), answer: Answer) -> io::Result<bool> {
    io.write_all(&answer.bytes).await?;
    io.flush().await?;
    match answer.then {
        Then::GoOn => Ok(true),
        Then::Close => Ok(false),
        Then::Silence => {
            // The end of the connection is noticed all the same.
            let mut ignored = [0; 1024];
            while io.read(&mut ignored).await? != 0 {}
            Ok(false)
        }
        Then::Deaf => std::future::pending().await,
        Then::Flood(bytes) => loop {
            io.write_all(&bytes).await?;
            io.flush().await?;
        },
    }
}

/// The types of frames of HTTP/2 that the tests use (RFC 9113 §6).
pub(crate) mod frame {
    pub(crate) const DATA: u8 = 0;
    pub(crate) const HEADERS: u8 = 1;
    pub(crate) const PRIORITY: u8 = 2;
    pub(crate) const RST_STREAM: u8 = 3;
    pub(crate) const SETTINGS: u8 = 4;
    pub(crate) const PING: u8 = 6;
    pub(crate) const GOAWAY: u8 = 7;

    pub(crate) const ACK: u8 = 1;
    pub(crate) const END_STREAM: u8 = 1;
    pub(crate) const END_HEADERS: u8 = 4;

    pub(crate) fn make(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).expect("a small payload").to_be_bytes();
        let mut frame = vec![length[1], length[2], length[3], kind, flags];
        frame.extend(stream.to_be_bytes());
        frame.extend(payload);
        frame
    }

    /// Makes a block of headers without compression (RFC 7541 §6.2.2).
    pub(crate) fn headers(status: u16, headers: &[(String, String)]) -> Vec<u8> {
        // `:status` has the index 8 in the static table.
        let mut block = vec![0x08];
        text(&mut block, &status.to_string());
        for (name, value) in headers {
            block.push(0);
            text(&mut block, name);
            text(&mut block, value);
        }
        block
    }

    fn text(block: &mut Vec<u8>, text: &str) {
        // An integer with a prefix of seven bits (RFC 7541 §5.1).
        let mut length = text.len();
        if length < 127 {
            block.push(u8::try_from(length).expect("below 127"));
        } else {
            block.push(127);
            length -= 127;
            while 128 <= length {
                block.push(u8::try_from(length % 128).expect("below 128") | 128);
                length /= 128;
            }
            block.push(u8::try_from(length).expect("below 128"));
        }
        block.extend(text.as_bytes());
    }
}

async fn serve_http2(mut io: impl AsyncRead + AsyncWrite + Unpin, state: &State) -> io::Result<()> {
    let mut preface = [0; 24];
    io.read_exact(&mut preface).await?;
    io.write_all(&frame::make(frame::SETTINGS, 0, 0, &[])).await?;
    io.flush().await?;
    loop {
        let mut head = [0; 9];
        io.read_exact(&mut head).await?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; usize::try_from(length).unwrap()];
        io.read_exact(&mut payload).await?;
        let (kind, flags) = (head[3], head[4]);
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        let reply = match kind {
            frame::SETTINGS if flags & frame::ACK == 0 => {
                frame::make(frame::SETTINGS, frame::ACK, 0, &[])
            }
            frame::PING if flags & frame::ACK == 0 => {
                frame::make(frame::PING, frame::ACK, 0, &payload)
            }
            frame::HEADERS | frame::DATA if flags & frame::END_STREAM != 0 => {
                if !give(&mut io, state.answer(stream)).await? {
                    return Ok(());
                }
                continue;
            }
            _ => continue,
        };
        io.write_all(&reply).await?;
        io.flush().await?;
    }
}
