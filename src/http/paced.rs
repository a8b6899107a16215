//! Reads from a connection only what its requests can use.
//!
//! actix reads whatever has arrived, and parses all heads in it, however many requests are unanswered. A
//! parsed head takes up to two hundred times as much memory as its text. Once 128 KiB are read
//! and not parsed, actix asks again and again whether there is room, and so keeps its thread busy. A single
//! connection without a credential could do either. So [`Paced`] stands between actix and the socket:
//!
//! - While the other end does not read its answers, nothing more is read.
//! - While a request is under way, only `AHEAD_BYTES_MAX` are read that it does not use.
//! - A connection reads `TURN_BYTES_MAX` at a time, and then others have their turn.

use std::{
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::connection::WatchedConnection;

/// How much is read at a time, and therefore how much may be parsed in vain. The shortest request has 18 bytes,
/// and its parsed head takes some 4 KiB.
const TURN_BYTES_MAX: usize = 1 << 10;
/// How much is read of a connection ahead of what its request uses. As much again may be left of the time
/// before, when the request waits for more. Both are far below the 128 KiB of actix.
pub(super) const AHEAD_BYTES_MAX: usize = 32 << 10;

/// A connection whose reading is paced.
pub struct Paced<T> {
    stream: T,
    connection: Rc<WatchedConnection>,
    /// The bytes that were read since the task last waited.
    turn: usize,
    /// The other end takes no more of what was written.
    is_stuck: bool,
    /// The task wanted to read while it was stuck, and has to be woken afterwards.
    is_awaited: bool,
}

impl<T> Paced<T> {
    pub fn new(stream: T, connection: Rc<WatchedConnection>) -> Self {
        Self { stream, connection, turn: 0, is_stuck: false, is_awaited: false }
    }

    pub fn stream(&self) -> &T {
        &self.stream
    }

    pub fn connection(&self) -> &Rc<WatchedConnection> {
        &self.connection
    }

    /// Returns how much may be read now. Otherwise the task is woken when it may read again.
    fn may_read(&mut self, cx: &Context<'_>) -> Poll<usize> {
        if self.is_stuck {
            self.is_awaited = true;
            return Poll::Pending;
        }
        let ahead = ready!(self.connection.may_read_ahead(cx));
        if TURN_BYTES_MAX <= self.turn {
            self.turn = 0;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(ahead.min(TURN_BYTES_MAX - self.turn))
    }

    /// Notes whether the other end takes what is written.
    fn wrote<R>(&mut self, cx: &Context<'_>, written: Poll<R>) -> Poll<R> {
        self.is_stuck = written.is_pending();
        if !self.is_stuck && std::mem::take(&mut self.is_awaited) {
            cx.waker().wake_by_ref();
        }
        written
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Paced<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let most = ready!(self.may_read(cx)).min(buffer.remaining());
        let mut part = ReadBuf::new(buffer.initialize_unfilled_to(most));
        let read = Pin::new(&mut self.stream).poll_read(cx, &mut part);
        let bytes = part.filled().len();
        buffer.advance(bytes);
        self.turn = if read.is_pending() { 0 } else { self.turn + bytes };
        self.connection.has_read(bytes);
        read
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Paced<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.wrote(cx, written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.wrote(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.wrote(cx, written)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering::Relaxed},
        },
        task::{Wake, Waker},
    };

    use actix_web::rt;
    use tokio::{
        net::{TcpListener, TcpStream},
        task::unconstrained,
    };

    use super::*;
    use crate::http::connection::UnderWay;

    /// Counts how often a task is woken.
    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Relaxed);
        }
    }

    /// A paced connection and its other end, in memory, with room for so many bytes in each direction.
    struct Pair {
        paced: Paced<tokio::io::DuplexStream>,
        other: tokio::io::DuplexStream,
        woken: Arc<Woken>,
    }

    impl Pair {
        async fn new(room: usize) -> Self {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a socket");
            let address = listener.local_addr().expect("a socket");
            let (tcp, _accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
            let idle_max = std::time::Duration::from_mins(10);
            let connection = WatchedConnection::of(&tcp.expect("connected"), idle_max);
            let (stream, other) = tokio::io::duplex(room);
            let paced = Paced::new(stream, connection.expect("a handle"));
            Self { paced, other, woken: Arc::default() }
        }

        /// Sends so many bytes to the connection.
        async fn send(&mut self, bytes: usize) {
            use tokio::io::AsyncWriteExt as _;
            self.other.write_all(&vec![b'x'; bytes]).await.expect("there is room");
        }

        /// Reads as actix does, until there is nothing. Returns how much was read.
        fn read_some(&mut self) -> usize {
            let (mut bytes, waker) = (vec![0; 8 << 10], Waker::from(Arc::clone(&self.woken)));
            let mut total = 0;
            loop {
                let mut buffer = ReadBuf::new(&mut bytes);
                let read = Pin::new(&mut self.paced)
                    .poll_read(&mut Context::from_waker(&waker), &mut buffer);
                if read.is_pending() {
                    return total;
                }
                total += buffer.filled().len();
            }
        }

        /// Reads for as long as the task is woken. Returns how much was read.
        fn read(&mut self) -> usize {
            let mut total = self.read_some();
            while self.woken.0.swap(0, Relaxed) != 0 {
                total += self.read_some();
            }
            total
        }

        fn write(&mut self, bytes: usize) -> Poll<io::Result<usize>> {
            let waker = Waker::from(Arc::clone(&self.woken));
            let bytes = vec![b'y'; bytes];
            Pin::new(&mut self.paced).poll_write(&mut Context::from_waker(&waker), &bytes)
        }
    }

    // tokio's own budget would end a long turn as well, so these tests have none.

    #[actix_web::test]
    async fn a_turn_is_short_and_all_is_read_in_turns() {
        unconstrained(async {
            let mut pair = Pair::new(1 << 20).await;
            pair.send(1 << 20).await;
            assert_eq!(pair.read_some(), TURN_BYTES_MAX);
            assert_eq!(pair.read(), (1 << 20) - TURN_BYTES_MAX);
        })
        .await;
    }

    #[actix_web::test]
    async fn a_request_under_way_gets_what_it_uses_and_little_more() {
        unconstrained(async {
            let mut pair = Pair::new(1 << 20).await;
            pair.send(1 << 20).await;
            let request = UnderWay::on(pair.paced.connection());
            for _ in 0..3 {
                assert_eq!(pair.read(), AHEAD_BYTES_MAX);
                assert_eq!(pair.read(), 0, "and the task sleeps");
                pair.paced.connection().is_hungry();
                assert_eq!(pair.woken.0.load(Relaxed), 1, "it is woken once");
            }
            assert_eq!(pair.read(), AHEAD_BYTES_MAX);
            drop(request);
            assert_eq!(pair.read(), (1 << 20) - 4 * AHEAD_BYTES_MAX, "nothing is under way");
        })
        .await;
    }

    #[actix_web::test]
    async fn nothing_is_read_while_answers_are_not() {
        use tokio::io::AsyncReadExt as _;
        let mut pair = Pair::new(1 << 10).await;
        pair.send(1 << 10).await;
        assert!(matches!(pair.write(1 << 11), Poll::Ready(Ok(1024))));
        assert!(pair.write(1).is_pending());
        assert_eq!(pair.read(), 0);

        pair.other.read_exact(&mut [0; 1 << 10]).await.expect("written");
        pair.woken.0.store(0, Relaxed);
        assert!(pair.write(1).is_ready());
        assert_eq!(pair.woken.0.load(Relaxed), 1, "the task reads again");
        assert_eq!(pair.read(), 1 << 10);
        rt::task::yield_now().await;
    }
}
