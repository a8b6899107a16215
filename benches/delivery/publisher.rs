//! The publisher: writes events into the Redis stream that the daemon reads.

use std::{thread, time::Duration};

use ssfd::clock;

use crate::support::{TYPE, sample};

/// The Redis stream of the provider `default`.
pub(crate) const KEY: &str = "ssf:events:default";
/// The number of subjects, used in turn. There are many, so that hardly any SET waits for another
/// in its lane.
const SUBJECTS: u64 = 100_000;

pub(crate) struct Publisher {
    connection: redis::Connection,
    published: u64,
}

impl Publisher {
    pub(crate) fn new(connection: redis::Connection) -> Self {
        Self { connection, published: 0 }
    }

    /// Returns the number of published events.
    pub(crate) fn published(&self) -> u64 {
        self.published
    }

    /// Publishes `events` events at once.
    pub(crate) fn publish(&mut self, events: u64) {
        self.publish_of(TYPE, events);
    }

    /// Publishes `events` events of another type at once.
    pub(crate) fn publish_of(&mut self, event_type: &str, events: u64) {
        let mut pipeline = redis::pipe();
        for n in self.published..self.published + events {
            pipeline.xadd(KEY, "*", &[("event", sample::event(event_type, n % SUBJECTS))]).ignore();
        }
        let () = pipeline.query(&mut self.connection).expect("redis-server answers");
        self.published += events;
    }

    /// Publishes `rate` events per second at even intervals, whether they are delivered or not.
    /// `goes_on` gets the elapsed time and ends the loop by returning false.
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
