//! A pause of the stream, because its endpoint is at fault.

use super::{Courier, CourierAction, RETRY_INTERVAL, View, action::Wait};
use crate::{delivery::fault::Fault, domain::time::Timestamp};

/// Whether the stream is about to be paused: no attempt begins meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pausing {
    No,
    /// The pause was asked for. A change of the stream ends this.
    Asked,
    /// The request came to nothing. The endpoint is tried again after a while.
    Failed(Wait),
}

impl Courier {
    pub(super) fn is_pausing(&self) -> bool {
        self.pausing != Pausing::No
    }

    pub(super) fn pause(&mut self, fault: Fault) {
        self.pausing = Pausing::Asked;
        self.act(CourierAction::Pause { version: self.revision.version, fault });
    }

    /// The last [`CourierAction::Pause`] is done, so that the stream is paused or was changed
    /// otherwise, or else it came to nothing.
    pub fn on_pause_ended(&mut self, done: bool, view: &View) {
        self.catch_up(view);
        if !done && self.pausing == Pausing::Asked {
            self.pausing = Pausing::Failed(Wait::from(view.now, RETRY_INTERVAL));
        }
        self.step(view);
    }

    pub(super) fn end_pause(&mut self, now: Timestamp) {
        if let Pausing::Failed(wait) = self.pausing
            && wait.is_over(now)
        {
            self.pausing = Pausing::No;
        }
    }

    pub(super) fn forget_pause(&mut self) {
        self.pausing = Pausing::No;
    }
}
