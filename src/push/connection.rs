//! One connection to an endpoint, and whether it has carried a response before.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use hyper::{
    http::Extensions,
    rt::{Read, ReadBufCursor, Write},
};
use hyper_rustls::MaybeHttpsStream;
use hyper_util::{
    client::legacy::connect::{CaptureConnection, Connected, Connection},
    rt::TokioIo,
};
use tokio::net::TcpStream;

/// Records whether a connection has carried a response. The connection and the responses that arrive
/// over it share this flag.
#[derive(Debug, Clone, Default)]
pub(super) struct Served(Arc<AtomicBool>);

impl Served {
    pub(super) fn mark(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A TCP connection, with or without TLS, and its [`Served`] flag.
pub(super) struct Dialled {
    pub(super) io: MaybeHttpsStream<TokioIo<TcpStream>>,
    pub(super) served: Served,
}

/// Returns whether the connection that `captured` a request had carried a response before. Such a
/// connection worked once, and was probably closed in the meantime.
pub(super) fn had_served(captured: &CaptureConnection) -> bool {
    let mut extras = Extensions::new();
    if let Some(connected) = captured.connection_metadata().as_ref() {
        connected.get_extras(&mut extras);
    }
    extras.get::<Served>().is_some_and(|served| served.0.load(Ordering::Relaxed))
}

/// Keeps further requests away from the connection that `captured` this one.
pub(super) fn retire(captured: &CaptureConnection) {
    if let Some(connected) = captured.connection_metadata().as_ref() {
        connected.poison();
    }
}

impl Connection for Dialled {
    fn connected(&self) -> Connected {
        self.io.connected().extra(self.served.clone())
    }
}

impl Read for Dialled {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buffer)
    }
}

impl Write for Dialled {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, slices)
    }
}
