//! The recording of results. One call records at a time; results that come meanwhile go with the next
//! call.

use super::{
    Courier, CourierAction, CourierNote, RETRY_INTERVAL, StoreFailure, View, action::Wait,
};
use crate::{
    delivery::outbox::{Disposition, Seq, SetKind, Settlement},
    domain::{reason::Reason, time::Timestamp},
};

#[derive(Debug, Default)]
pub(super) struct Records {
    /// Results that are to be recorded, and those that are being recorded.
    waiting: Vec<Settlement>,
    under_way: Vec<Settlement>,
    /// The last call failed: none begins until this is over.
    again: Option<Wait>,
}

impl Records {
    /// When a recording that failed is repeated.
    pub(super) fn again_at(&self) -> Option<Timestamp> {
        self.again.map(Wait::until)
    }

    pub(super) fn add(&mut self, settlement: Settlement) {
        self.waiting.push(settlement);
    }
}

impl Courier {
    /// Notes a result that is to be recorded, and by which version of the stream it was judged.
    pub(super) fn add_result(&mut self, seq: Seq, disposition: Disposition) {
        let version = self.revision.version;
        self.records.add(Settlement { seq, disposition, version });
    }

    pub(super) fn record(&mut self, now: Timestamp) {
        if self.records.again.is_some_and(|wait| wait.is_over(now)) {
            self.records.again = None;
        }
        let records = &mut self.records;
        let can = records.under_way.is_empty() && records.again.is_none();
        if can && !records.waiting.is_empty() {
            records.under_way = std::mem::take(&mut records.waiting);
            let settlements = records.under_way.clone();
            self.act(CourierAction::Settle(settlements));
        }
    }

    /// The last [`CourierAction::Settle`] is durable. `lane_goes_on` if a SET that was settled had
    /// another behind it in its lane.
    pub fn on_settled(&mut self, lane_goes_on: bool, view: &View) {
        self.catch_up(view);
        for Settlement { seq, disposition, .. } in std::mem::take(&mut self.records.under_way) {
            let set = self.window.release(seq);
            if lane_goes_on {
                self.reads.found(set.kind != SetKind::Event);
            }
            if let Disposition::RetryAt { due_at, .. } = disposition
                && !self.stale
            {
                self.reads.retry_at(due_at);
            }
        }
        self.step(view);
    }

    /// The last [`CourierAction::Settle`] failed. Its results are recorded with the next.
    pub fn on_settle_failed(&mut self, failure: StoreFailure, view: &View) {
        self.catch_up(view);
        let mut results = std::mem::take(&mut self.records.under_way);
        results.append(&mut self.records.waiting);
        self.records.waiting = results;
        self.records.again = Some(Wait::from(view.now, RETRY_INTERVAL));
        self.end_if_fenced(failure);
        self.step(view);
    }

    /// Gives up SETs by their age. Where few attempts start because all fail, a SET may grow old
    /// without an attempt of its own.
    pub(super) fn give_up(&mut self, view: &View) {
        if !self.breaker.stands_open() && !self.slowdown.lasts(view.now) {
            return;
        }
        let retry = &self.settings.retry;
        let given_up = self.window.settle_ready(|set| retry.is_expired(set, view.ages_by));
        if given_up.is_empty() {
            return;
        }
        self.signatures.forget(&given_up);
        for seq in &given_up {
            let detail = "no attempt at the endpoint has succeeded for long".to_owned();
            self.add_result(*seq, Disposition::GivenUp { reason: Reason::Expired, detail });
        }
        self.note(CourierNote::GivenUp { sets: given_up.len() });
    }
}
