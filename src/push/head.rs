//! Watches the head of a response over HTTP/1.1, on its way to hyper.
//!
//! hyper refuses a head whose `Content-Length` or `Transfer-Encoding` makes no sense, because nobody can
//! say where the body ends. The status line says all the same what the Receiver did with the SET, and a SET
//! that was accepted must not be sent again. So the connection remembers the status of a head that is
//! complete. It cannot be used again after that.

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// How much is read of a line. A longer status line has its status before that, and `Retry-After` is short.
const LINE_BYTES_MAX: usize = 64;

/// The status of the response that arrives now, shared by the socket and the attempt.
#[derive(Debug, Clone, Default)]
pub(super) struct HeadWatch(Arc<Mutex<Head>>);

/// The part of a head that says what the Receiver did with a SET.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct PlainHead {
    pub(super) status: u16,
    /// The value of `Retry-After`, as it was sent.
    pub(super) retry_after: Option<String>,
}

#[derive(Debug, Default)]
struct Head {
    /// The beginning of the current line.
    line: Vec<u8>,
    /// How many bytes the current line has, without its end.
    length: usize,
    /// The status line is complete. Its status is 0 if it has none.
    begun: Option<PlainHead>,
    /// The head of the final response is complete.
    complete: Option<PlainHead>,
}

/// A stream whose reading is watched.
pub(super) struct Watched<T> {
    stream: T,
    watch: HeadWatch,
}

impl HeadWatch {
    /// A request begins: the next bytes are a head.
    pub(super) fn begin(&self) {
        *self.head() = Head::default();
    }

    /// Returns the head of the response, if it is complete and has a status.
    pub(super) fn complete(&self) -> Option<PlainHead> {
        self.head().complete.clone()
    }

    fn head(&self) -> MutexGuard<'_, Head> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Head {
    fn see(&mut self, bytes: &[u8]) {
        for byte in bytes {
            if self.complete.is_some() {
                return;
            }
            match byte {
                b'\n' if self.length != 0 => self.line_ends(),
                // An empty line before the status line counts for nothing (RFC 9112 §2.2).
                b'\n' if self.begun.is_some() => self.ends(),
                b'\n' | b'\r' => {}
                _ => {
                    self.length += 1;
                    if self.line.len() < LINE_BYTES_MAX {
                        self.line.push(*byte);
                    }
                }
            }
        }
    }

    fn line_ends(&mut self) {
        match &mut self.begun {
            None => {
                let status = status_of(&self.line).unwrap_or_default();
                self.begun = Some(PlainHead { status, retry_after: None });
            }
            Some(head) if head.retry_after.is_none() => {
                head.retry_after = retry_after_of(&self.line);
            }
            Some(_) => {}
        }
        self.line.clear();
        self.length = 0;
    }

    /// The head is complete. An informational response is followed by another one (RFC 9110 §15.2).
    fn ends(&mut self) {
        let head = self.begun.take();
        if !head.as_ref().is_some_and(|head| (100..=199).contains(&head.status)) {
            self.begun.clone_from(&head);
            self.complete = head.filter(|head| head.status != 0);
        }
    }
}

fn retry_after_of(line: &[u8]) -> Option<String> {
    let (name, value) = std::str::from_utf8(line).ok()?.split_once(':')?;
    name.trim().eq_ignore_ascii_case("retry-after").then(|| value.trim().to_owned())
}

/// Reads `HTTP/1.1 202 Accepted` (RFC 9112 §4).
fn status_of(line: &[u8]) -> Option<u16> {
    let rest = line.strip_prefix(b"HTTP/1.")?.get(1..)?.strip_prefix(b" ")?;
    let (digits, rest) = rest.split_at_checked(3)?;
    let ends = rest.first().is_none_or(|byte| *byte == b' ');
    let status = std::str::from_utf8(digits).ok().filter(|_| ends)?.parse().ok()?;
    (100..=599).contains(&status).then_some(status)
}

impl<T> Watched<T> {
    pub(super) fn new(stream: T, watch: HeadWatch) -> Self {
        Self { stream, watch }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Watched<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        self.watch.head().see(&buffer.filled()[before..]);
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Watched<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
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
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The status, however the bytes are cut into pieces.
    #[track_caller]
    fn check(head: &str, status: Option<u16>) {
        for piece in [1, 2, 7, head.len().max(1)] {
            let mut seen = Head::default();
            head.as_bytes().chunks(piece).for_each(|bytes| seen.see(bytes));
            assert_eq!(
                seen.complete.map(|head| head.status),
                status,
                "{head:?} in pieces of {piece}"
            );
        }
    }

    #[test]
    fn a_complete_head_has_a_status() {
        check("HTTP/1.1 202 Accepted\r\ncontent-length: abc\r\n\r\n", Some(202));
        check("HTTP/1.0 400\r\n\r\nHTTP/1.1 202 Accepted\r\n\r\n", Some(400));
        check("HTTP/1.1 503 \na: b\n\nbody", Some(503));
        check("\r\nHTTP/1.1 202 Accepted\r\n\r\n", Some(202));
        let continues = "HTTP/1.1 103 Early\r\nlink: x\r\n\r\n".repeat(3);
        check(&format!("{continues}HTTP/1.1 429 Slow\r\n\r\n"), Some(429));
        check(&format!("HTTP/1.1 202 {}\r\n\r\n", "x".repeat(5000)), Some(202));
    }

    #[test]
    fn a_head_says_how_long_to_wait() {
        let retry_after = |head: &str| {
            let mut seen = Head::default();
            seen.see(head.as_bytes());
            seen.complete.expect("a head").retry_after
        };
        for line in
            ["Retry-After: 20", "retry-after:20 ", "RETRY-AFTER : 20", "a: b\r\nretry-after: 20"]
        {
            let head = format!("HTTP/1.1 503 x\r\n{line}\r\nretry-after: 7\r\n\r\n");
            assert_eq!(retry_after(&head).as_deref(), Some("20"), "{line}");
        }
        let early = "HTTP/1.1 103 x\r\nretry-after: 7\r\n\r\nHTTP/1.1 503 x\r\nx: y\r\n\r\n";
        assert_eq!(retry_after(early), None);
    }

    #[test]
    fn what_is_no_complete_head_has_none() {
        check("", None);
        check("HTTP/1.1 202 Accepted\r\ncontent-length: abc\r\n", None);
        check("HTTP/1.1 103 Early\r\n\r\n", None);
        for line in [
            "HTTP/2 202",
            "HTTP/1.1 2020",
            "HTTP/1.1  202",
            "HTTP/1.1 +20",
            "HTTP/1.1 99",
            "202 OK",
        ] {
            check(&format!("{line}\r\n\r\n"), None);
        }
    }

    #[test]
    fn each_request_has_a_head_of_its_own() {
        let watch = HeadWatch::default();
        watch.head().see(b"HTTP/1.1 202 Accepted\r\n\r\nrest");
        assert_eq!(watch.complete().map(|head| head.status), Some(202));
        watch.begin();
        assert_eq!(watch.complete(), None);
        watch.head().see(b"HTTP/1.1 400 Bad\r\n\r\n");
        assert_eq!(watch.complete().map(|head| head.status), Some(400));
    }
}
