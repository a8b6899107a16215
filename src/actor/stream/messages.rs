//! The messages to a stream actor, each of which becomes an input of its courier.

use std::sync::Arc;

use actix::{
    Actor, AsyncContext, Context, Handler, Message, MessageResult, ResponseFuture, StreamHandler,
};
use futures_util::{StreamExt as _, stream::poll_fn};
use tokio::sync::oneshot;

use super::{Ended, StreamActor};
use crate::{
    actor::hosts::Granted,
    clock,
    delivery::courier::{Courier, CourierReport},
    telemetry::metrics,
};

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
        for one in &ended {
            metrics::push_duration(&self.provider, one.took);
        }
        let ended = ended.into_iter().map(|one| one.attempted).collect();
        let dice = clock::dice();
        self.input(ctx, |courier, view| courier.on_attempts_ended(ended, dice, view));
    }
}

impl Handler<Wake> for StreamActor {
    type Result = ();

    fn handle(&mut self, wake: Wake, ctx: &mut Self::Context) {
        self.input(ctx, |courier, view| courier.on_wake(wake.control, view));
    }
}

impl Handler<Granted> for StreamActor {
    type Result = ();

    fn handle(&mut self, Granted(room): Granted, ctx: &mut Self::Context) {
        let host = Arc::clone(room.host());
        self.rooms.push(room);
        self.input(ctx, |courier, view| courier.on_room(&host, view));
    }
}

impl Handler<Report> for StreamActor {
    type Result = MessageResult<Report>;

    fn handle(&mut self, _: Report, _: &mut Self::Context) -> Self::Result {
        MessageResult(self.courier.report())
    }
}

impl Handler<Drain> for StreamActor {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: Drain, ctx: &mut Self::Context) -> ResponseFuture<()> {
        let (done, drained) = oneshot::channel();
        self.draining.push(done);
        self.input(ctx, Courier::on_drain);
        // A sender that is dropped went with its actor, which then has nothing under way.
        Box::pin(async move { _ = drained.await.ok() })
    }
}
