//! Room for attempts at the endpoint's host, which all streams of the host share.
//!
//! The courier counts the room that its performer keeps for it. It holds room at one host only: room
//! at a host that the stream has left is given back.

use std::sync::Arc;

use super::{Courier, CourierAction, RoomReport, View};

#[derive(Debug, Default)]
pub(super) struct RoomCount {
    held: usize,
    /// Claimed, and not there yet.
    awaited: usize,
}

impl RoomCount {
    pub(super) fn held(&self) -> usize {
        self.held
    }

    /// Uses the room of one attempt.
    pub(super) fn take(&mut self) {
        self.held -= 1;
    }

    /// A claim that is not repeated is not waited for.
    pub(super) fn forget_claim(&mut self) {
        self.awaited = 0;
    }

    pub(super) fn report(&self) -> RoomReport {
        RoomReport { held: self.held, awaited: self.awaited }
    }
}

impl Courier {
    /// Claims room for `count` further attempts. The step continues with the answer.
    pub(super) fn claim(&mut self, count: usize) {
        let destination = self.destination.as_ref().expect("room is claimed at a destination");
        let host = Arc::clone(destination.host());
        self.room.awaited = count;
        self.act(CourierAction::Claim { host, count });
    }

    /// Of the last [`CourierAction::Claim`], there is room for so many attempts at once.
    pub fn on_claimed(&mut self, granted: usize, view: &View) {
        self.room.held += granted;
        self.room.awaited = self.room.awaited.saturating_sub(granted);
        self.read(view.now);
        self.go_on(view);
    }

    /// There is room for one attempt at a host, which was waited for.
    pub fn on_room(&mut self, host: &Arc<str>, view: &View) {
        self.catch_up(view);
        if self.is_at(host) {
            self.room.held += 1;
            self.room.awaited = self.room.awaited.saturating_sub(1);
        } else {
            self.act(CourierAction::Release { host: Arc::clone(host), count: 1 });
        }
        self.step(view);
    }

    fn is_at(&self, host: &str) -> bool {
        self.destination.as_ref().is_some_and(|destination| **destination.host() == *host)
    }

    /// Leaves unused room to other streams. While SETs are being read or signed the room is kept: a
    /// stream that gave it back then would go to the end of the queue, with its SETs in memory.
    pub(super) fn release_unused(&mut self) {
        if !self.reads.is_under_way() && !self.signatures.are_awaited() {
            self.release_all();
        }
    }

    pub(super) fn release_all(&mut self) {
        let count = std::mem::take(&mut self.room.held);
        if count != 0
            && let Some(destination) = &self.destination
        {
            let host = Arc::clone(destination.host());
            self.act(CourierAction::Release { host, count });
        }
    }
}
