//! The lowest possible costs of the parts of a delivery, each measured on one thread of this
//! process. The costs of the daemon are compared with them.
//!
//! Each part is measured twice: many operations together, as at saturation, and one at a time.

mod push;
mod sign;
mod store;

use std::time::{Duration, Instant};

use ssfd::{clock, signing::algorithm::Algorithm};

use super::{
    https::Http,
    run::{Method, Plan},
};
use crate::support::{backend::Backend, micros, report::Section, usage::thread_cpu_time};

/// The time for which each part is measured.
const LENGTH: Duration = Duration::from_millis(700);

/// The cost of one part per SET.
#[derive(Debug, Clone, Copy)]
struct Floor {
    /// The processor time of the measuring thread while many operations run together. The time of
    /// other threads is not included.
    cpu: Duration,
    /// The number of operations per second of that thread.
    per_second: f64,
    /// The time of one operation while no other runs.
    alone: Duration,
}

/// Counts the operations of one thread.
struct Count {
    done: u32,
    cpu: Duration,
    began: Instant,
}

impl Count {
    fn begin() -> Self {
        Self { done: 0, cpu: thread_cpu_time(), began: clock::instant() }
    }

    fn is_over(&self) -> bool {
        LENGTH <= self.began.elapsed()
    }

    /// Returns the processor time and the elapsed time per operation.
    fn end(self) -> (Duration, Duration) {
        let done = self.done.max(1);
        (thread_cpu_time().saturating_sub(self.cpu) / done, self.began.elapsed() / done)
    }
}

pub(crate) struct Floors {
    sign: Vec<(Algorithm, Floor)>,
    /// For each algorithm, the signatures per second of all cores together.
    sign_at_once: Vec<(Algorithm, f64)>,
    push: Vec<(Http, Floor)>,
    ingest: Floor,
    store: Vec<(Backend, Floor)>,
}

impl Floors {
    pub(crate) fn measure(algorithms: &[Algorithm], backends: &[Backend]) -> Self {
        Self {
            sign: algorithms.iter().map(|one| (*one, sign::sign(*one))).collect(),
            sign_at_once: algorithms.iter().map(|one| (*one, sign::sign_at_once(*one))).collect(),
            push: Http::ALL.into_iter().map(|http| (http, push::push(http))).collect(),
            ingest: store::ingest(),
            store: backends.iter().map(|one| (*one, store::store(*one))).collect(),
        }
    }

    /// Returns the lowest processor time per SET of a run: for the signature, for the request if
    /// the SET is pushed, and for the commands that read the event and store the SET.
    pub(crate) fn cpu(&self, plan: &Plan) -> Duration {
        self.parts(plan).map(|floor| floor.cpu).sum()
    }

    /// Returns the lowest age of a SET at its arrival.
    pub(crate) fn age(&self, plan: &Plan) -> Duration {
        self.parts(plan).map(|floor| floor.alone).sum()
    }

    fn parts(&self, plan: &Plan) -> impl Iterator<Item = Floor> {
        let push = match plan.method {
            Method::Push(http) => Some(find(&self.push, http)),
            Method::Poll => None,
        };
        let sign = find(&self.sign, plan.algorithm);
        let store = find(&self.store, plan.backend);
        [sign, self.ingest, store].into_iter().chain(push)
    }

    /// Returns the signatures per second of one thread.
    pub(crate) fn signed(&self, algorithm: Algorithm) -> f64 {
        find(&self.sign, algorithm).per_second
    }

    /// Returns the signatures per second with one thread per core.
    pub(crate) fn signed_at_once(&self, algorithm: Algorithm) -> f64 {
        find(&self.sign_at_once, algorithm)
    }

    pub(crate) fn section(&self) -> Section {
        let mut section = Section::new("floors", &["CPU µs", "a second", "alone µs"]);
        let mut add = |name: &str, floor: &Floor| {
            let values = [micros(floor.cpu), floor.per_second, micros(floor.alone)];
            section.add(name, values.map(Some));
        };
        for (algorithm, floor) in &self.sign {
            add(&format!("sign, {algorithm}"), floor);
        }
        for (http, floor) in &self.push {
            add(&format!("push, {}", http.name()), floor);
        }
        add("read from Redis, acknowledge", &self.ingest);
        for (backend, floor) in &self.store {
            add(&format!("keep, read, settle, {backend}"), floor);
        }
        for (algorithm, per_second) in &self.sign_at_once {
            section
                .add(&format!("sign, {algorithm}, on all cores"), [None, Some(*per_second), None]);
        }
        section
    }
}

fn find<K: Copy + PartialEq, V: Copy>(measured: &[(K, V)], key: K) -> V {
    let found = measured.iter().find(|(known, _)| *known == key);
    found.expect("there is a floor for all that is run").1
}
