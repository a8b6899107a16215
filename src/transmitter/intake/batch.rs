//! Events that are entered into the schedule, and appended as their turns come.

use std::{
    collections::{BTreeMap, HashSet, VecDeque},
    sync::Arc,
};

use futures_util::{StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::{
    addressing::{LongEvent, Work},
    schedule::{Broken, Grant, Ticket},
    scheduler::Sequence,
};
use crate::{
    domain::{id::StreamId, reason::Reason, time::Timestamp},
    store::{Append, AppendBatch, Appended, Position, Step, StoreError},
    telemetry::metrics,
    transmitter::Transmitter,
};

/// Events of one sequence that were taken in together, and are not all durable yet. Dropped before it
/// is finished, it takes its events out of the schedule and breaks its sequence.
pub struct Batch {
    transmitter: Arc<Transmitter>,
    sequence: Arc<Sequence>,
    now: Timestamp,
    /// The events that are not planned yet, each with its index in the batch. They are entered in
    /// this order as room becomes free.
    queue: VecDeque<(usize, Work)>,
    entered: BTreeMap<Ticket, Entered>,
    /// Entered, and not released yet: what is before them in the batch is not durable.
    unreleased: Vec<Ticket>,
    /// Appends under way.
    running: FuturesUnordered<BoxFuture<'static, Result<Ended, StoreError>>>,
    grants: UnboundedReceiver<Grant>,
    granting: UnboundedSender<Grant>,
    answers: Vec<Option<Appended>>,
}

/// An event that was entered.
struct Entered {
    place: usize,
    /// `None` while it is being appended.
    work: Option<Work>,
    /// The streams that have it.
    streams: Vec<StreamId>,
}

/// A step that has ended, with the events that it appended.
enum Ended {
    Short(Vec<(Ticket, Appended)>),
    Step { ticket: Ticket, event: Box<LongEvent>, step: Step, appended: Appended },
}

impl Batch {
    pub(super) fn new(
        transmitter: Arc<Transmitter>,
        sequence: Arc<Sequence>,
        works: Vec<Work>,
        now: Timestamp,
    ) -> Self {
        let (granting, grants) = unbounded_channel();
        let answers = works.iter().map(|_| None).collect();
        Self {
            transmitter,
            sequence,
            now,
            queue: works.into_iter().enumerate().collect(),
            entered: BTreeMap::new(),
            unreleased: Vec::new(),
            running: FuturesUnordered::new(),
            grants,
            granting,
            answers,
        }
    }

    /// Whether nothing of it is left to be appended, but for what [`Self::plan`] returned.
    pub(super) fn is_finished(&self) -> bool {
        self.queue.is_empty() && self.entered.is_empty()
    }

    /// Enters events as there is room. Returns those that wait for nobody, to be given to
    /// [`Self::append_free`] at once.
    pub(super) fn plan(&mut self) -> Result<Vec<(usize, Append)>, StoreError> {
        let (queue, entered, sequence) = (&mut self.queue, &mut self.entered, self.sequence.id);
        let (granting, unreleased) = (&self.granting, &mut self.unreleased);
        let free = self.transmitter.scheduler.change(|state| {
            if state.schedule.is_broken(sequence) {
                return Err(Broken);
            }
            let mut free = Vec::new();
            while let Some((place, work)) = queue.pop_front() {
                let (size, keys) = (work.size(), work.order_keys());
                let work = match work {
                    Work::Short(append) if state.schedule.is_free(&keys) => {
                        free.push((place, append));
                        continue;
                    }
                    work => work,
                };
                if !state.schedule.has_room(sequence, size) {
                    queue.push_front((place, work));
                    break;
                }
                let ticket = state.schedule.enter(sequence, work.provider(), size, keys);
                state.batches.insert(ticket, granting.clone());
                unreleased.push(ticket);
                entered.insert(ticket, Entered { place, work: Some(work), streams: Vec::new() });
            }
            Ok(free)
        });
        Ok(free?)
    }

    /// Appends what waits for nobody; then the turn of what was entered behind it may come.
    pub(super) async fn append_free(
        &mut self,
        free: Vec<(usize, Append)>,
        position: Option<(String, Position)>,
    ) -> Result<(), StoreError> {
        if !free.is_empty() || position.is_some() {
            let (places, events): (Vec<_>, Vec<_>) = free.into_iter().unzip();
            let _shorts = self.transmitter.scheduler.begin_shorts();
            let appended = self.transmitter.append_short(events, position, self.now).await?;
            for (place, appended) in places.into_iter().zip(appended) {
                self.answers[place] = Some(appended);
            }
        }
        let unreleased = std::mem::take(&mut self.unreleased);
        self.transmitter.scheduler.change(|state| {
            for ticket in unreleased {
                state.schedule.on_released(ticket);
            }
        });
        Ok(())
    }

    /// Goes on until every event is durable or entered, so that later batches keep their order.
    pub(super) async fn enter_all(&mut self) -> Result<(), StoreError> {
        while !self.queue.is_empty() {
            self.advance().await?;
        }
        Ok(())
    }

    /// Returns once every event is durable, with what became of each.
    pub async fn finish(mut self) -> Result<Vec<Appended>, StoreError> {
        while !self.is_finished() {
            self.advance().await?;
        }
        let answers = std::mem::take(&mut self.answers);
        Ok(answers.into_iter().map(|answer| answer.expect("every event was appended")).collect())
    }

    /// Waits for a turn, or for an append to end.
    async fn advance(&mut self) -> Result<(), StoreError> {
        tokio::select! {
            Some(grant) = self.grants.recv() => {
                let mut granted = vec![grant];
                while let Ok(grant) = self.grants.try_recv() {
                    granted.push(grant);
                }
                self.on_granted(granted)
            }
            Some(ended) = self.running.next() => {
                self.on_ended(ended?);
                let free = self.plan()?;
                self.append_free(free, None).await
            }
        }
    }

    /// Short events whose turns came together are appended together.
    fn on_granted(&mut self, granted: Vec<Grant>) -> Result<(), StoreError> {
        let mut shorts = Vec::new();
        for Grant { ticket, goes_on } in granted {
            if !goes_on {
                return Err(Broken.into());
            }
            let entered = self.entered.get_mut(&ticket).expect("what is granted was entered");
            match entered.work.take().expect("its turn comes once at a time") {
                Work::Short(append) => shorts.push((ticket, append)),
                Work::Long(event) => self.running.push(self.step(ticket, event)),
            }
        }
        if !shorts.is_empty() {
            let (transmitter, now) = (Arc::clone(&self.transmitter), self.now);
            self.running.push(Box::pin(async move {
                let (tickets, events): (Vec<_>, Vec<_>) = shorts.into_iter().unzip();
                let _shorts = transmitter.scheduler.begin_shorts();
                let appended = transmitter.append_short(events, None, now).await?;
                Ok(Ended::Short(tickets.into_iter().zip(appended).collect()))
            }));
        }
        Ok(())
    }

    /// Appends the next step of a long event.
    fn step(
        &self,
        ticket: Ticket,
        mut event: Box<LongEvent>,
    ) -> BoxFuture<'static, Result<Ended, StoreError>> {
        let transmitter = Arc::clone(&self.transmitter);
        Box::pin(async move {
            let now = event.now();
            let append = event.next_step();
            let step = append.step;
            let batch = AppendBatch { events: vec![append], position: None, now };
            let appended = transmitter.append_step(batch).await?;
            let appended = appended.into_iter().next().expect("one answer for one event");
            Ok(Ended::Step { ticket, event, step, appended })
        })
    }

    fn on_ended(&mut self, ended: Ended) {
        match ended {
            Ended::Short(all) => {
                for (ticket, appended) in all {
                    self.done(ticket, appended);
                }
            }
            Ended::Step { ticket, mut event, step, appended } => {
                let entered =
                    self.entered.get_mut(&ticket).expect("it is entered until it is done");
                let streams = match appended {
                    Appended::New(streams) => streams,
                    Appended::OptedOut { streams } => {
                        let provider = event.provider();
                        let others = event.streams() - streams;
                        metrics::events_suppressed(provider, Reason::OptedOut, others);
                        let streams = event.streams();
                        return self.done(ticket, Appended::OptedOut { streams });
                    }
                    Appended::Duplicate => return self.done(ticket, Appended::Duplicate),
                };
                if streams.len() < event.step_streams().len() {
                    let open: HashSet<_> = streams.iter().collect();
                    event.withhold(|stream| !open.contains(stream));
                }
                entered.streams.extend(streams);
                if step.ends() {
                    let streams = std::mem::take(&mut entered.streams);
                    self.done(ticket, Appended::New(streams));
                } else {
                    entered.work = Some(Work::Long(event));
                    self.transmitter.scheduler.change(|state| state.schedule.on_step_ended(ticket));
                }
            }
        }
    }

    fn done(&mut self, ticket: Ticket, appended: Appended) {
        if let Some(entered) = self.entered.remove(&ticket) {
            self.answers[entered.place] = Some(appended);
        }
        self.transmitter.scheduler.change(|state| {
            state.batches.remove(&ticket);
            state.schedule.on_done(ticket);
        });
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        // First of all, so that no event of this batch is appended behind one that failed.
        self.running.clear();
        let entered = std::mem::take(&mut self.entered);
        if entered.is_empty() && self.queue.is_empty() {
            return;
        }
        self.transmitter.scheduler.change(|state| {
            state.schedule.on_broken(self.sequence.id);
            for ticket in entered.into_keys() {
                state.batches.remove(&ticket);
                state.schedule.on_failed(ticket);
            }
        });
    }
}
