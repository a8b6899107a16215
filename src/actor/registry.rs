//! The stream actors that are at work: starts them, notices when they are gone, starts them again.

use std::{
    collections::{BTreeMap, HashMap},
    future::Future,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use actix::{Actor, Addr, dev::SendError};
use futures_util::future::join_all;
use tokio::time::timeout;

use crate::{
    actor::{
        stream::{Drain, Environment, Report, StreamActor, Wake},
        threads::ActorThreads,
    },
    clock,
    delivery::{courier::CourierReport, flow::Flow},
    domain::{id::StreamId, time::Timestamp},
    store::{
        StoreError,
        slot::{Slot, SlotSet},
    },
    telemetry::supervision::Supervisor,
};

/// How long an actor has to say how it stands.
const REPORT_TIMEOUT: Duration = Duration::from_secs(1);

/// Stream id → actor. An actor exists while its stream has SETs to push and for a while after, so
/// that a registered stream without work costs nothing here.
pub struct Registry {
    environment: Arc<Environment>,
    actors: Mutex<HashMap<StreamId, Addr<StreamActor>>>,
    threads: ActorThreads,
    draining: AtomicBool,
}

impl Registry {
    /// Must be called within an actix system. `threads` is the number of event loops that share
    /// the actors.
    pub fn new(environment: Environment, threads: usize, supervisor: &Supervisor) -> Self {
        Self {
            environment: Arc::new(environment),
            actors: Mutex::default(),
            threads: ActorThreads::start(threads, supervisor),
            draining: AtomicBool::new(false),
        }
    }

    /// Tells the actors of these streams that there may be new SETs, or that the stream was changed. This
    /// is a hint: the sweep finds work whose hint was lost. Streams that another node serves are passed
    /// over.
    pub fn wake(&self, ids: &[StreamId], control: bool) {
        if ids.is_empty() || self.draining.load(Ordering::SeqCst) {
            return;
        }
        let now = clock::instant();
        // The lock is taken first: whoever leaves a slot looks for its actors under the lock, and finds
        // all of them.
        let mut actors = self.actors();
        for id in ids.iter().filter(|id| self.environment.lease.serves(id, now)) {
            match actors.get(id).map(|actor| actor.try_send(Wake { control })) {
                // A full mailbox holds a wake-up already.
                Some(Ok(()) | Err(SendError::Full(_))) => {}
                // Stopped for want of work, or died: an actor is rebuilt from the store.
                Some(Err(SendError::Closed(_))) | None => match self.start(id, control) {
                    Some(actor) => _ = actors.insert(id.clone(), actor),
                    None => _ = actors.remove(id),
                },
            }
        }
    }

    /// Takes the times at which Receivers accepted a push since the last call.
    pub fn take_accepted(&self) -> HashMap<StreamId, Timestamp> {
        self.environment.accepted.take()
    }

    fn start(&self, id: &StreamId, control: bool) -> Option<Addr<StreamActor>> {
        let stream = self.environment.directory.stream(id)?;
        if !Flow::of(&stream).may_have_work(control) {
            return None;
        }
        let environment = Arc::clone(&self.environment);
        let actor = StreamActor::start_in_arbiter(self.threads.next(), move |_| {
            StreamActor::new(&stream, environment)
        });
        // The mailbox is empty, so this can only fail if the thread is gone; then the sweep tries
        // again.
        actor.try_send(Wake { control }).ok()?;
        Some(actor)
    }

    /// Asks the actor of a stream how the pushing stands. `None` if no actor is at work here, which is
    /// so while the stream has nothing to push, or if the actor does not answer within a second.
    pub async fn report(&self, id: &StreamId) -> Option<CourierReport> {
        let actor = self.actors().get(id).cloned()?;
        timeout(REPORT_TIMEOUT, actor.send(Report)).await.ok()?.ok()
    }

    /// Looks in these slots for work whose wake-up was lost, and forgets actors that are gone.
    /// Returns how many streams have work.
    pub async fn sweep(&self, slots: SlotSet) -> Result<usize, StoreError> {
        let with_work = self.environment.store.streams_with_work(clock::now(), slots).await?;
        self.wake(&with_work, true);
        self.environment.hosts.forget(clock::now());
        let mut actors = self.actors();
        actors.retain(|_, actor| actor.connected());
        Ok(with_work.len())
    }

    /// Starts no further attempt for the streams of these slots, which are served no more. The future of
    /// each slot resolves once the attempts under way are over and recorded.
    pub fn leave(&self, slots: SlotSet) -> Vec<(Slot, impl Future<Output = ()> + use<>)> {
        let mut leaving: BTreeMap<Slot, Vec<Addr<StreamActor>>> =
            slots.iter().map(|slot| (slot, Vec::new())).collect();
        self.actors().retain(|id, actor| match leaving.get_mut(&Slot::of_stream(id)) {
            Some(actors) => {
                actors.push(actor.clone());
                false
            }
            None => true,
        });
        leaving.into_iter().map(|(slot, actors)| (slot, drained(actors))).collect()
    }

    /// Starts no further attempt, and returns once those under way are over and recorded.
    pub async fn drain(&self) {
        self.draining.store(true, Ordering::SeqCst);
        let actors: Vec<_> = self.actors().drain().map(|(_, actor)| actor).collect();
        drained(actors).await;
        self.threads.stop();
    }

    fn actors(&self) -> MutexGuard<'_, HashMap<StreamId, Addr<StreamActor>>> {
        self.actors.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn drained(actors: Vec<Addr<StreamActor>>) {
    // An actor that is gone has nothing under way.
    join_all(actors.iter().map(|actor| actor.send(Drain))).await;
}
