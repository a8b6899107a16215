//! Connections on which nothing happens are closed, whatever their other end sends now and then.
//!
//! actix bounds the first head of a connection, and the time between two requests until a byte of the
//! second is there. It waits without bound for the rest of a later head, and for the rest of a
//! chunked body that nobody reads any more.

use std::{any::Any, cell::Cell, net::Shutdown, os::fd::AsFd, rc::Rc, time::Duration};

use actix_tls::accept::rustls_0_23::TlsStream;
use actix_web::{
    dev::Extensions,
    rt::{self, net::TcpStream},
};
use tokio::time::sleep;

/// What is known of a connection by all that is served on it, in one thread.
pub(super) struct Connection {
    /// Another handle of its socket. It goes with the connection, so that it keeps nothing open.
    socket: std::net::TcpStream,
    begun: Cell<u64>,
    under_way: Cell<usize>,
}

/// A request under way; it is over when this goes.
pub(super) struct UnderWay(Rc<Connection>);

/// Watches a connection, for as long as it stands: it is closed after at least `idle_max`, and less
/// than twice as long, without a request. One that is answered is none any more: so long may its end
/// take to read the answer.
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
    let connection = Rc::new(Connection { socket, begun: Cell::new(0), under_way: Cell::new(0) });
    let watched = Rc::downgrade(&connection);
    extensions.insert(connection);
    rt::spawn(async move {
        let mut seen = 0;
        loop {
            sleep(idle_max).await;
            let Some(connection) = watched.upgrade() else { break };
            let begun = connection.begun.get();
            if connection.under_way.get() == 0 && begun == seen {
                // It may be closed already, which is all that is wanted.
                connection.socket.shutdown(Shutdown::Both).ok();
                break;
            }
            seen = begun;
        }
    });
}

impl UnderWay {
    pub(super) fn on(connection: &Rc<Connection>) -> Self {
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
