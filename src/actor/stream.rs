//! One actor per push stream with work. It owns a `StreamMachine` and performs what that decides.

use std::{collections::HashMap, sync::Arc, time::Duration};

use actix::{
    Actor, ActorContext, ActorFutureExt, AsyncContext, Context, Handler, Message, ResponseFuture,
    SpawnHandle, WrapFuture,
};
use bytes::Bytes;
use tokio::sync::oneshot;

use crate::{
    actor::signer::Signer,
    clock,
    delivery::{
        machine::{Action, DeliverySettings, Flow, StreamMachine},
        outbox::{Cursor, Disposition, PendingSet, Seq, Settlement},
        outcome::{FailureClass, Outcome},
    },
    directory::{Directory, Revision},
    domain::{
        id::{ProviderName, StreamId},
        stream::{PushEndpoint, StreamConfig},
        time::Timestamp,
    },
    push::client::PushClient,
    store::{Pending, Store, StoreError},
    telemetry::{
        causes::with_causes,
        metrics::{self, Held, Method},
    },
};

/// How long an actor waits before it calls upon a store that failed.
const STORE_RETRY: Duration = Duration::from_secs(1);

/// What all stream actors share.
pub struct Environment {
    pub store: Arc<dyn Store>,
    pub directory: Arc<Directory>,
    pub signer: Signer,
    pub push: PushClient,
    pub settings: DeliverySettings,
}

pub struct StreamActor {
    id: StreamId,
    provider: ProviderName,
    /// The stream, and its subjects, as the machine knows of them.
    revision: Revision,
    machine: StreamMachine,
    /// The signed form of SETs that wait for a retry: the same bytes each time.
    signed: HashMap<Seq, Bytes>,
    tick: Option<SpawnHandle>,
    idle: Option<SpawnHandle>,
    draining: Vec<oneshot::Sender<()>>,
    environment: Arc<Environment>,
    _counted: Held,
}

/// There may be new SETs in the outbox, or the stream was changed.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Wake {
    /// One of the SETs may be a control event.
    pub control: bool,
}

/// Start no further attempt; answered once those under way are over and recorded.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Drain;

impl StreamActor {
    pub fn new(stream: &StreamConfig, environment: Arc<Environment>) -> Self {
        // The revision first: a change that comes between is then noticed.
        let revision = environment.directory.revision(&stream.id);
        let flow = flow(&environment.directory, &stream.id);
        Self {
            id: stream.id.clone(),
            provider: stream.provider.clone(),
            revision,
            machine: StreamMachine::new(environment.settings.clone(), flow),
            signed: HashMap::new(),
            tick: None,
            idle: None,
            draining: Vec::new(),
            environment,
            _counted: metrics::stream_actor(),
        }
    }

    fn perform(&mut self, actions: Vec<Action>, ctx: &mut Context<Self>) {
        for action in actions {
            match action {
                Action::Read { after, limit } => self.read(after, limit, ctx),
                Action::Attempt(sets) => self.sign(sets, ctx),
                Action::Settle(settlements) => self.settle(settlements, ctx),
                Action::TickAt(due_at) => self.tick_at(due_at, ctx),
            }
        }
        self.rest(ctx);
    }

    /// Notices a change of the stream or of its subjects: the machine starts over, and so does what
    /// was kept for it. `false` if there was none.
    fn catch_up(&mut self, ctx: &mut Context<Self>) -> bool {
        let revision = self.environment.directory.revision(&self.id);
        if revision == self.revision {
            return false;
        }
        self.revision = revision;
        self.signed.clear();
        let flow = if self.draining.is_empty() {
            flow(&self.environment.directory, &self.id)
        } else {
            Flow::Nothing
        };
        let actions = self.machine.on_changed(flow, clock::now());
        self.perform(actions, ctx);
        true
    }

    fn read(&mut self, after: Cursor, limit: usize, ctx: &mut Context<Self>) {
        let (store, id) = (Arc::clone(&self.environment.store), self.id.clone());
        let read = async move { store.read_pending(&id, after, limit, clock::now()).await };
        ctx.spawn(read.into_actor(self).map(move |read, actor, ctx| match read {
            Ok(Pending { sets, discarded }) => {
                metrics::events_suppressed(&actor.provider, "subject", discarded);
                let actions = actor.machine.on_read(sets, limit, clock::now());
                actor.perform(actions, ctx);
            }
            Err(error) => {
                actor.machine.on_read_failed();
                actor.store_failed("read_pending", &error, ctx);
            }
        }));
    }

    /// Signs what was not signed before, all in one batch, then pushes each.
    fn sign(&mut self, sets: Vec<PendingSet>, ctx: &mut Context<Self>) {
        let judged_at = self.revision;
        let (mut kept, mut unsigned) = (Vec::new(), Vec::new());
        for set in sets {
            match self.signed.remove(&set.seq) {
                Some(body) => kept.push((set, body)),
                None => unsigned.push(set),
            }
        }
        for (set, body) in kept {
            self.push(set, Some(body), judged_at, ctx);
        }
        if unsigned.is_empty() {
            return;
        }
        let claims = unsigned.iter().map(|set| Arc::clone(&set.claims)).collect();
        let (signer, provider) = (self.environment.signer.clone(), self.provider.clone());
        let sign = async move { signer.sign(&provider, claims).await };
        ctx.spawn(sign.into_actor(self).map(move |bodies, actor, ctx| {
            if let Err(error) = &bodies {
                tracing::error!(stream_id = %actor.id, %error, "cannot sign");
            }
            let bodies = bodies.unwrap_or_default().into_iter().map(Some);
            for (set, body) in unsigned.into_iter().zip(bodies.chain(std::iter::repeat(None))) {
                actor.push(set, body, judged_at, ctx);
            }
        }));
    }

    fn push(
        &mut self,
        set: PendingSet,
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
            (outcome, endpoint, body, began.elapsed())
        };
        ctx.spawn(push.into_actor(self).map(move |(outcome, endpoint, body, took), actor, ctx| {
            metrics::push_duration(&actor.provider, took);
            if matches!(outcome, Outcome::Failed { .. }) && actor.has_left(&endpoint) {
                // The failure says nothing of where the SET goes now.
                metrics::attempt_failed(&actor.provider, outcome.class());
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
        let (disposition, actions) =
            self.machine.on_attempt_ended(set.seq, outcome, now, clock::dice());
        self.report(set, outcome, &disposition, now);
        if let (Disposition::RetryAt { .. }, Some(body)) = (disposition, body) {
            self.signed.insert(set.seq, body);
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
            Disposition::Dead { reason, detail } => {
                metrics::attempt_failed(&self.provider, outcome.class());
                metrics::sets_dead(&self.provider, reason, 1);
                tracing::warn!(%stream_id, %jti, attempts, reason, detail, "dead-lettered");
            }
            Disposition::RetryAt { due_at, error } => {
                metrics::attempt_failed(&self.provider, outcome.class());
                let wait = due_at.since(now);
                tracing::info!(%stream_id, %jti, attempts, error, ?wait, "will be retried");
            }
        }
    }

    fn settle(&mut self, settlements: Vec<Settlement>, ctx: &mut Context<Self>) {
        let (store, id) = (Arc::clone(&self.environment.store), self.id.clone());
        let settle = async move { store.settle(&id, settlements, clock::now()).await };
        ctx.spawn(settle.into_actor(self).map(|settled, actor, ctx| match settled {
            Ok(()) => {
                let actions = actor.machine.on_settled(clock::now());
                actor.perform(actions, ctx);
            }
            Err(error) => {
                actor.machine.on_settle_failed();
                actor.store_failed("settle", &error, ctx);
            }
        }));
    }

    fn tick_at(&mut self, due_at: Timestamp, ctx: &mut Context<Self>) {
        self.tick.take().map(|tick| ctx.cancel_future(tick));
        let wait = due_at.since(clock::now());
        self.tick = Some(ctx.run_later(wait, |actor, ctx| {
            actor.tick = None;
            let actions = actor.machine.on_tick(clock::now());
            actor.perform(actions, ctx);
        }));
    }

    fn store_failed(&self, operation: &'static str, error: &StoreError, ctx: &mut Context<Self>) {
        metrics::store_error(operation);
        tracing::warn!(stream_id = %self.id, operation, error = with_causes(error), "the store failed");
        ctx.run_later(STORE_RETRY, |actor, ctx| {
            let actions = actor.machine.on_tick(clock::now());
            actor.perform(actions, ctx);
        });
    }

    /// Where SETs go now, if they go anywhere.
    fn endpoint(&self) -> Option<PushEndpoint> {
        self.environment.directory.stream(&self.id)?.endpoint().cloned()
    }

    /// Whether the stream's SETs go elsewhere by now.
    fn has_left(&self, endpoint: &PushEndpoint) -> bool {
        let stream = self.environment.directory.stream(&self.id);
        stream.is_some_and(|stream| stream.endpoint() != Some(endpoint))
    }

    /// Ends a drain that is complete, and lets an actor go that has had nothing to do for a while.
    fn rest(&mut self, ctx: &mut Context<Self>) {
        if !self.draining.is_empty() && self.machine.is_quiet() {
            for waiting in self.draining.drain(..) {
                // Whoever waited may have given up.
                waiting.send(()).ok();
            }
            ctx.stop();
        }
        if !self.machine.is_idle() {
            self.idle.take().map(|idle| ctx.cancel_future(idle));
        } else if self.idle.is_none() {
            self.idle =
                Some(ctx.run_later(self.environment.settings.idle_timeout, |_, ctx| ctx.stop()));
        }
    }
}

/// What a stream lets through now; nothing if it is gone.
fn flow(directory: &Directory, id: &StreamId) -> Flow {
    directory.stream(id).map_or(Flow::Nothing, |stream| Flow::of(&stream))
}

impl Actor for StreamActor {
    type Context = Context<Self>;
}

impl Handler<Wake> for StreamActor {
    type Result = ();

    fn handle(&mut self, wake: Wake, ctx: &mut Self::Context) {
        if !self.catch_up(ctx) {
            let actions = self.machine.on_wake(wake.control, clock::now());
            self.perform(actions, ctx);
        }
    }
}

impl Handler<Drain> for StreamActor {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: Drain, ctx: &mut Self::Context) -> ResponseFuture<()> {
        let (done, drained) = oneshot::channel();
        self.draining.push(done);
        self.machine.hold();
        self.rest(ctx);
        Box::pin(async move {
            // A sender that is dropped went with its actor, which then has nothing under way.
            drained.await.ok();
        })
    }
}
