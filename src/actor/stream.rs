//! One actor per push stream with work. It owns a `StreamMachine` and performs what that decides.

mod attempt;
mod signatures;

use std::{sync::Arc, time::Duration};

use actix::{
    Actor, ActorContext, ActorFutureExt, AsyncContext, Context, Handler, Message, MessageResult,
    ResponseFuture, SpawnHandle, StreamHandler, WrapFuture,
};
use futures_util::{StreamExt as _, stream::poll_fn};
use tokio::sync::{mpsc, oneshot};

use self::{attempt::Ended, signatures::Signatures};
use crate::{
    actor::{
        hosts::{Granted, Hosts, Room},
        signer::Signer,
    },
    clock,
    cluster::lease::Lease,
    delivery::{
        courier::{CourierReport, RoomReport},
        fault::Fault,
        machine::{Action, Change, Flow, StreamMachine},
        outbox::{OutboxQuery, Settlement},
        settings::DeliverySettings,
    },
    directory::{Directory, Revision},
    domain::{
        id::{ProviderName, StreamId},
        reason::Reason,
        stream::{PushEndpoint, StreamConfig},
        time::Timestamp,
    },
    push::clients::PushClients,
    store::{Due, Outbox, StoreError},
    telemetry::{
        causes::with_causes,
        metrics::{self, GaugeGuard},
    },
};

/// How long an actor waits before it calls upon a store that failed.
const STORE_RETRY: Duration = Duration::from_secs(1);

/// What all stream actors share.
pub struct Environment {
    pub store: Arc<dyn Outbox>,
    pub directory: Arc<Directory>,
    pub lease: Arc<Lease>,
    pub signer: Signer,
    pub push: PushClients,
    pub hosts: Arc<Hosts>,
    /// Where it is told that an endpoint is at fault.
    pub faults: mpsc::Sender<EndpointFault>,
    pub settings: DeliverySettings,
}

/// An endpoint is at fault: its stream is to be paused.
#[derive(Debug)]
pub struct EndpointFault {
    pub stream: StreamId,
    /// The version of the stream with that endpoint.
    pub version: u64,
    pub fault: Fault,
    /// Whether the stream was paused, or changed otherwise meanwhile.
    pub done: oneshot::Sender<bool>,
}

pub struct StreamActor {
    id: StreamId,
    provider: ProviderName,
    /// The stream, and its subjects, as the machine knows of them.
    revision: Revision,
    /// Where SETs go by that, if they go anywhere.
    destination: Option<Destination>,
    machine: StreamMachine,
    signatures: Signatures,
    /// Room at the endpoint's host, until the machine is next asked while nothing is being read or
    /// signed.
    granted: Vec<Room>,
    /// What is to be read once there is room.
    awaiting_room: Option<OutboxQuery>,
    /// How attempts tell that they are over; at most as many as are in flight.
    tell_ended: mpsc::UnboundedSender<Ended>,
    /// Until the actor has started.
    ended: Option<mpsc::UnboundedReceiver<Ended>>,
    tick: Option<SpawnHandle>,
    /// Until it is looked again whether this node may begin attempts.
    unsure: Option<SpawnHandle>,
    idle: Option<SpawnHandle>,
    draining: Vec<oneshot::Sender<()>>,
    environment: Arc<Environment>,
    /// Counts the stream while its endpoint is cut off.
    cut_off: Option<GaugeGuard>,
    _counted: GaugeGuard,
}

/// The endpoint of a stream, and the host that it is at.
///
/// Invariant: it is a push stream.
#[derive(Clone)]
struct Destination {
    stream: Arc<StreamConfig>,
    host: Arc<str>,
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

/// Asks how the pushing of the stream stands.
#[derive(Debug, Message)]
#[rtype(result = "CourierReport")]
pub struct Report;

impl StreamActor {
    pub fn new(stream: &StreamConfig, environment: Arc<Environment>) -> Self {
        // The revision first: a change that comes between is then noticed.
        let revision = environment.directory.revision(&stream.id);
        let flow = flow(&environment.directory, &stream.id);
        let (tell_ended, ended) = mpsc::unbounded_channel();
        Self {
            id: stream.id.clone(),
            provider: stream.provider.clone(),
            revision,
            destination: Destination::of(&environment.directory, &stream.id),
            machine: StreamMachine::new(environment.settings.clone(), flow),
            signatures: Signatures::default(),
            granted: Vec::new(),
            awaiting_room: None,
            tell_ended,
            ended: Some(ended),
            tick: None,
            unsure: None,
            idle: None,
            draining: Vec::new(),
            environment,
            cut_off: None,
            _counted: metrics::stream_actor(),
        }
    }

    fn perform(&mut self, actions: Vec<Action>, ctx: &mut Context<Self>) {
        for action in actions {
            match action {
                Action::Read(reading) => self.read(reading, ctx),
                Action::Attempt { count } => self.start_attempts(count, ctx),
                Action::Settle(settlements) => self.settle(settlements, ctx),
                Action::GivenUp(sets) => {
                    self.signatures.forget(&sets);
                    metrics::sets_dead(&self.provider, Reason::Expired, sets.len());
                    let (stream_id, sets) = (&self.id, sets.len());
                    tracing::warn!(%stream_id, sets, reason = %Reason::Expired, "dead-lettered untried");
                }
                Action::Pause(fault) => self.pause(fault, ctx),
                Action::TickAt(due_at) => self.tick_at(due_at, ctx),
            }
        }
        // What the machine has no use for is for others. It has for what is only being read or signed: a
        // stream that gave its room back then would go to the end of the queue, with its SETs in memory.
        if !self.machine.is_reading() && !self.signatures.are_awaited() {
            self.granted.clear();
        }
        self.report_reach();
        self.rest(ctx);
    }

    /// Notices a change of the stream or of its subjects: the machine starts over, and so does what
    /// was kept for it. `false` if there was none.
    fn catch_up(&mut self, ctx: &mut Context<Self>) -> bool {
        let revision = self.environment.directory.revision(&self.id);
        if revision == self.revision {
            return false;
        }
        let same = revision.version() == self.revision.version();
        let change = if same { Change::Subjects } else { Change::Stream };
        self.revision = revision;
        self.destination = Destination::of(&self.environment.directory, &self.id);
        self.signatures.clear();
        let flow = if self.draining.is_empty() {
            flow(&self.environment.directory, &self.id)
        } else {
            Flow::Nothing
        };
        let actions = self.machine.on_changed(change, flow, clock::now());
        self.perform(actions, ctx);
        if let Some(reading) = self.awaiting_room.take() {
            // The host may be another one by now.
            self.read(reading, ctx);
        }
        true
    }

    /// A stream with nothing in memory reads once there is room at its host for what it finds: of all
    /// the streams of a host only so many are read at a time, and hold SETs.
    fn read(&mut self, reading: OutboxQuery, ctx: &mut Context<Self>) {
        if let Some(destination) = &self.destination
            && self.machine.holds_nothing()
            && !self.granted.iter().any(|room| room.is_at(&destination.host))
        {
            let waiting = || ctx.address().recipient();
            let hosts = &self.environment.hosts;
            match hosts.claim(&destination.host, &self.id, 1, waiting).pop() {
                Some(room) => self.granted.push(room),
                None => return self.awaiting_room = Some(reading),
            }
        }
        self.read_now(reading, ctx);
    }

    fn read_now(&mut self, reading: OutboxQuery, ctx: &mut Context<Self>) {
        let (store, id) = (Arc::clone(&self.environment.store), self.id.clone());
        let read = async move { store.read_due(&id, reading, clock::now()).await };
        ctx.spawn(read.into_actor(self).map(|read, actor, ctx| match read {
            Ok(Due { sets, next_retry, discarded }) => {
                metrics::events_suppressed(&actor.provider, Reason::Subject, discarded);
                let actions = actor.machine.on_read(sets, next_retry, clock::now());
                actor.perform(actions, ctx);
            }
            Err(error) => {
                actor.granted.clear();
                actor.machine.on_read_failed();
                actor.store_failed("read_due", &error, ctx);
            }
        }));
    }

    fn settle(&mut self, settlements: Vec<Settlement>, ctx: &mut Context<Self>) {
        let (store, id) = (Arc::clone(&self.environment.store), self.id.clone());
        let settle = async move { store.settle(&id, settlements, clock::now()).await };
        ctx.spawn(settle.into_actor(self).map(|settled, actor, ctx| match settled {
            Ok(lane_goes_on) => {
                let actions = actor.machine.on_settled(lane_goes_on, clock::now());
                actor.perform(actions, ctx);
            }
            Err(error) => {
                actor.machine.on_settle_failed();
                actor.store_failed("settle", &error, ctx);
            }
        }));
    }

    fn report_reach(&mut self) {
        match (self.cut_off.is_some(), self.machine.is_cut_off()) {
            (false, true) => {
                self.cut_off = Some(metrics::endpoint_cut_off());
                tracing::warn!(stream_id = %self.id, "the endpoint is out of reach, and probed");
            }
            (true, false) => {
                self.cut_off = None;
                tracing::info!(stream_id = %self.id, "the endpoint is no longer cut off");
            }
            (false, false) | (true, true) => {}
        }
    }

    /// Asks for the stream to be paused. The machine starts nothing until that is done, or is not.
    fn pause(&mut self, fault: Fault, ctx: &mut Context<Self>) {
        tracing::warn!(stream_id = %self.id, %fault, "the endpoint is at fault");
        let (done, answer) = oneshot::channel();
        let (stream, version) = (self.id.clone(), self.revision.version());
        let faults = self.environment.faults.clone();
        let ask = async move {
            faults.send(EndpointFault { stream, version, fault, done }).await.ok();
            answer.await.unwrap_or(false)
        };
        ctx.spawn(ask.into_actor(self).map(|done, actor, ctx| {
            if done {
                actor.catch_up(ctx);
            } else {
                ctx.run_later(STORE_RETRY, |actor, ctx| {
                    let actions = actor.machine.on_pause_failed(clock::now());
                    actor.perform(actions, ctx);
                });
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

    /// Whether attempts may begin. If not, it is looked again in a moment: the lease may be confirmed
    /// by then, or this actor is told to end.
    fn may_begin(&mut self, ctx: &mut Context<Self>) -> bool {
        let serves = self.environment.lease.serves(&self.id, clock::instant());
        if !serves && self.unsure.is_none() {
            self.unsure = Some(ctx.run_later(STORE_RETRY, |actor, ctx| {
                actor.unsure = None;
                let actions = actor.machine.on_tick(clock::now());
                actor.perform(actions, ctx);
            }));
        }
        serves
    }

    fn store_failed(&self, operation: &'static str, error: &StoreError, ctx: &mut Context<Self>) {
        if let StoreError::Fenced = error {
            // What is under way here, the node that serves the stream now begins again.
            tracing::info!(stream_id = %self.id, operation, "another node serves this stream now");
            if self.draining.is_empty() {
                // Else it is known that the slot was lost, and by now this node may have it again.
                self.environment.lease.report_fenced(&self.id);
            }
            return ctx.stop();
        }
        metrics::store_error(operation);
        tracing::warn!(stream_id = %self.id, operation, error = with_causes(error), "the store failed");
        ctx.run_later(STORE_RETRY, |actor, ctx| {
            let actions = actor.machine.on_tick(clock::now());
            actor.perform(actions, ctx);
        });
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

impl Destination {
    fn of(directory: &Directory, id: &StreamId) -> Option<Self> {
        let stream = directory.stream(id)?;
        let host = stream.endpoint()?.origin();
        Some(Self { stream, host })
    }

    fn endpoint(&self) -> &PushEndpoint {
        self.stream.endpoint().expect("it is none without")
    }

    /// Whether the stream's SETs go elsewhere by now.
    fn is_left(&self, directory: &Directory) -> bool {
        let stream = directory.stream(&self.stream.id);
        stream.is_some_and(|stream| stream.endpoint() != self.stream.endpoint())
    }
}

impl Actor for StreamActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        let mut ended = self.ended.take().expect("an actor starts once");
        let ended = poll_fn(move |task| ended.poll_recv(task));
        ctx.add_stream(ended.ready_chunks(self.environment.settings.in_flight_max.max(1)));
    }
}

impl StreamHandler<Vec<Ended>> for StreamActor {
    fn handle(&mut self, ended: Vec<Ended>, ctx: &mut Self::Context) {
        for attempt in ended {
            self.push_ended(attempt, ctx);
        }
    }
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

impl Handler<Granted> for StreamActor {
    type Result = ();

    fn handle(&mut self, Granted(room): Granted, ctx: &mut Self::Context) {
        let at = |destination: &Destination| room.is_at(&destination.host);
        let is_here = self.destination.as_ref().is_some_and(at);
        self.granted.push(room);
        if is_here && let Some(reading) = self.awaiting_room.take() {
            return self.read_now(reading, ctx);
        }
        let actions = self.machine.on_tick(clock::now());
        self.perform(actions, ctx);
    }
}

impl Handler<Report> for StreamActor {
    type Result = MessageResult<Report>;

    fn handle(&mut self, _: Report, _: &mut Self::Context) -> Self::Result {
        let awaited = usize::from(self.awaiting_room.is_some());
        let room = RoomReport { held: self.granted.len(), awaited };
        MessageResult(self.machine.report(room, !self.draining.is_empty()))
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
