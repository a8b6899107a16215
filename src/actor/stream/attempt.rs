//! One attempt: a signature, room at the host, a push, and what came of it.

use std::{iter::repeat, sync::Arc, time::Duration};

use actix::{ActorFutureExt, AsyncContext, Context, WrapFuture};
use bytes::Bytes;

use super::{Destination, StreamActor};
use crate::{
    actor::hosts::Room,
    clock,
    delivery::{
        machine::Verdict,
        outbox::{Disposition, PendingSet},
        outcome::{FailureClass, Outcome},
    },
    domain::time::Timestamp,
    telemetry::metrics::{self, MethodLabel},
};

/// A push is over: what the Receiver said of the SET, or that it said nothing in time.
pub(super) struct Ended {
    set: PendingSet,
    destination: Destination,
    body: Bytes,
    outcome: Outcome,
    took: Duration,
}

impl StreamActor {
    /// Starts as many attempts as there are signatures and room for. For the others room is waited
    /// for, not by these SETs but by the stream: which ones go is decided when it is there.
    pub(super) fn start_attempts(&mut self, count: usize, ctx: &mut Context<Self>) {
        // Judged at the last moment: the stream may have been paused, deleted or moved, or the
        // subject removed from it. What can start is then said anew.
        if self.catch_up(ctx) {
            return;
        }
        let Some(destination) = self.destination.clone() else { return };
        if !self.may_begin(ctx) {
            return;
        }
        self.sign(count, ctx);
        let signed = self.machine.ready().take_while(|set| self.signatures.has(set.seq));
        let signed = signed.take(count).count();
        let mut rooms = std::mem::take(&mut self.granted);
        rooms.retain(|room| room.is_at(&destination.host));
        self.granted = rooms.split_off(signed.min(rooms.len()));
        let waiting = || ctx.address().recipient();
        let more = signed - rooms.len();
        rooms.extend(self.environment.hosts.claim(&destination.host, &self.id, more, waiting));
        for (set, room) in self.machine.start(rooms.len(), clock::now()).into_iter().zip(rooms) {
            if let Some(body) = self.signatures.take(set.seq) {
                self.push(set, room, destination.clone(), body);
            } else {
                let why = "the SET could not be signed";
                let outcome = Outcome::failed(FailureClass::Signing, why);
                self.attempt_ended(&set, None, &outcome, ctx);
            }
        }
    }

    /// Has signatures made for what goes out next.
    fn sign(&mut self, count: usize, ctx: &mut Context<Self>) {
        for batch in self.signatures.ask(self.machine.ready(), count) {
            let seqs: Vec<_> = batch.iter().map(|set| set.seq).collect();
            let claims = batch.iter().map(|set| Arc::clone(&set.claims)).collect();
            let (signer, provider) = (self.environment.signer.clone(), self.provider.clone());
            let sign = async move { signer.sign(&provider, claims).await };
            ctx.spawn(sign.into_actor(self).map(move |bodies, actor, ctx| {
                if let Err(error) = &bodies {
                    tracing::error!(stream_id = %actor.id, %error, "cannot sign");
                }
                let bodies = bodies.unwrap_or_default().into_iter().map(Some);
                actor.signatures.arrived(seqs.into_iter().zip(bodies.chain(repeat(None))));
                let actions = actor.machine.on_tick(clock::now());
                actor.perform(actions, ctx);
            }));
        }
    }

    /// A task of its own: a context looks at all that runs within it whenever something of it moves.
    fn push(&self, set: PendingSet, room: Room, destination: Destination, body: Bytes) {
        let client = self.environment.push.for_stream(&destination.stream);
        let tell_ended = self.tell_ended.clone();
        actix::spawn(async move {
            let began = clock::instant();
            let outcome = client.push(destination.endpoint(), body.clone()).await;
            let took = began.elapsed();
            room.give_back(&outcome);
            // An actor that died has no use for it; the SET is found in the store.
            tell_ended.send(Ended { set, destination, body, outcome, took }).ok();
        });
    }

    pub(super) fn push_ended(&mut self, ended: Ended, ctx: &mut Context<Self>) {
        let Ended { set, destination, body, outcome, took } = ended;
        metrics::push_duration(&self.provider, took);
        if matches!(outcome, Outcome::Failed { .. })
            && destination.is_left(&self.environment.directory)
        {
            // The failure says nothing of where the SET goes now.
            metrics::push_attempt(&self.provider, outcome.class());
            let actions = self.machine.on_attempt_withdrawn(set.seq, clock::now());
            return self.perform(actions, ctx);
        }
        self.attempt_ended(&set, Some(body), &outcome, ctx);
    }

    fn attempt_ended(
        &mut self,
        set: &PendingSet,
        body: Option<Bytes>,
        outcome: &Outcome,
        ctx: &mut Context<Self>,
    ) {
        let now = clock::now();
        metrics::push_attempt(&self.provider, outcome.class());
        let (verdict, actions) =
            self.machine.on_attempt_ended(set.seq, outcome, now, clock::dice());
        match &verdict {
            Verdict::Settle(disposition) => self.report(set, outcome, disposition, now),
            Verdict::SignAgain => {
                tracing::info!(stream_id = %self.id, jti = %set.jti, "will be signed again");
            }
        }
        if let (Verdict::Settle(Disposition::RetryAt { .. }), Some(body)) = (verdict, body)
            // One whose signature was refused is signed anew if it is ever sent again.
            && !matches!(outcome, Outcome::Refused(_))
        {
            self.signatures.keep(set.seq, body, self.environment.settings.window_max);
        }
        self.perform(actions, ctx);
    }

    fn report(&self, set: &PendingSet, outcome: &Outcome, end: &Disposition, now: Timestamp) {
        let (stream_id, jti, attempts) = (&self.id, &set.jti, set.attempts + 1);
        match end {
            Disposition::Delivered => {
                let age = now.since(set.appended_at);
                metrics::sets_delivered(&self.provider, MethodLabel::Push, 1);
                metrics::set_age(&self.provider, MethodLabel::Push, age);
                if !matches!(outcome, Outcome::Accepted { status: 202 }) {
                    metrics::push_deviation(&self.provider);
                }
                tracing::debug!(%stream_id, %jti, attempts, "delivered");
            }
            Disposition::Dead { reason, detail } | Disposition::GivenUp { reason, detail } => {
                metrics::sets_dead(&self.provider, *reason, 1);
                tracing::warn!(%stream_id, %jti, attempts, %reason, detail, "dead-lettered");
            }
            Disposition::RetryAt { due_at, error } => {
                let wait = due_at.since(now);
                tracing::info!(%stream_id, %jti, attempts, error, ?wait, "will be retried");
            }
        }
    }
}
