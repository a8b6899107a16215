//! The socket of a connection: counts the bytes that arrive over it, and can be closed from outside.

use std::{
    convert::Infallible,
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
};

use futures_util::task::AtomicWaker;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    sync::oneshot,
};

use super::pool::Slot;

/// The most informational responses (RFC 9110 §15.2) by HTTP/1.1 for one attempt. Their heads are short and
/// cost much more to read than other bytes.
pub(super) const INFORMATIONAL_MAX: usize = 32;
/// How much is read of one connection before others have their turn, in bytes. A peer that sends without
/// a pause would keep a thread to itself, because there is always more to read.
const TURN_BYTES_MAX: usize = 16 * 1024;

/// Why a socket was closed by us while its peer would go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Cut {
    #[error("more than {0} bytes arrived for one attempt")]
    Spent(i64),
    #[error("more than {INFORMATIONAL_MAX} informational responses arrived for one attempt")]
    Informational,
    #[error("the connection was closed after its last attempt")]
    Closed,
}

/// Counts the bytes that arrive over one socket, and knows whether it is closed. The socket, the attempts that use it and the
/// task that drives the connection share it.
///
/// The budget is a number of bytes for each attempt. It counts the bytes below TLS and HTTP, so it bounds
/// everything that a peer can send: a handshake without end, informational responses, frames of
/// HTTP/2 that carry nothing (each has at least nine bytes), and a body that is never read.
#[derive(Debug)]
pub(super) struct Meter {
    per_attempt: i64,
    /// Bytes that may still arrive. At most `per_attempt` for each attempt under way, or once that many
    /// while there is none.
    left: AtomicI64,
    attempts: AtomicI64,
    closed: AtomicBool,
    /// Too many informational responses arrived.
    informed: AtomicBool,
    /// The task that reads and writes.
    task: AtomicWaker,
}

/// A TCP connection with its meter. It keeps its [`Slot`] until the socket is closed.
pub(super) struct Metered {
    tcp: TcpStream,
    meter: Arc<Meter>,
    turn: Turn,
    /// Dropped with the socket, which tells whoever waits for that.
    _gone: oneshot::Sender<Infallible>,
    _slot: Slot,
}

impl Meter {
    pub(super) fn new(bytes_per_attempt: usize) -> Self {
        let per_attempt = i64::try_from(bytes_per_attempt).unwrap_or(i64::MAX / 1024);
        Self {
            per_attempt,
            left: AtomicI64::new(per_attempt),
            attempts: AtomicI64::new(0),
            closed: AtomicBool::new(false),
            informed: AtomicBool::new(false),
            task: AtomicWaker::new(),
        }
    }

    /// An attempt begins to use the connection.
    pub(super) fn begin(&self) {
        let attempts = self.attempts.fetch_add(1, Relaxed) + 1;
        // Attempts that needed less leave nothing to later ones.
        let most = self.per_attempt.saturating_mul(attempts);
        let renew = |left: i64| Some((left.max(0) + self.per_attempt).min(most));
        self.left.fetch_update(Relaxed, Relaxed, renew).ok();
    }

    /// An attempt does not use the connection any more.
    pub(super) fn end(&self) {
        self.attempts.fetch_sub(1, Relaxed);
    }

    /// Closes the socket, whatever its peer does. The task that reads and writes gets an error.
    pub(super) fn close(&self) {
        self.closed.store(true, Relaxed);
        self.task.wake();
    }

    /// Ends the connection, because its peer sends informational responses without end.
    pub(super) fn end_informing(&self) {
        self.informed.store(true, Relaxed);
        self.task.wake();
    }

    fn check(&self) -> io::Result<()> {
        if self.informed.load(Relaxed) {
            return Err(io::Error::other(Cut::Informational));
        }
        if self.closed.load(Relaxed) {
            return Err(io::Error::other(Cut::Closed));
        }
        Ok(())
    }

    /// Returns whether more may arrive.
    fn check_budget(&self) -> io::Result<()> {
        if self.left.load(Relaxed) <= 0 {
            return Err(io::Error::other(Cut::Spent(self.per_attempt)));
        }
        self.check()
    }

    fn arrived(&self, bytes: usize) {
        self.left.fetch_sub(i64::try_from(bytes).unwrap_or(i64::MAX), Relaxed);
    }

    /// Waits for the socket, and for [`Self::close`].
    fn wait(&self, cx: &Context<'_>) -> io::Result<()> {
        self.task.register(cx.waker());
        // The socket may have been closed just before.
        self.check()
    }
}

/// The bytes that were read since the connection last waited.
#[derive(Debug, Default)]
struct Turn(usize);

impl Turn {
    /// Waits for the next turn if this one is over. The task is woken behind others that are ready.
    fn goes_on(&mut self, cx: &Context<'_>) -> Poll<()> {
        if self.0 < TURN_BYTES_MAX {
            return Poll::Ready(());
        }
        self.0 = 0;
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Notes how much was read; `None` if there was nothing to read yet.
    fn read(&mut self, bytes: Option<usize>) {
        self.0 = bytes.map_or(0, |bytes| self.0 + bytes);
    }
}

impl Metered {
    /// Also returns what resolves once the socket is closed.
    pub(super) fn new(
        tcp: TcpStream,
        meter: &Arc<Meter>,
        slot: Slot,
    ) -> (Self, oneshot::Receiver<Infallible>) {
        let (gone, is_gone) = oneshot::channel();
        let (meter, turn) = (Arc::clone(meter), Turn::default());
        (Self { tcp, meter, turn, _gone: gone, _slot: slot }, is_gone)
    }

    /// Adds the waiting for [`Meter::close`] to an operation on the socket.
    fn or_closed<T>(
        &mut self,
        cx: &mut Context<'_>,
        operation: impl FnOnce(Pin<&mut TcpStream>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        match operation(Pin::new(&mut self.tcp), cx) {
            Poll::Pending => {
                self.meter.wait(cx)?;
                Poll::Pending
            }
            done @ Poll::Ready(_) => done,
        }
    }
}

impl AsyncRead for Metered {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.meter.check_budget()?;
        ready!(self.turn.goes_on(cx));
        let before = buffer.filled().len();
        let read = self.or_closed(cx, |tcp, cx| tcp.poll_read(cx, buffer))?;
        let bytes = buffer.filled().len() - before;
        self.turn.read(read.is_ready().then_some(bytes));
        self.meter.arrived(bytes);
        read.map(Ok)
    }
}

impl AsyncWrite for Metered {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.meter.check()?;
        self.or_closed(cx, |tcp, cx| tcp.poll_write(cx, bytes))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.or_closed(cx, AsyncWrite::poll_flush)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.or_closed(cx, AsyncWrite::poll_shutdown)
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.meter.check()?;
        self.or_closed(cx, |tcp, cx| tcp.poll_write_vectored(cx, slices))
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    #[test]
    fn a_budget_is_for_each_attempt_and_is_not_saved_up() {
        let meter = Meter::new(100);
        let left = |meter: &Meter| meter.left.load(Relaxed);
        meter.arrived(60);
        meter.begin();
        assert_eq!(left(&meter), 100, "the handshake leaves no less");
        meter.begin();
        assert_eq!(left(&meter), 200);
        meter.arrived(10);
        for _ in 0..50 {
            meter.end();
            meter.begin();
        }
        assert_eq!(left(&meter), 200, "two at a time");
        meter.arrived(199);
        assert!(meter.check_budget().is_ok());
        meter.arrived(30);
        let error = meter.check_budget().expect_err("spent").to_string();
        assert_eq!(error, "more than 100 bytes arrived for one attempt");
        meter.begin();
        assert!(meter.check_budget().is_ok(), "a further attempt has its own");
    }

    #[test]
    fn a_turn_ends_after_some_bytes_without_a_pause() {
        let cx = Context::from_waker(Waker::noop());
        let mut turn = Turn::default();
        for pause in [false, true] {
            let mut read = 0;
            while turn.goes_on(&cx).is_ready() && read < 10 * TURN_BYTES_MAX {
                turn.read(Some(1000));
                read += 1000;
                if pause {
                    turn.read(None);
                }
            }
            assert_eq!(read < TURN_BYTES_MAX + 1000, !pause, "{read}");
        }
    }

    #[test]
    fn a_closed_meter_refuses_reading_and_writing() {
        let meter = Meter::new(100);
        meter.close();
        assert!(meter.check().is_err() && meter.check_budget().is_err());
        let meter = Meter::new(100);
        meter.end_informing();
        let error = meter.check_budget().expect_err("too many").to_string();
        assert!(error.contains("32 informational responses"), "{error}");
    }
}
