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
        let destination = view.stream.as_ref().and_then(Destination::of);
        let changed = if view.revision.version == self.revision.version {
            Changed::SubjectsOrKeys
        } else if self.is_at_like(destination.as_ref()) {
            // Otherwise a Receiver could have an endpoint that is out of reach tried without end, by
            // changing its description.
            Changed::Configuration
        } else {
            Changed::Stream
        };
        if changed != Changed::SubjectsOrKeys {
            self.forget_pause();
        }
        if changed == Changed::Stream {
            self.breaker = Breaker::new(self.settings.breaker.clone());
            self.slowdown = Slowdown::new(&self.settings);
            self.faults = Faults::new(self.settings.fault.clone());
        }
        self.revision = view.revision;
        if view.new_key != self.new_key {
            (self.new_key, self.key_accepted) = (view.new_key, false);
        }
        self.move_to(destination);
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

    fn is_at_like(&self, destination: Option<&Destination>) -> bool {
        self.destination.as_ref().zip(destination).is_some_and(|(old, new)| old.is_alike(new))
    }

    fn move_to(&mut self, destination: Option<Destination>) {
        let host = destination.as_ref().map(Destination::host);
        if host != self.destination.as_ref().map(Destination::host) {
            self.release_all();
        }
        self.destination = destination;
    }
}
