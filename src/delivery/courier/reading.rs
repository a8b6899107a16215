//! When the outbox is read, and for how much.

use std::collections::HashSet;

use super::{Courier, CourierAction, RETRY_INTERVAL, StoreFailure, View, action::Wait};
use crate::{
    delivery::{
        flow::Flow,
        outbox::{OutboxQuery, PendingSet, SetKind},
    },
    domain::time::Timestamp,
};

/// The SETs that the store may hold and that were not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
enum Unread {
    #[default]
    Nothing,
    Events,
    /// A control event among them, which is worth a read even when the window has no room.
    Control,
}

/// Whether a read has to wait for room at the endpoint's host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Room {
    Wanted,
    NotWanted,
}

#[derive(Debug, Default)]
pub(super) struct Reads {
    unread: Unread,
    /// When the store has something more to read, if nothing happens until then.
    next_retry: Option<Timestamp>,
    /// How many events the read that is under way asked for.
    under_way: Option<usize>,
    /// Whether the odd place of the next read goes to a SET that failed before.
    odd_to_retries: bool,
    /// The last read failed: none begins until this is over.
    again: Option<Wait>,
}

impl Reads {
    pub(super) fn is_under_way(&self) -> bool {
        self.under_way.is_some()
    }

    pub(super) fn next_retry(&self) -> Option<Timestamp> {
        self.next_retry
    }

    /// When a read that failed is repeated.
    pub(super) fn again_at(&self) -> Option<Timestamp> {
        self.again.map(Wait::until)
    }

    /// There may be something to read; `control` if a control event is among it.
    pub(super) fn found(&mut self, control: bool) {
        self.unread = self.unread.max(if control { Unread::Control } else { Unread::Events });
    }

    pub(super) fn retry_at(&mut self, due_at: Timestamp) {
        self.next_retry = Some(self.next_retry.map_or(due_at, |at| at.min(due_at)));
    }

    pub(super) fn start_over(&mut self) {
        self.unread = Unread::Control;
        self.next_retry = None;
    }
}

impl Courier {
    /// These `sets` came of the last [`CourierAction::Read`], and so did the time at which there is
    /// more.
    pub fn on_read(&mut self, sets: Vec<PendingSet>, next_retry: Option<Timestamp>, view: &View) {
        self.catch_up(view);
        let asked = self.reads.under_way.take().unwrap_or(0);
        if !self.stale {
            self.take_in(sets, asked, next_retry);
        }
        self.step(view);
    }

    fn take_in(&mut self, sets: Vec<PendingSet>, asked: usize, next_retry: Option<Timestamp>) {
        let events = sets.iter().filter(|set| set.kind == SetKind::Event).count();
        if asked <= events {
            // There may be more.
            self.reads.found(false);
        }
        if let Some(at) = next_retry {
            self.reads.retry_at(at);
        }
        let taken: HashSet<_> = self.window.open_lanes().collect();
        for set in sets {
            // The head of this lane was discarded, by a change that is not known here yet. Perhaps
            // an attempt at it is under way, and must not be overtaken.
            if taken.contains(&(set.lane, set.kind)) {
                continue;
            }
            // The store may know of a change that is not known here yet.
            if !self.flow.lets_through(set.kind) {
                self.reads.found(false);
                continue;
            }
            self.window.admit(set);
        }
    }

    /// The last [`CourierAction::Read`] failed.
    pub fn on_read_failed(&mut self, failure: StoreFailure, view: &View) {
        self.catch_up(view);
        self.reads.under_way = None;
        self.reads.unread = Unread::Control;
        self.reads.again = Some(Wait::from(view.now, RETRY_INTERVAL));
        self.end_if_fenced(failure);
        self.step(view);
    }

    /// Whether a read may bring SETs that are let through.
    pub(super) fn has_unread(&self) -> bool {
        match self.flow {
            Flow::All => self.reads.unread != Unread::Nothing,
            Flow::Announcements => self.reads.unread == Unread::Control,
            Flow::Nothing => false,
        }
    }

    /// Reads what can be pushed, if it is time to. A stream with nothing in memory reads once there
    /// is room at its host for a SET: of all the streams of a host only so many are read at a time,
    /// and hold SETs.
    pub(super) fn read(&mut self, now: Timestamp) -> Room {
        if self.reads.next_retry.is_some_and(|at| at <= now) {
            self.reads.next_retry = None;
            // Of whichever kind the SET is.
            self.reads.unread = Unread::Control;
        }
        if self.reads.again.is_some_and(|wait| wait.is_over(now)) {
            self.reads.again = None;
        }
        if self.is_pausing()
            || self.reads.is_under_way()
            || self.reads.again.is_some()
            || !self.has_unread()
        {
            return Room::NotWanted;
        }
        // A read that runs beside a recording could bring back what was just settled.
        if self.stale && !self.window.is_empty() {
            return Room::NotWanted;
        }
        let window_max = self.slowdown.leaves(self.settings.window_max);
        let room = window_max.saturating_sub(self.window.events());
        // Half a window at a time rather than for each SET that leaves.
        let worthwhile = window_max <= room * 2;
        if !worthwhile && self.reads.unread != Unread::Control {
            return Room::NotWanted;
        }
        if self.window.is_empty() && self.destination.is_some() && self.room.held() == 0 {
            return Room::Wanted;
        }
        self.stale = false;
        self.reads.under_way = Some(room);
        self.reads.unread = Unread::Nothing;
        self.reads.odd_to_retries = !self.reads.odd_to_retries;
        let retries = if self.reads.odd_to_retries { room.div_ceil(2) } else { room / 2 };
        let busy = self.window.seqs().collect();
        self.act(CourierAction::Read(OutboxQuery { busy, fresh: room - retries, retries }));
        Room::NotWanted
    }
}
