//! What follows from how things stand: asked after every input.

use super::{Action, Flow, State, StreamMachine, Unread};
use crate::{
    delivery::{
        breaker::Admission,
        outbox::{Disposition, OutboxQuery, Settlement},
    },
    domain::{reason::Reason, time::Timestamp},
};

impl StreamMachine {
    pub(super) fn step(&mut self, now: Timestamp) -> Vec<Action> {
        let mut actions = Vec::new();
        self.give_up(now, &mut actions);
        self.record(&mut actions);
        self.read(now, &mut actions);
        let count = self.startable(now);
        if count != 0 {
            actions.push(Action::Attempt { count });
        }
        self.tick(now, &mut actions);
        actions
    }

    /// Where few attempts start because all fail, a SET may grow old without one of its own. It is given
    /// up all the same, once that has gone on for long.
    fn give_up(&mut self, now: Timestamp, actions: &mut Vec<Action>) {
        if !self.breaker.stands_open() && !self.slowdown.lasts(now) {
            return;
        }
        let mut given_up = Vec::new();
        let (window, retry) = (&mut self.window, &self.settings.retry);
        for ready in [&mut self.ready_control, &mut self.ready_events] {
            ready.retain(|seq| {
                let slot = window.get_mut(seq).expect("what is ready is in the window");
                let expired = retry.is_expired(&slot.set, now);
                if expired {
                    slot.state = State::Settling;
                    given_up.push(slot.set.clone());
                }
                !expired
            });
        }
        if !given_up.is_empty() {
            self.unrecorded.extend(given_up.iter().map(|set| {
                let detail = "no attempt at the endpoint has succeeded for long".to_owned();
                let disposition = Disposition::GivenUp { reason: Reason::Expired, detail };
                Settlement { seq: set.seq, disposition }
            }));
            actions.push(Action::GivenUp(given_up));
        }
    }

    /// One recording at a time; what ends meanwhile goes with the next.
    fn record(&mut self, actions: &mut Vec<Action>) {
        if self.recording.is_empty() && !self.unrecorded.is_empty() {
            self.recording = std::mem::take(&mut self.unrecorded);
            actions.push(Action::Settle(self.recording.clone()));
        }
    }

    fn read(&mut self, now: Timestamp, actions: &mut Vec<Action>) {
        if self.next_retry.is_some_and(|at| at <= now) {
            self.next_retry = None;
            // Of whichever kind it is.
            self.unread = Unread::Control;
        }
        if self.pausing || self.reading.is_some() || !self.has_unread() {
            return;
        }
        if self.stale {
            // A read that runs beside a recording could bring back what was just settled.
            if !self.window.is_empty() {
                return;
            }
            self.stale = false;
        }
        let window_max = self.slowdown.leaves(self.settings.window_max);
        let room = window_max.saturating_sub(self.events);
        // Half a window at a time rather than for each SET that leaves.
        let worthwhile = window_max <= room * 2;
        if !worthwhile && self.unread != Unread::Control {
            return;
        }
        self.reading = Some(room);
        self.unread = Unread::Nothing;
        self.odd_to_retries = !self.odd_to_retries;
        let retries = if self.odd_to_retries { room.div_ceil(2) } else { room / 2 };
        let busy = self.window.keys().copied().collect();
        actions.push(Action::Read(OutboxQuery { busy, fresh: room - retries, retries }));
    }

    /// How many attempts can start now.
    pub(super) fn startable(&self, now: Timestamp) -> usize {
        if self.pausing || self.flow == Flow::Nothing {
            return 0;
        }
        let in_flight_max = match self.slowdown.goes_on_at(now) {
            None => self.slowdown.leaves(self.settings.in_flight_max),
            Some(_) => 0,
        };
        let free = in_flight_max.saturating_sub(self.in_flight);
        // A control event waits for no event.
        let all = self.ready_control.len() + self.ready_events.len().min(free);
        match self.breaker.admits(now) {
            Admission::All => all,
            Admission::One if self.has_none_in_flight() => all.min(1),
            Admission::One | Admission::None => 0,
        }
    }

    fn has_none_in_flight(&self) -> bool {
        self.window.values().all(|slot| slot.state != State::InFlight)
    }

    fn tick(&mut self, now: Timestamp, actions: &mut Vec<Action>) {
        let has_ready = !self.ready_control.is_empty() || !self.ready_events.is_empty();
        let probe = self.breaker.probes_at().filter(|at| has_ready && now < *at);
        let goes_on = self.slowdown.goes_on_at(now).filter(|_| !self.ready_events.is_empty());
        let Some(at) = [self.next_retry, probe, goes_on].into_iter().flatten().min() else {
            return;
        };
        if self.tick_at.is_none_or(|planned| at < planned) {
            self.tick_at = Some(at);
            actions.push(Action::TickAt(at));
        }
    }
}
