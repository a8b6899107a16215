//! The courier of one push stream: which SETs go out now, and what is read, claimed, signed, recorded
//! and waited for.
//!
//! [`Courier`] is a pure state machine. Its inputs are the methods `on_…`; each of them gets a
//! [`View`] with the time and what holds at that moment. Its outputs are [`CourierAction`]s: after an
//! input, perform what [`Courier::next_action`] returns until it returns `None`.
//!
//! ```text
//!   on_wake ─▶ Claim ─▶ on_claimed ─▶ Read ─▶ on_read ─▶ Sign ─▶ on_signed ─▶ Claim ─▶ on_claimed
//!                                      ▲                                                    │
//!                                      └── on_settled ◀─ Settle ◀─ on_attempts_ended ◀─ Push ◀┘
//! ```
//!
//! | part | responsibility |
//! |---|---|
//! | `Window` | the SETs in memory and the state of each; needed for the order of lanes |
//! | `reading` | when the outbox is read, and for how much |
//! | `recording` | which results are recorded, one call at a time; needed so that none is lost |
//! | `attempts` | which attempts begin, and what their outcomes mean |
//! | `Signatures` | signatures made ahead and kept for retries; saves waiting |
//! | `room` | room for attempts at the endpoint's host; the performer keeps the room itself |
//! | `change` | a change of the stream is noticed and the window read anew; needed for P5 |
//! | `pause` | an endpoint at fault has its stream paused |
//! | `rest` | ticks, a drain, and the end of a courier without work |

mod action;
mod attempts;
mod change;
mod pause;
mod reading;
mod recording;
mod report;
mod rest;
mod room;
mod signatures;
mod view;
mod window;

use std::{collections::VecDeque, time::Duration};

pub use self::{
    action::{Attempt, Attempted, Changed, CourierAction, CourierNote, Destination, StoreFailure},
    report::{BreakerReport, CourierReport, LastOutcome, RoomReport, SlowdownReport},
    signatures::SigningBatch,
    view::View,
};
use self::{
    pause::Pausing, reading::Reads, recording::Records, rest::Rest, room::RoomCount,
    signatures::Signatures, window::Window,
};
use crate::{
    delivery::{
        breaker::Breaker,
        fault::Faults,
        flow::Flow,
        new_key::NewKey,
        outbox::{PendingSet, Seq},
        settings::DeliverySettings,
        slowdown::Slowdown,
    },
    domain::{stream::Revision, time::Timestamp},
};

/// How long the courier waits before it repeats a call that failed: of the store, or to have the
/// stream paused. It also looks so often whether the lease allows attempts again.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// Invariants: the window holds at most `window_max` events, all of which were let through when they
/// were read; at most `in_flight_max` events are in flight; a claim for room is answered before any
/// other input.
#[derive(Debug)]
pub struct Courier {
    settings: DeliverySettings,
    /// The stream as it was when the courier last started over.
    revision: Revision,
    flow: Flow,
    destination: Option<Destination>,
    /// The stream was changed, so that SETs in memory are void and its outbox is to be read anew.
    stale: bool,
    window: Window,
    reads: Reads,
    records: Records,
    signatures: Signatures,
    room: RoomCount,
    /// The key that signs, and whether the Receiver has accepted a SET signed with it.
    new_key: Option<NewKey>,
    key_accepted: bool,
    pausing: Pausing,
    breaker: Breaker,
    slowdown: Slowdown,
    faults: Faults,
    rest: Rest,
    last_outcome: Option<LastOutcome>,
    last_success: Option<Timestamp>,
    actions: VecDeque<CourierAction>,
}

impl Courier {
    pub fn new(settings: DeliverySettings, view: &View) -> Self {
        Self {
            revision: view.revision,
            flow: view.stream.as_deref().map_or(Flow::Nothing, Flow::of),
            destination: view.stream.as_ref().and_then(Destination::of),
            stale: false,
            window: Window::default(),
            reads: Reads::default(),
            records: Records::default(),
            signatures: Signatures::default(),
            room: RoomCount::default(),
            new_key: view.new_key,
            key_accepted: false,
            pausing: Pausing::No,
            breaker: Breaker::new(settings.breaker.clone()),
            slowdown: Slowdown::new(&settings),
            faults: Faults::new(settings.fault.clone()),
            rest: Rest::default(),
            last_outcome: None,
            last_success: None,
            actions: VecDeque::new(),
            settings,
        }
    }

    /// Returns the next action to perform, in order.
    pub fn next_action(&mut self) -> Option<CourierAction> {
        self.actions.pop_front()
    }

    /// Returns a SET of the window. A SET stays in the window until its result is recorded.
    pub fn set(&self, seq: Seq) -> Option<&PendingSet> {
        self.window.find(seq)
    }

    /// Tells how the work stands, for an operator.
    pub fn report(&self) -> CourierReport {
        CourierReport {
            window: self.window.len(),
            in_flight: self.window.in_flight(),
            ready: self.window.ready_len(),
            breaker: self.breaker.report(),
            slowdown: self.slowdown.report(self.settings.in_flight_max),
            room: self.room.report(),
            next_retry: self.reads.next_retry(),
            last_outcome: self.last_outcome.clone(),
            last_success: self.last_success,
            draining: self.rest.is_draining(),
        }
    }

    /// There may be new SETs in the outbox; `control` if one of them is a control event.
    pub fn on_wake(&mut self, control: bool, view: &View) {
        self.catch_up(view);
        self.reads.found(control);
        self.step(view);
    }

    /// The time named by [`CourierAction::TickAt`] has come.
    pub fn on_tick(&mut self, view: &View) {
        self.catch_up(view);
        self.rest.ticked();
        self.step(view);
    }

    /// Decides what follows from how things stand: called at the end of every input but the answer
    /// to a claim, which continues with [`Self::go_on`].
    fn step(&mut self, view: &View) {
        if self.rest.has_stopped() {
            return;
        }
        self.room.forget_claim();
        self.end_pause(view.now);
        self.give_up(view);
        self.record(view.now);
        if self.read(view.now) == reading::Room::Wanted {
            return self.claim(1);
        }
        let more = self.sign(view);
        if more != 0 {
            return self.claim(more);
        }
        self.go_on(view);
    }

    /// Starts the attempts that there is room for, and rests.
    fn go_on(&mut self, view: &View) {
        self.start(view);
        self.release_unused();
        self.rest(view);
    }

    fn act(&mut self, action: CourierAction) {
        self.actions.push_back(action);
    }

    fn note(&mut self, note: CourierNote) {
        self.actions.push_back(CourierAction::Note(note));
    }
}

#[cfg(test)]
mod tests;
