//! A Receiver polls (RFC 8936).

use std::{
    future::{Future, pending, poll_fn},
    pin::{Pin, pin},
    sync::Arc,
    task::Poll,
    time::Duration,
};

use tokio::time::{Instant, sleep_until, timeout_at};

use crate::{
    auth::{AuthError, Principal},
    clock,
    delivery::{
        new_key::{NewKey, may_blame_new_key},
        parcel::{Parcel, SignedSet},
        poll::{PollLimit, PollRequest},
    },
    domain::{
        id::{Jti, StreamId},
        reason::Reason,
        set_error::SetError,
        stream::{Delivery, StreamConfig},
        time::Timestamp,
    },
    store::{Acknowledgement, Polled, requested},
    telemetry::{
        metrics::{self, MethodLabel},
        spans::{self, SetFields},
    },
};

use super::{
    RequestError, Transmitter,
    waiters::{End, Waiter},
};

/// The answer to a poll (RFC 8936 §2.3).
#[derive(Debug, Default)]
pub struct PollAnswer {
    pub parcel: Parcel,
    /// Whether there are more SETs that could be handed out now.
    pub more_available: bool,
}

/// The conditions under which a poll goes on waiting.
pub trait Patience {
    /// Resolves once nobody waits for the answer any more.
    fn abandoned(&self) -> impl Future<Output = ()>;

    /// Judges the credential of the poll again. Returns until when the judgement holds, if time can end
    /// it.
    fn allowed(&self) -> impl Future<Output = Result<Option<Timestamp>, AuthError>>;
}

/// When a poll that waits judges its credential for the first time. A revocation may fall between the
/// judgement at its beginning and the moment from which it is told of revocations.
const FIRST_JUDGED_AFTER: Duration = Duration::from_secs(1);

/// A poll that waits for a SET.
struct Wait<'a, P> {
    waiter: &'a mut Waiter,
    patience: &'a P,
    /// When the credential is judged again, if no revocation is reported before.
    judge_at: &'a mut Option<Instant>,
}

impl<P: Patience> Wait<'_, P> {
    /// Waits for a wake-up or until `look_again`. A credential that ends meanwhile ends the wait at once.
    /// Returns `false` if nobody waits for the answer any more.
    async fn for_a_set(
        self,
        woken: impl Future<Output = ()>,
        look_again: Instant,
        mut abandoned: Pin<&mut impl Future<Output = ()>>,
    ) -> Result<bool, AuthError> {
        let Self { waiter, patience, judge_at } = self;
        let mut woken = pin!(timeout_at(look_again, woken));
        let goes_on = loop {
            let judge_again = async {
                match *judge_at {
                    Some(at) => sleep_until(at).await,
                    None => pending().await,
                }
            };
            tokio::select! {
                biased;
                () = &mut abandoned => break false,
                _hint = &mut woken => break true,
                () = waiter.revocation() => {}
                () = judge_again => {}
            }
            *judge_at = judge(patience).await?;
        };
        if goes_on {
            // The SETs that it was woken for are for a good credential only.
            *judge_at = judge(patience).await?;
        }
        Ok(goes_on)
    }
}

/// Returns when the credential is to be judged again.
async fn judge(patience: &impl Patience) -> Result<Option<Instant>, AuthError> {
    let until = patience.allowed().await?;
    Ok(until.map(|until| Instant::now() + until.since(clock::now())))
}

impl Transmitter {
    /// Answers a poll. Acknowledgements come first, so that the answer never holds a SET that they
    /// settle. Then SETs are taken, or one is waited for. A stream that is not enabled gives nothing
    /// but the announcement of that, and its acknowledgements count all the same.
    pub async fn poll(
        &self,
        principal: &Principal,
        id: &StreamId,
        request: PollRequest,
        patience: &impl Patience,
    ) -> Result<PollAnswer, RequestError> {
        self.poll_stream(principal, id)?;
        self.poll_log.polled(id, clock::now());
        let limit = request.limit(&self.poll);
        let deadline = Instant::now() + request.wait(&self.poll);
        self.acknowledge(principal, id, request.ack, request.set_errs).await?;
        let join = || self.waiters.join(id, self.poll.waiting_max);
        let mut waiter = if request.return_immediately { None } else { join() };
        let mut judge_at = Some(Instant::now() + FIRST_JUDGED_AFTER);
        let mut abandoned = pin!(patience.abandoned());
        loop {
            let woken = waiter.as_ref().map(Waiter::next);
            if waiter.is_some() && is_ready(abandoned.as_mut()).await {
                return Ok(PollAnswer::default());
            }
            let polled = self.take(principal, id, limit).await?;
            let ready = !polled.sets.is_empty() || (limit.sets == 0 && polled.more);
            let waits = |waiter: &&mut Waiter| !ready && waiter.ends().is_none();
            let Some((waiter, woken)) = waiter.as_mut().filter(waits).zip(woken) else {
                return self.answer(principal, id, polled).await;
            };
            let now = clock::now();
            let look_again = match self.store.next_due(id, now).await? {
                Some(due) => deadline.min(Instant::now() + due.since(now)),
                None => deadline,
            };
            let wait = Wait { waiter: &mut *waiter, patience, judge_at: &mut judge_at };
            if !wait.for_a_set(woken, look_again, abandoned.as_mut()).await? {
                return Ok(PollAnswer::default());
            }
            // Judged anew like the credential, because the stream may have been changed.
            self.poll_stream(principal, id)?;
            if waiter.ends() == Some(End::GaveWay) || deadline <= Instant::now() {
                return Ok(PollAnswer::default());
            }
        }
    }

    /// Returns the stream, if this Receiver may poll it.
    fn poll_stream(
        &self,
        principal: &Principal,
        id: &StreamId,
    ) -> Result<Arc<StreamConfig>, RequestError> {
        let stream = self.owned(principal, id)?;
        match stream.delivery {
            Delivery::Poll => Ok(stream),
            // A push stream has no poll endpoint.
            Delivery::Push(_) => Err(RequestError::StreamNotFound),
        }
    }

    async fn take(
        &self,
        principal: &Principal,
        id: &StreamId,
        limit: PollLimit,
    ) -> Result<Polled, RequestError> {
        // Judged anew each time, because the stream may have been changed meanwhile.
        let stream = self.poll_stream(principal, id)?;
        let now = clock::now();
        let hidden_until = now + self.poll.redelivery_interval;
        let began = spans::begin();
        let polled =
            requested::take_for_poll(&*self.store, &stream, limit, now, hidden_until).await?;
        spans::read(polled.sets.iter().map(|set| SetFields::pending(id, set)), began);
        metrics::events_suppressed(&principal.provider, Reason::Subject, polled.discarded);
        metrics::events_suppressed(&principal.provider, Reason::NotRequested, polled.unrequested);
        if !polled.sets.is_empty() {
            self.poll_log.handed_out(id, polled.sets.len(), now);
        }
        Ok(polled)
    }

    async fn acknowledge(
        &self,
        principal: &Principal,
        id: &StreamId,
        acked: Vec<Jti>,
        mut refused: Vec<(Jti, SetError)>,
    ) -> Result<(), RequestError> {
        if let Some(key) = self.new_key_of(id)
            && !self.poll_keys.accepted(id, key.since, &acked)
        {
            let count = refused.len();
            refused.retain(|(_, error)| !may_blame_new_key(error));
            let sets = count - refused.len();
            if sets != 0 {
                // They are handed out again like any other SETs that are not acknowledged.
                tracing::info!(stream_id = %id, sets, "refused, perhaps because the signing key is new");
            }
        }
        if acked.is_empty() && refused.is_empty() {
            return Ok(());
        }
        let refused_jtis = refused.iter().map(|(jti, _)| jti);
        let settled = acked.iter().chain(refused_jtis);
        let spans = spans::settle(settled.map(|jti| SetFields { stream_id: id, jti, claims: "" }));
        let acknowledgement = Acknowledgement { acked, refused };
        let now = clock::now();
        let settled = self.store.acknowledge(id, acknowledgement, now).await?;
        spans.close();
        self.poll_log.acknowledged(id, now);
        // The SETs behind them in their lanes may go out by another poll.
        self.wake(std::slice::from_ref(id), false);
        let provider = &principal.provider;
        metrics::sets_delivered(provider, MethodLabel::Poll, settled.delivered.len());
        for appended_at in settled.delivered {
            metrics::set_age(provider, MethodLabel::Poll, now.since(appended_at));
        }
        if !settled.dead.is_empty() {
            tracing::warn!(stream_id = %id, sets = settled.dead.len(), "dead-lettered: refused by poll");
        }
        for code in settled.dead {
            metrics::sets_dead(provider, Reason::Refused(code), 1);
        }
        Ok(())
    }

    /// Returns the key that signs, if the Receiver of a stream may not know it yet.
    fn new_key_of(&self, id: &StreamId) -> Option<NewKey> {
        let stream = self.directory.stream(id)?;
        let key = self.directory.new_key(&stream.provider)?;
        if key.may_be_unknown(&stream, clock::now()) {
            return Some(key);
        }
        self.poll_keys.forget(id);
        None
    }

    async fn answer(
        &self,
        principal: &Principal,
        id: &StreamId,
        polled: Polled,
    ) -> Result<PollAnswer, RequestError> {
        let claims = polled.sets.iter().map(|set| Arc::clone(&set.claims)).collect();
        // Asked before signing, so that a SET signed with an earlier key does not count.
        let new_key = self.new_key_of(id);
        let spans = spans::sign(polled.sets.iter().map(|set| SetFields::pending(id, set)));
        let signed = self.signer.sign(&principal.provider, claims).await;
        spans.close();
        let signed = signed.map_err(|_| RequestError::Signing)?;
        if let Some(key) = new_key {
            let sets = polled.sets.iter().map(|set| &set.jti);
            self.poll_keys.handed_out(id, key.since, sets);
        }
        let sets = polled.sets.into_iter().zip(signed);
        let parcel = sets.map(|(set, jws)| SignedSet { set, jws }).collect();
        Ok(PollAnswer { parcel, more_available: polled.more })
    }
}

/// Polls a future once, and returns whether it is ready.
async fn is_ready(mut future: Pin<&mut impl Future<Output = ()>>) -> bool {
    poll_fn(|context| Poll::Ready(future.as_mut().poll(context).is_ready())).await
}
