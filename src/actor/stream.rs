//! One actor per push stream with work. It owns a [`Courier`] and performs the actions that this
//! decides on: [`StreamActor`] turns each message and each answer into an input of the courier.

mod environment;
mod messages;
mod notes;

use std::{sync::Arc, time::Duration};

use actix::{ActorContext, ActorFutureExt, AsyncContext, Context, SpawnHandle, WrapFuture};
use tokio::sync::{mpsc, oneshot};

pub use self::{
    environment::{EndpointFault, Environment},
    messages::{Drain, Report, Wake},
};
use crate::{
    actor::hosts::Room,
    clock,
    delivery::{
        courier::{Attempt, Attempted, Courier, CourierAction, SigningBatch, StoreFailure, View},
        fault::Fault,
        outbox::{OutboxQuery, Seq, Settlement},
    },
    domain::{
        id::{ProviderName, StreamId},
        reason::Reason,
        stream::StreamConfig,
        time::Timestamp,
    },
    store::{Due, StoreError, requested},
    telemetry::{
        causes::with_causes,
        metrics::{self, GaugeGuard},
        spans::{self, SetFields},
    },
};

pub struct StreamActor {
    id: StreamId,
    provider: ProviderName,
    courier: Courier,
    /// The room that the courier counts.
    rooms: Vec<Room>,
    /// How attempts tell that they are over; at most as many as are in flight.
    tell_ended: mpsc::UnboundedSender<Ended>,
    /// Until the actor has started.
    ended: Option<mpsc::UnboundedReceiver<Ended>>,
    tick: Option<SpawnHandle>,
    draining: Vec<oneshot::Sender<()>>,
    environment: Arc<Environment>,
    /// Counts the stream while its endpoint is cut off.
    cut_off: Option<GaugeGuard>,
    _counted: GaugeGuard,
}

/// A push is over: what the Receiver said of the SETs, or that it said nothing in time.
struct Ended {
    attempted: Attempted,
    took: Duration,
}

impl StreamActor {
    pub fn new(stream: &StreamConfig, environment: Arc<Environment>) -> Self {
        let (tell_ended, ended) = mpsc::unbounded_channel();
        let view = environment.view(&stream.id);
        Self {
            id: stream.id.clone(),
            provider: stream.provider.clone(),
            courier: Courier::new(environment.settings.clone(), &view),
            rooms: Vec::new(),
            tell_ended,
            ended: Some(ended),
            tick: None,
            draining: Vec::new(),
            environment,
            cut_off: None,
            _counted: metrics::stream_actor(),
        }
    }

    /// Gives the courier an input, and performs the actions that follow.
    fn input(&mut self, ctx: &mut Context<Self>, input: impl FnOnce(&mut Courier, &View)) {
        let view = self.environment.view(&self.id);
        input(&mut self.courier, &view);
        while let Some(action) = self.courier.next_action() {
            self.perform(action, &view, ctx);
        }
    }

    fn perform(&mut self, action: CourierAction, view: &View, ctx: &mut Context<Self>) {
        match action {
            CourierAction::Read(query) => self.read(query, ctx),
            CourierAction::Claim { host, count } => {
                let waiting = || ctx.address().recipient();
                let rooms = self.environment.hosts.claim(&host, &self.id, count, waiting);
                let granted = rooms.len();
                self.rooms.extend(rooms);
                self.courier.on_claimed(granted, view);
            }
            CourierAction::Release { host, count } => {
                for _ in 0..count {
                    drop(self.take_room(&host));
                }
            }
            CourierAction::Sign(batch) => self.sign(batch, ctx),
            CourierAction::Push(attempt) => self.push(attempt),
            CourierAction::Settle(settlements) => self.settle(settlements, ctx),
            CourierAction::Pause { version, fault } => self.pause(version, fault, ctx),
            CourierAction::TickAt(at) => self.tick_at(at, view, ctx),
            CourierAction::LeaseLost => self.environment.lease.report_fenced(&self.id),
            CourierAction::Stop => {
                // A sender that is dropped tells those who wait for the drain that it is over.
                self.draining.clear();
                ctx.stop();
            }
            CourierAction::Note(note) => self.note(note),
        }
    }

    fn read(&self, query: OutboxQuery, ctx: &mut Context<Self>) {
        let (store, stream) =
            (Arc::clone(&self.environment.store), self.environment.directory.stream(&self.id));
        let began = spans::begin();
        let read = async move {
            match stream {
                Some(stream) => requested::read_due(&*store, &stream, &query, clock::now()).await,
                None => Ok(Due::default()),
            }
        };
        ctx.spawn(read.into_actor(self).map(move |read, actor, ctx| match read {
            Ok(Due { sets, next_retry, discarded, unrequested }) => {
                spans::read(sets.iter().map(|set| SetFields::pending(&actor.id, set)), began);
                metrics::events_suppressed(&actor.provider, Reason::Subject, discarded);
                metrics::events_suppressed(&actor.provider, Reason::NotRequested, unrequested);
                actor.input(ctx, |courier, view| courier.on_read(sets, next_retry, view));
            }
            Err(error) => {
                let failure = actor.store_failed("read_due", &error);
                actor.input(ctx, |courier, view| courier.on_read_failed(failure, view));
            }
        }));
    }

    fn sign(&self, mut batch: SigningBatch, ctx: &mut Context<Self>) {
        let (signer, provider) = (self.environment.signer.clone(), self.provider.clone());
        let claims = std::mem::take(&mut batch.claims);
        let spans = spans::sign(self.fields(batch.seqs()));
        let sign = async move {
            let _until_signed = spans;
            signer.sign(&provider, claims).await
        };
        ctx.spawn(sign.into_actor(self).map(move |signed, actor, ctx| match signed {
            Ok(sets) => actor.input(ctx, |courier, view| courier.on_signed(&batch, sets, view)),
            Err(error) => {
                tracing::error!(stream_id = %actor.id, %error, "cannot sign");
                let dice = clock::dice();
                actor.input(ctx, |courier, view| courier.on_signing_failed(&batch, dice, view));
            }
        }));
    }

    /// Pushes in a task of its own: a context polls all that runs within it whenever something of it
    /// moves.
    fn push(&mut self, attempt: Attempt) {
        let room = self.take_room(attempt.destination.host());
        let client = self.environment.push.for_stream(attempt.destination.stream());
        let tell_ended = self.tell_ended.clone();
        let sets = attempt.parcel.sets().iter();
        let spans = spans::push(sets.map(|one| SetFields::pending(&self.id, &one.set)));
        actix::spawn(async move {
            let began = clock::instant();
            let (stream, endpoint) = (attempt.destination.stream(), attempt.destination.endpoint());
            let outcomes = client.deliver(stream, endpoint, &attempt.parcel).await;
            let took = began.elapsed();
            spans.close();
            room.give_back(&outcomes);
            // An actor that died has no use for the outcome; the SET is found in the store.
            tell_ended.send(Ended { attempted: Attempted { attempt, outcomes }, took }).ok();
        });
    }

    fn settle(&self, settlements: Vec<Settlement>, ctx: &mut Context<Self>) {
        let (store, id) = (Arc::clone(&self.environment.store), self.id.clone());
        let spans = spans::settle(self.fields(settlements.iter().map(|one| one.seq)));
        let settle = async move {
            let _until_recorded = spans;
            store.settle(&id, settlements, clock::now()).await
        };
        ctx.spawn(settle.into_actor(self).map(|settled, actor, ctx| match settled {
            Ok(lane_goes_on) => {
                actor.input(ctx, |courier, view| courier.on_settled(lane_goes_on, view));
            }
            Err(error) => {
                let failure = actor.store_failed("settle", &error);
                actor.input(ctx, |courier, view| courier.on_settle_failed(failure, view));
            }
        }));
    }

    /// Returns SETs of the window, as their spans name them.
    fn fields(&self, seqs: impl Iterator<Item = Seq>) -> impl Iterator<Item = SetFields<'_>> {
        seqs.filter_map(|seq| self.courier.set(seq)).map(|set| SetFields::pending(&self.id, set))
    }

    /// Asks for the stream to be paused.
    fn pause(&self, version: u64, fault: Fault, ctx: &mut Context<Self>) {
        tracing::warn!(stream_id = %self.id, %fault, "the endpoint is at fault");
        let (done, answer) = oneshot::channel();
        let (stream, faults) = (self.id.clone(), self.environment.faults.clone());
        let ask = async move {
            faults.send(EndpointFault { stream, version, fault, done }).await.ok();
            answer.await.unwrap_or(false)
        };
        ctx.spawn(ask.into_actor(self).map(|done, actor, ctx| {
            actor.input(ctx, |courier, view| courier.on_pause_ended(done, view));
        }));
    }

    fn tick_at(&mut self, at: Timestamp, view: &View, ctx: &mut Context<Self>) {
        self.tick.take().map(|tick| ctx.cancel_future(tick));
        self.tick = Some(ctx.run_later(at.since(view.now), |actor, ctx| {
            actor.tick = None;
            actor.input(ctx, Courier::on_tick);
        }));
    }

    fn take_room(&mut self, host: &str) -> Room {
        let place = self.rooms.iter().position(|room| room.is_at(host));
        self.rooms.swap_remove(place.expect("the courier counts the room that is here"))
    }

    fn store_failed(&self, operation: &'static str, error: &StoreError) -> StoreFailure {
        let stream_id = &self.id;
        if let StoreError::Fenced = error {
            tracing::info!(%stream_id, operation, "another node serves this stream now");
            return StoreFailure::Fenced;
        }
        metrics::store_error(operation);
        tracing::warn!(%stream_id, operation, error = with_causes(error), "the store failed");
        StoreFailure::Unavailable
    }
}
