//! The end of an input: when the courier is to be called again, and when it ends.

use super::{
    BreakerReport, Courier, CourierAction, CourierNote, RETRY_INTERVAL, StoreFailure, View,
    action::Wait, pause::Pausing,
};
use crate::{delivery::flow::Flow, domain::time::Timestamp};

#[derive(Debug, Default)]
pub(super) struct Rest {
    /// When the next tick is planned.
    tick_at: Option<Timestamp>,
    /// How long the courier may still be without work.
    idle: Option<Wait>,
    /// Whether it was told that the endpoint is cut off.
    cut_off: bool,
    draining: bool,
    stopped: bool,
}

impl Rest {
    pub(super) fn is_draining(&self) -> bool {
        self.draining
    }

    pub(super) fn has_stopped(&self) -> bool {
        self.stopped
    }

    pub(super) fn ticked(&mut self) {
        self.tick_at = None;
    }
}

impl Courier {
    /// Start no further attempt, and end once those under way are over and recorded.
    pub fn on_drain(&mut self, view: &View) {
        self.catch_up(view);
        self.rest.draining = true;
        self.flow = Flow::Nothing;
        self.step(view);
    }

    /// Ends the courier if another node serves the stream: that node begins again what is under way
    /// here.
    pub(super) fn end_if_fenced(&mut self, failure: StoreFailure) {
        if failure == StoreFailure::Fenced {
            // A courier that drains is known to have lost the slot, and by now this node may have it
            // again.
            if !self.rest.draining {
                self.act(CourierAction::LeaseLost);
            }
            self.stop();
        }
    }

    fn stop(&mut self) {
        if !self.rest.stopped {
            self.rest.stopped = true;
            self.act(CourierAction::Stop);
        }
    }

    /// Nothing is in memory or under way, and nothing is to be read that is let through, now or
    /// later. So what is known of the endpoint is not forgotten while SETs wait for it.
    fn is_idle(&self) -> bool {
        self.window.is_empty()
            && !self.reads.is_under_way()
            && !self.has_unread()
            && self.reads.next_retry().is_none()
            && !self.is_pausing()
    }

    pub(super) fn rest(&mut self, view: &View) {
        let cut_off = self.breaker.report() != BreakerReport::Closed;
        if cut_off != self.rest.cut_off {
            self.rest.cut_off = cut_off;
            self.note(CourierNote::CutOff(cut_off));
        }
        if self.rest.draining && self.window.is_quiet() {
            return self.stop();
        }
        if !self.is_idle() {
            self.rest.idle = None;
        } else if self.rest.idle.is_some_and(|wait| wait.is_over(view.now)) {
            return self.stop();
        } else if self.rest.idle.is_none() {
            self.rest.idle = Some(Wait::from(view.now, self.settings.idle_timeout));
        }
        self.plan_tick(view);
    }

    fn plan_tick(&mut self, view: &View) {
        let now = view.now;
        let has_ready = self.window.ready_len() != 0;
        let pause = match self.pausing {
            Pausing::Failed(wait) => Some(wait.until()),
            Pausing::No | Pausing::Asked => None,
        };
        let wanted = [
            self.reads.next_retry(),
            self.reads.again_at(),
            self.records.again_at(),
            pause,
            self.rest.idle.map(Wait::until),
            self.breaker.probes_at().filter(|at| has_ready && now < *at),
            self.slowdown.goes_on_at(now).filter(|_| self.window.ready_events() != 0),
            // The lease may be confirmed by then, or this courier is told to end.
            (has_ready && !view.may_begin).then(|| now + RETRY_INTERVAL),
        ];
        let Some(at) = wanted.into_iter().flatten().min() else { return };
        // A planned tick that seems to be overdue was planned before the clock was set.
        if self.rest.tick_at.is_none_or(|planned| at < planned || planned <= now) {
            self.rest.tick_at = Some(at);
            self.act(CourierAction::TickAt(at));
        }
    }
}
