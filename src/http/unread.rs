//! Bounds the answers that a Receiver asks for and does not read, and the bodies that it begins and does not
//! end.
//!
//! An answer is in memory until the other end has taken it, and a body until it is complete. Either may have
//! megabytes, and a Receiver may have many connections. So the bytes of both are counted, and while there are
//! too many, further requests and the rest of such bodies are answered 429. Without a Receiver, answers are
//! small or slices of one shared buffer (`document`), and bodies are not read.

use std::{
    collections::HashMap,
    convert::Infallible,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use actix_web::{
    body::{BodySize, EitherBody, MessageBody},
    dev::ServiceResponse,
};
use bytes::Bytes;

use crate::{
    auth::rates::{ReceiverKey, TooMany},
    http::connection::WRITE_BUFFER_BYTES,
    telemetry::metrics,
};

/// How long a Receiver with too many unread answers is told to wait.
const WAIT: Duration = Duration::from_secs(1);
/// The label of refusals in `ssfd_http_limited_total`.
const LABEL: &str = "unread";

/// The bytes on the way between us and each Receiver. Cheap to clone; all clones count together.
#[derive(Debug, Clone)]
pub struct UnreadBytes(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// The most bytes of one Receiver; 0 means no limit.
    bytes_max: usize,
    /// Receivers without unread answers are left out.
    unread: Mutex<HashMap<ReceiverKey, usize>>,
}

/// An answer that is counted until it is sent or given up.
pub(super) struct CountedAnswer {
    rest: Bytes,
    _counted: Counted,
}

/// The bytes of one answer or body. They count until this value is dropped.
pub(super) struct Counted {
    all: UnreadBytes,
    receiver: ReceiverKey,
    bytes: usize,
}

impl UnreadBytes {
    pub fn new(bytes_max: usize) -> Self {
        metrics::http_limited(LABEL, 0);
        Self(Arc::new(Shared { bytes_max, unread: Mutex::default() }))
    }

    /// Admits a request of a Receiver, unless it has as many unread bytes as it may.
    pub(super) fn admit(&self, receiver: &ReceiverKey) -> Result<(), TooMany> {
        let bytes_max = self.0.bytes_max;
        let unread = || self.unread().get(receiver).copied().unwrap_or_default();
        if bytes_max == 0 || unread() < bytes_max {
            return Ok(());
        }
        metrics::http_limited(LABEL, 1);
        Err(TooMany(WAIT))
    }

    /// Counts an answer to a Receiver from now on.
    pub(super) fn count<B: MessageBody + 'static>(
        &self,
        receiver: ReceiverKey,
        response: ServiceResponse<B>,
    ) -> ServiceResponse<EitherBody<CountedAnswer, B>> {
        response.map_body(|_, body| match body.try_into_bytes() {
            Ok(bytes) => EitherBody::left(self.counted(receiver, bytes)),
            Err(body) => EitherBody::right(body),
        })
    }

    fn counted(&self, receiver: ReceiverKey, rest: Bytes) -> CountedAnswer {
        let mut counted = self.begin(receiver);
        counted.add(rest.len());
        CountedAnswer { rest, _counted: counted }
    }

    /// Begins to count a body or an answer.
    pub(super) fn begin(&self, receiver: ReceiverKey) -> Counted {
        Counted { all: self.clone(), receiver, bytes: 0 }
    }

    fn unread(&self) -> MutexGuard<'_, HashMap<ReceiverKey, usize>> {
        self.0.unread.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counted {
    /// Counts a part of a body that has arrived, unless its Receiver has as many unread bytes as it may.
    pub(super) fn admit(&mut self, bytes: usize) -> Result<(), TooMany> {
        self.all.admit(&self.receiver)?;
        self.add(bytes);
        Ok(())
    }

    fn add(&mut self, bytes: usize) {
        if bytes != 0 {
            *self.all.unread().entry(self.receiver.clone()).or_default() += bytes;
            self.bytes += bytes;
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut unread = self.all.unread();
        if let Some(bytes) = unread.get_mut(&self.receiver) {
            *bytes = bytes.saturating_sub(self.bytes);
            if *bytes == 0 {
                unread.remove(&self.receiver);
            }
        }
    }
}

/// Gives slices, because actix copies what a body gives into the buffer of the connection, and asks for
/// more only while this buffer has room.
impl MessageBody for CountedAnswer {
    type Error = Infallible;

    fn size(&self) -> BodySize {
        BodySize::Sized(self.rest.len() as u64)
    }

    fn poll_next(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        let rest = &mut self.get_mut().rest;
        let slice = rest.split_to(rest.len().min(WRITE_BUFFER_BYTES));
        Poll::Ready((!slice.is_empty()).then_some(Ok(slice)))
    }
}

#[cfg(test)]
mod tests {
    use std::{pin::pin, task::Waker};

    use super::*;

    fn receiver(id: &str) -> ReceiverKey {
        ReceiverKey::new("acme".parse().expect("a name"), id.parse().expect("an id"))
    }

    fn answer(answers: &UnreadBytes, to: &str, bytes: usize) -> CountedAnswer {
        answers.counted(receiver(to), "x".repeat(bytes).into())
    }

    #[test]
    fn answers_count_until_they_are_sent_or_given_up() {
        let answers = UnreadBytes::new(100);
        let admits = |id: &str| answers.admit(&receiver(id)).is_ok();
        let one = answer(&answers, "rx", 99);
        assert!(admits("rx"), "there is room for some bytes");
        // One answer may be larger than the bound.
        let other = answer(&answers, "rx", 1000);
        assert!(!admits("rx") && admits("other"));
        drop(other);
        assert!(admits("rx"));
        let nothing = answer(&answers, "rx", 0);
        drop((one, nothing));
        assert!(answers.unread().is_empty());
    }

    #[test]
    fn bodies_count_until_they_are_complete() {
        let unread = UnreadBytes::new(100);
        let mut body = unread.begin(receiver("rx"));
        assert!(body.admit(60).is_ok() && body.admit(60).is_ok());
        assert!(body.admit(1).is_err() && unread.admit(&receiver("rx")).is_err());
        assert!(unread.begin(receiver("other")).admit(60).is_ok());
        drop(body);
        assert!(unread.unread().is_empty());
    }

    #[test]
    fn without_a_bound_all_is_admitted() {
        let answers = UnreadBytes::new(0);
        let _one = answer(&answers, "rx", 1000);
        assert!(answers.admit(&receiver("rx")).is_ok());
    }

    #[test]
    fn an_answer_comes_in_slices() {
        let answers = UnreadBytes::new(0);
        let mut answer = pin!(answer(&answers, "rx", 2 * WRITE_BUFFER_BYTES + 1));
        let mut context = Context::from_waker(Waker::noop());
        let mut sizes = Vec::new();
        while let Poll::Ready(Some(Ok(slice))) = answer.as_mut().poll_next(&mut context) {
            sizes.push(slice.len());
        }
        assert_eq!(sizes, [WRITE_BUFFER_BYTES, WRITE_BUFFER_BYTES, 1]);
    }
}
