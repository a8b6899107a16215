//! Connections without a request, and requests without a connection.
//!
//! - [`watch`] closes connections that have no request under way, even if the other end sends a byte now
//!   and then.
//! - `closed_by_peer` tells a request that waits for long, such as a poll, that nobody waits for its
//!   answer. `to_its_end` lets a request go on that changes something.
//!
//! actix bounds the time for the first head of a connection, and the time until the first byte of the
//! next request. It waits without a bound for the rest of a later head, and for the rest of a chunked
//! body that nobody reads any more.

use std::{
    any::Any, cell::Cell, future::poll_fn, io::ErrorKind, net::Shutdown, os::fd::AsFd,
    panic::resume_unwind, rc::Rc, task::Poll, time::Duration,
};

use actix_tls::accept::rustls_0_23::TlsStream;
use actix_web::{
    Error, HttpRequest,
    body::MessageBody,
    dev::{Extensions, ServiceRequest, ServiceResponse},
    error::ErrorServiceUnavailable,
    middleware::Next,
    rt::{self, net::TcpStream},
};
use tokio::time::sleep;

/// The size from which the buffer of a connection is written before more of an answer is asked for, in
/// bytes. A connection whose answers nobody reads keeps about twice as much.
pub const WRITE_BUFFER_BYTES: usize = 8 << 10;

/// The state of a connection. All requests of the connection share it, in one thread.
pub(super) struct WatchedConnection {
    /// A second handle of the socket. It is dropped with the connection, so it keeps nothing open.
    socket: std::net::TcpStream,
    /// Requests that began so far.
    begun: Cell<u64>,
    under_way: Cell<usize>,
}

/// A request under way. It ends when this value is dropped.
pub(super) struct UnderWay(Rc<WatchedConnection>);

/// Watches a connection for as long as it is open, and closes it when it had no request under way for
/// `idle_max` to twice `idle_max`. A request that was answered is not under way any more, so the other
/// end has as long to read the answer.
pub fn watch(io: &dyn Any, extensions: &mut Extensions, idle_max: Duration) {
    let tls = || io.downcast_ref::<TlsStream<TcpStream>>().map(|tls| tls.get_ref().0);
    let Some(tcp) = io.downcast_ref::<TcpStream>().or_else(tls) else { return };
    let socket = match tcp.as_fd().try_clone_to_owned() {
        Ok(socket) => socket.into(),
        Err(error) => {
            tracing::warn!(%error, "cannot watch a connection");
            return;
        }
    };
    let connection =
        Rc::new(WatchedConnection { socket, begun: Cell::new(0), under_way: Cell::new(0) });
    let watched = Rc::downgrade(&connection);
    extensions.insert(connection);
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
    }
}
