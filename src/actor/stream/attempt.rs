//! One attempt: room at the host, a signature, a push, and what came of it.

use std::sync::Arc;

use actix::{ActorFutureExt, AsyncContext, Context, WrapFuture};
use bytes::Bytes;

use super::StreamActor;
use crate::{
    actor::hosts::Room,
    clock,
    delivery::{
        machine::Verdict,
        outbox::{Disposition, PendingSet},
        outcome::{FailureClass, Outcome},
    },
    directory::Revision,
    domain::time::Timestamp,
    telemetry::metrics::{self, Method},
};

/// A SET, and the room for the attempt at it.
type Attempt = (PendingSet, Room);

impl StreamActor {
    /// Starts as many attempts as there is room for. For the others room is waited for, not by
    /// these SETs but by the stream: which ones go is decided when it is there.
    pub(super) fn start_attempts(&mut self, count: usize, ctx: &mut Context<Self>) {
        let Some(endpoint) = self.endpoint() else {
            // The stream was changed a moment ago, and is about to hear of it.
            return;
        };
        if !self.may_begin(ctx) {
            return;
        }
        let host = endpoint.origin();
        let mut rooms = std::mem::take(&mut self.granted);
        rooms.retain(|room| room.is_at(&host));
        let waiting = || ctx.address().recipient();
        let more = count.saturating_sub(rooms.len());
        rooms.extend(self.environment.hosts.claim(&host, &self.id, more, waiting));
        let started = self.machine.start(rooms.len(), clock::now());
        self.sign(started.into_iter().zip(rooms).collect(), ctx);
    }

    /// Signs what was not signed before, all in one batch, then pushes each.
    fn sign(&mut self, attempts: Vec<Attempt>, ctx: &mut Context<Self>) {
        let judged_at = self.revision;
        let (mut kept, mut unsigned) = (Vec::new(), Vec::new());
        for attempt in attempts {
            match self.signed.remove(&attempt.0.seq) {
                Some(body) => kept.push((attempt, body)),
                None => unsigned.push(attempt),
            }
        }
        for (attempt, body) in kept {
            self.push(attempt, Some(body), judged_at, ctx);
        }
        if unsigned.is_empty() {
            return;
        }
        let claims = unsigned.iter().map(|(set, _)| Arc::clone(&set.claims)).collect();
        let (signer, provider) = (self.environment.signer.clone(), self.provider.clone());
        let sign = async move { signer.sign(&provider, claims).await };
        ctx.spawn(sign.into_actor(self).map(move |bodies, actor, ctx| {
            if let Err(error) = &bodies {
                tracing::error!(stream_id = %actor.id, %error, "cannot sign");
            }
            let bodies = bodies.unwrap_or_default().into_iter().map(Some);
            for (attempt, body) in unsigned.into_iter().zip(bodies.chain(std::iter::repeat(None))) {
                actor.push(attempt, body, judged_at, ctx);
            }
        }));
    }

    fn push(
        &mut self,
        (set, room): Attempt,
        body: Option<Bytes>,
        judged_at: Revision,
        ctx: &mut Context<Self>,
    ) {
        // Judged at the last moment: the stream may have been paused, deleted or moved, or the
        // subject removed from it.
        self.catch_up(ctx);
        let unchanged = self.revision == judged_at;
        let Some(endpoint) = self.endpoint().filter(|_| unchanged) else {
            let actions = self.machine.on_attempt_withdrawn(set.seq, clock::now());
            return self.perform(actions, ctx);
        };
        let Some(body) = body else {
            let outcome = Outcome::failed(FailureClass::Signing, "the SET could not be signed");
            return self.attempt_ended(&set, None, &outcome, ctx);
        };
        let client = self.environment.push.clone();
        let push = async move {
            let began = clock::instant();
            let outcome = client.push(&endpoint, body.clone()).await;
            room.give_back(&outcome);
            (outcome, endpoint, body, began.elapsed())
        };
        ctx.spawn(push.into_actor(self).map(move |(outcome, endpoint, body, took), actor, ctx| {
            metrics::push_duration(&actor.provider, took);
            if matches!(outcome, Outcome::Failed { .. }) && actor.has_left(&endpoint) {
                // The failure says nothing of where the SET goes now.
                metrics::push_attempt(&actor.provider, outcome.class());
                let actions = actor.machine.on_attempt_withdrawn(set.seq, clock::now());
                return actor.perform(actions, ctx);
            }
            actor.attempt_ended(&set, Some(body), &outcome, ctx);
        }));
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
            self.signed.insert(set.seq, body);
            while self.environment.settings.window_max < self.signed.len() {
                self.signed.pop_first();
            }
        }
        self.perform(actions, ctx);
    }

    fn report(&self, set: &PendingSet, outcome: &Outcome, end: &Disposition, now: Timestamp) {
        let (stream_id, jti, attempts) = (&self.id, &set.jti, set.attempts + 1);
        match end {
            Disposition::Delivered => {
                let age = now.since(set.appended_at);
                metrics::sets_delivered(&self.provider, Method::Push, 1);
                metrics::set_age(&self.provider, Method::Push, age);
                if !matches!(outcome, Outcome::Accepted { status: 202 }) {
                    metrics::push_deviation(&self.provider);
                }
                tracing::debug!(%stream_id, %jti, attempts, "delivered");
            }
            Disposition::Dead { reason, detail } | Disposition::GivenUp { reason, detail } => {
                metrics::sets_dead(&self.provider, reason, 1);
                tracing::warn!(%stream_id, %jti, attempts, reason, detail, "dead-lettered");
            }
            Disposition::RetryAt { due_at, error } => {
                let wait = due_at.since(now);
                tracing::info!(%stream_id, %jti, attempts, error, ?wait, "will be retried");
            }
        }
    }
}
