//! Who publishes events, into the Redis stream that the daemon reads.

use std::{thread, time::Duration};

use ssfd::clock;

use crate::support::{TYPE, sample};

/// The stream of the provider `default`.
pub(crate) const KEY: &str = "ssf:events:default";
/// How many subjects the events are about, in turn: many, so that hardly any SET waits for another of
/// its lane.
const SUBJECTS: u64 = 100_000;

pub(crate) struct Upstream {
    connection: redis::Connection,
    published: u64,
}

impl Upstream {
    pub(crate) fn new(connection: redis::Connection) -> Self {
        Self { connection, published: 0 }
    }

    /// How many events were published.
    pub(crate) fn published(&self) -> u64 {
        self.published
    }

    /// Publishes so many events in one go.
    pub(crate) fn publish(&mut self, events: u64) {
        self.publish_of(TYPE, events);
    }

    /// The same, of another type.
    pub(crate) fn publish_of(&mut self, event_type: &str, events: u64) {
        let mut pipeline = redis::pipe();
        for n in self.published..self.published + events {
            pipeline.xadd(KEY, "*", &[("event", sample::event(event_type, n % SUBJECTS))]).ignore();
        }
        let () = pipeline.query(&mut self.connection).expect("redis-server answers");
        self.published += events;
    }

    /// Publishes so many events a second, evenly, whatever becomes of them, for as long as `goes_on`
    /// says so of the time that has passed.
    pub(crate) fn publish_evenly(&mut self, rate: u32, goes_on: impl Fn(Duration) -> bool) {
        let (began, before) = (clock::instant(), self.published);
        let period = Duration::from_secs(1) / rate;
        let mut due = 0;
        while goes_on(began.elapsed()) {
            let passed = began.elapsed().as_nanos() / period.as_nanos();
            due = u32::try_from(passed).expect("a benchmark's number of events").max(due) + 1;
            self.publish(u64::from(due) - (self.published - before));
            thread::sleep((period * due).saturating_sub(began.elapsed()));
        }
    }
}
