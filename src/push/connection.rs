//! One connection to an endpoint, by HTTP/1.1 or HTTP/2.

use std::{
    convert::Infallible,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Request, Response,
    body::Incoming,
    client::conn::{http1, http2},
    ext::on_informational,
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::{
    sync::oneshot,
    time::{Instant, timeout, timeout_at},
};

use super::{
    dial::Dialled,
    head::{HeadWatch, PlainHead, Watched},
    meter::{INFORMATIONAL_MAX, Meter},
    pool::Key,
    request::{Form, Target},
    settings::PushSettings,
};

/// The longest head of a response, in bytes and in header lines.
const RESPONSE_HEAD_BYTES_MAX: u32 = 32 * 1024;
const RESPONSE_HEADERS_MAX: usize = 512;
/// How much of bodies HTTP/2 may send ahead of our reading, for one request and for all.
const STREAM_WINDOW_BYTES: u32 = 64 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 1024 * 1024;
/// How long a connection that is not used any more may take to say so. Then it is closed.
const CLOSING_MAX: Duration = Duration::from_secs(1);

/// A connection in the hands of one attempt. HTTP/1.1 carries one request at a time. A connection by
/// HTTP/2 is shared, so that it lasts until the last attempt is over.
pub(super) enum Connection {
    Http1(Http1),
    Http2(Http2User),
}

/// The part that is the same for both versions. Dropping it ends the connection: it may say goodbye,
/// and then its socket is closed.
pub(super) struct Common {
    /// Later connections have higher numbers.
    number: u64,
    key: Key,
    meter: Arc<Meter>,
    /// No request begins after this.
    retire_at: Instant,
    _held: oneshot::Sender<Infallible>,
}

/// A connection by HTTP/1.1.
pub(super) struct Http1 {
    sender: http1::SendRequest<Full<Bytes>>,
    watch: HeadWatch,
    common: Common,
    /// Whether the connection has carried a response.
    served: bool,
    /// When it was last put back.
    pub(super) idle_since: Instant,
}

/// A connection by HTTP/2.
pub(super) struct Http2 {
    sender: http2::SendRequest<Full<Bytes>>,
    common: Common,
    served: AtomicBool,
}

/// One attempt's use of a connection by HTTP/2.
pub(super) struct Http2User(Arc<Http2>);

/// The end of a request.
pub(super) enum Exchange {
    /// The head of the response is complete.
    Answered(Response<Incoming>),
    /// The connection or the request failed before the head of a response arrived. `begun` unless the
    /// request was not sent at all.
    Failed {
        error: hyper::Error,
        begun: bool,
    },
    /// The head of the response is complete, and makes no sense beyond its status and `Retry-After`. The connection is of
    /// no use any more.
    StatusAlone(PlainHead),
    TimedOut,
}

/// Performs the handshake of HTTP, and has the connection driven until it is dropped.
pub(super) async fn open(
    dialled: Dialled,
    key: Key,
    age_max: Duration,
    settings: &PushSettings,
) -> Result<Connection, hyper::Error> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let Dialled { io, is_http2, meter, gone } = dialled;
    let (held, released) = oneshot::channel();
    let common = Common {
        number: NUMBER.fetch_add(1, Relaxed),
        key,
        meter: Arc::clone(&meter),
        retire_at: Instant::now() + age_max,
        _held: held,
    };
    if is_http2 {
        let (sender, connection) = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .max_header_list_size(RESPONSE_HEAD_BYTES_MAX)
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .keep_alive_interval(settings.http2_keep_alive_interval)
            .keep_alive_timeout(settings.http2_keep_alive_timeout)
            .keep_alive_while_idle(true)
            .handshake(io)
            .await?;
        tokio::spawn(drive(connection, released, gone, meter));
        let shared = Http2 { sender, common, served: AtomicBool::new(false) };
        return Ok(Connection::Http2(Http2User::of(&Arc::new(shared))));
    }
    let watch = HeadWatch::default();
    let io = TokioIo::new(Watched::new(TokioIo::new(io), watch.clone()));
    let (sender, connection) = http1::Builder::new()
        .max_buf_size(RESPONSE_HEAD_BYTES_MAX as usize)
        .max_headers(RESPONSE_HEADERS_MAX)
        // Heads are read liberally, because a SET that was accepted must not be sent again for the
        // form of a header line (RFC 9112 §5.1, §5.2).
        .allow_obsolete_multiline_headers_in_responses(true)
        .allow_spaces_after_header_name_in_responses(true)
        .ignore_invalid_headers_in_responses(true)
        .handshake(io)
        .await?;
    tokio::spawn(drive(connection, released, gone, meter));
    let (served, idle_since) = (false, Instant::now());
    Ok(Connection::Http1(Http1 { sender, watch, common, served, idle_since }))
}

/// Ends the connection once more informational responses arrive for this request than any Receiver needs.
fn bound_informational(request: &mut Request<Full<Bytes>>, meter: &Arc<Meter>) {
    let (count, meter) = (AtomicUsize::new(0), Arc::clone(meter));
    on_informational(request, move |_| {
        if INFORMATIONAL_MAX <= count.fetch_add(1, Relaxed) {
            meter.end_informing();
        }
    });
}

/// Performs a connection until it ends or nobody holds it. Then the session may end in good order, for
/// which the peer gets a moment.
async fn drive(
    connection: impl Future,
    released: oneshot::Receiver<Infallible>,
    gone: oneshot::Receiver<Infallible>,
    meter: Arc<Meter>,
) {
    {
        let mut connection = pin!(connection);
        tokio::select! {
            _ = &mut connection => {}
            _ = released => {
                timeout(CLOSING_MAX, connection).await.ok();
            }
        }
    }
    // With HTTP/2 the socket belongs to another task, which may wait for a peer that reads nothing.
    if timeout(CLOSING_MAX, gone).await.is_err() {
        meter.close();
    }
}

impl Common {
    fn is_young(&self, now: Instant) -> bool {
        now < self.retire_at
    }
}

impl Http1 {
    pub(super) fn number(&self) -> u64 {
        self.common.number
    }

    pub(super) fn key(&self) -> &Key {
        &self.common.key
    }

    /// Whether a request may begin.
    pub(super) fn is_usable(&self, now: Instant) -> bool {
        self.sender.is_ready() && self.common.is_young(now)
    }

    /// Whether the last exchange is over on both sides.
    pub(super) fn is_ready(&self) -> bool {
        self.sender.is_ready()
    }

    /// Waits until the last exchange is over on both sides; `false` if the connection has ended.
    pub(super) async fn becomes_ready(&mut self) -> bool {
        self.sender.ready().await.is_ok()
    }
}

impl Http2 {
    pub(super) fn number(&self) -> u64 {
        self.common.number
    }

    pub(super) fn key(&self) -> &Key {
        &self.common.key
    }

    pub(super) fn is_usable(&self, now: Instant) -> bool {
        !self.sender.is_closed() && self.common.is_young(now)
    }

    /// Whether an attempt uses it.
    pub(super) fn is_in_use(self: &Arc<Self>) -> bool {
        1 < Arc::strong_count(self)
    }
}

impl Http2User {
    pub(super) fn of(connection: &Arc<Http2>) -> Self {
        connection.common.meter.begin();
        Self(Arc::clone(connection))
    }

    pub(super) fn connection(&self) -> &Arc<Http2> {
        &self.0
    }
}

impl Drop for Http2User {
    fn drop(&mut self) {
        self.0.common.meter.end();
    }
}

impl Connection {
    pub(super) fn number(&self) -> u64 {
        self.common().number
    }

    pub(super) fn key(&self) -> &Key {
        &self.common().key
    }

    fn common(&self) -> &Common {
        match self {
            Self::Http1(connection) => &connection.common,
            Self::Http2(user) => &user.0.common,
        }
    }

    /// Whether it has carried a response. Such a connection worked once, and if it fails now, it was
    /// probably closed in the meantime.
    pub(super) fn has_served(&self) -> bool {
        match self {
            Self::Http1(connection) => connection.served,
            Self::Http2(user) => user.0.served.load(Relaxed),
        }
    }

    /// Sends the request, and waits for the head of the response.
    pub(super) async fn exchange(
        &mut self,
        target: &Target,
        set: Bytes,
        deadline: Instant,
    ) -> Exchange {
        let answer = match self {
            Self::Http1(connection) => {
                connection.common.meter.begin();
                connection.watch.begin();
                let mut request = target.request(Form::Http1, set);
                bound_informational(&mut request, &connection.common.meter);
                let exchange = connection.sender.try_send_request(request);
                let answer = timeout_at(deadline, exchange).await;
                connection.common.meter.end();
                connection.served |= matches!(answer, Ok(Ok(_)));
                // hyper refuses a head, and its status decides all the same.
                if let Ok(Err(failed)) = &answer
                    && failed.error().is_parse()
                    && let Some(head) = connection.watch.complete()
                {
                    return Exchange::StatusAlone(head);
                }
                answer
            }
            Self::Http2(user) => {
                let mut sender = user.0.sender.clone();
                let exchange = sender.try_send_request(target.request(Form::Http2, set));
                drop(sender);
                let answer = timeout_at(deadline, exchange).await;
                if matches!(answer, Ok(Ok(_))) {
                    user.0.served.store(true, Relaxed);
                }
                answer
            }
        };
        match answer {
            Ok(Ok(response)) => Exchange::Answered(response),
            Ok(Err(failed)) => {
                let begun = failed.message().is_none();
                Exchange::Failed { error: failed.into_error(), begun }
            }
            Err(_elapsed) => Exchange::TimedOut,
        }
    }
}
