//! Connections without a request, and requests without a connection.
//!
//! - [`WatchedConnection`] closes connections that have no request under way, even if the other end sends a
//!   byte now and then. It also counts what is read ahead of the request under way, for `paced`.
//! - [`note_certificate`] keeps what the client of a connection showed of itself.
//! - `closed_by_peer` tells a request that waits for long, such as a poll, that nobody waits for its
//!   answer. `to_its_end` lets a request go on that changes something.
//!
//! actix bounds the time for the first head of a connection, and the time until the first byte of the
//! next request. It waits without a bound for the rest of a later head, and for the rest of a chunked
//! body that nobody reads any more.

use std::{
    cell::Cell,
    future::poll_fn,
    io::{self, ErrorKind},
    net::Shutdown,
    os::fd::AsFd as _,
    panic::resume_unwind,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use actix_web::{
    Error, HttpRequest,
    body::MessageBody,
    dev::{Extensions, ServiceRequest, ServiceResponse},
    error::ErrorServiceUnavailable,
    middleware::Next,
    rt::{self, net::TcpStream},
};
use rustls::ServerConnection;
use tokio::time::sleep;

use super::paced::AHEAD_BYTES_MAX;
use crate::source::client_certificate::ClientCertificate;

/// The size from which the buffer of a connection is written before more of an answer is asked for, in
/// bytes. A connection whose answers nobody reads keeps about twice as much.
pub const WRITE_BUFFER_BYTES: usize = 8 << 10;

/// The state of a connection. The socket and all requests of the connection share it, in one thread.
pub struct WatchedConnection {
    /// A second handle of the socket. It is dropped with the connection, so it keeps nothing open.
    socket: std::net::TcpStream,
    /// Requests that began so far.
    begun: Cell<u64>,
    under_way: Cell<usize>,
    /// The bytes that were read since no request was under way, or since one had used all and waited for more.
    ahead: Cell<usize>,
    /// The task that waits until it may read.
    reader: Cell<Option<Waker>>,
}

/// A request under way. It ends when this value is dropped.
pub(super) struct UnderWay(Rc<WatchedConnection>);

/// Keeps the certificate of the client for the requests of its connection, if the listener asked for one and
/// the client showed one.
pub fn note_certificate(tls: &ServerConnection, extensions: &mut Extensions) {
    if let Some([leaf, ..]) = tls.peer_certificates() {
        extensions.insert(Arc::new(ClientCertificate::read(leaf)));
    }
}

/// Resolves once the other end of a request's connection has closed it, or at least its own direction of
/// it. Must be awaited in the handler of the request: actix polls the handler whenever something happens
/// on the connection, and so nothing else needs to watch the socket.
pub(super) async fn closed_by_peer(request: &HttpRequest) {
    let connection = request.conn_data::<Rc<WatchedConnection>>().cloned();
    poll_fn(|_| match &connection {
        Some(connection) if connection.is_closed_by_peer() => Poll::Ready(()),
        _ => Poll::Pending,
    })
    .await;
}

/// Lets a request that changes something go on to its end, even if its connection is reset meanwhile. actix
/// drops the handler with the connection, which could be after a change in the store and before this node
/// shows it.
pub(super) async fn to_its_end<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, Error> {
    match rt::spawn(next.call(request)).await {
        Ok(response) => response,
        Err(ended) => match ended.try_into_panic() {
            Ok(panic) => resume_unwind(panic),
            Err(_) => Err(ErrorServiceUnavailable("the daemon has stopped")),
        },
    }
}

impl WatchedConnection {
    /// Watches a connection for as long as it is open, and closes it when it had no request under way for
    /// `idle_max` to twice `idle_max`. A request that was answered is not under way any more, so the other
    /// end has as long to read the answer.
    pub fn of(tcp: &TcpStream, idle_max: Duration) -> io::Result<Rc<Self>> {
        let connection = Rc::new(Self {
            socket: tcp.as_fd().try_clone_to_owned()?.into(),
            begun: Cell::default(),
            under_way: Cell::default(),
            ahead: Cell::default(),
            reader: Cell::default(),
        });
        let watched = Rc::downgrade(&connection);
        rt::spawn(async move {
            let mut seen = 0;
            loop {
                sleep(idle_max).await;
                let Some(connection) = watched.upgrade() else { break };
                let begun = connection.begun.get();
                if connection.under_way.get() == 0 && begun == seen {
                    // An error means that the connection is closed already.
                    connection.socket.shutdown(Shutdown::Both).ok();
                    break;
                }
                seen = begun;
            }
        });
        Ok(connection)
    }

    /// Returns how much may be read of the connection. Otherwise the task is woken once the request under
    /// way waits for more, or is over.
    pub(super) fn may_read_ahead(&self, cx: &Context<'_>) -> Poll<usize> {
        if self.under_way.get() == 0 {
            self.ahead.set(0);
        }
        match AHEAD_BYTES_MAX.saturating_sub(self.ahead.get()) {
            0 => {
                self.reader.set(Some(cx.waker().clone()));
                Poll::Pending
            }
            left => Poll::Ready(left),
        }
    }

    pub(super) fn has_read(&self, bytes: usize) {
        self.ahead.set(self.ahead.get().saturating_add(bytes));
    }

    /// The request under way has used what was read, and waits for more.
    pub(super) fn is_hungry(&self) {
        self.ahead.set(0);
        self.wake_reader();
    }

    fn wake_reader(&self) {
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }

    fn is_closed_by_peer(&self) -> bool {
        match self.socket.peek(&mut [0]) {
            Ok(bytes) => bytes == 0,
            Err(error) => !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted),
        }
    }
}

impl UnderWay {
    pub(super) fn on(connection: &Rc<WatchedConnection>) -> Self {
        connection.begun.set(connection.begun.get() + 1);
        connection.under_way.set(connection.under_way.get() + 1);
        Self(Rc::clone(connection))
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.under_way.set(self.0.under_way.get() - 1);
        self.0.wake_reader();
    }
}
