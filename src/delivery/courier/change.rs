//! A change of the stream: everything that was in memory for it is read, signed and judged anew.

use super::{Changed, Courier, CourierNote, Destination, View};
use crate::delivery::{breaker::Breaker, fault::Faults, flow::Flow, slowdown::Slowdown};

impl Courier {
    /// Notices a change of the stream, its subjects or its keys; called at the beginning of every input.
    ///
    /// SETs in memory may have been discarded, settled elsewhere or addressed to another endpoint.
    /// Attempts under way end as they do; all else is read anew.
    pub(super) fn catch_up(&mut self, view: &View) {
        if view.revision == self.revision {
            return;
        }
        let same = view.revision.version == self.revision.version;
        let changed = if same { Changed::SubjectsOrKeys } else { Changed::Stream };
        self.revision = view.revision;
        if changed == Changed::Stream {
            self.forget_pause();
            self.breaker = Breaker::new(self.settings.breaker.clone());
            self.slowdown = Slowdown::new(&self.settings);
            self.faults = Faults::new(self.settings.fault.clone());
        }
        self.move_to(view.stream.as_ref().and_then(Destination::of));
        self.flow = match &view.stream {
            Some(stream) if !self.rest.is_draining() => Flow::of(stream),
            Some(_) | None => Flow::Nothing,
        };
        self.signatures.clear();
        self.stale = true;
        self.reads.start_over();
        self.window.clear_ready();
        self.note(CourierNote::StartedOver(changed));
    }

    fn move_to(&mut self, destination: Option<Destination>) {
        let host = destination.as_ref().map(Destination::host);
        if host != self.destination.as_ref().map(Destination::host) {
            self.release_all();
        }
        self.destination = destination;
    }
}
