//! What the parts of a delivery cost at least, each on one thread of this process: what the daemon needs
//! is set against them.
//!
//! Each is measured twice: many together, as at saturation, and one at a time.

mod push;
mod sign;
mod store;

use std::time::{Duration, Instant};

use ssfd::{clock, signing::algorithm::Algorithm};

use super::{
    https::Http,
    scene::{Method, Plan},
};
use crate::support::{backend::Backend, micros, report::Section, usage::thread_cpu_time};

/// How long each is measured.
const LENGTH: Duration = Duration::from_millis(700);

/// What one SET costs.
#[derive(Debug, Clone, Copy)]
struct Floor {
    /// Of the processor, where many go together, in the thread that does it; what others do for it is
    /// theirs.
    cpu: Duration,
    /// How many that thread gets through in a second.
    per_second: f64,
    /// How long one takes, if nothing else is under way.
    alone: Duration,
}

/// Counts what one thread does.
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

    /// The processor time and the time that each took.
    fn end(self) -> (Duration, Duration) {
        let done = self.done.max(1);
        (thread_cpu_time().saturating_sub(self.cpu) / done, self.began.elapsed() / done)
    }
}

pub(crate) struct Floors {
    sign: Vec<(Algorithm, Floor)>,
    /// As many a second as all cores sign at once.
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

    /// The processor time that a SET costs at least which goes this way: for its signature, for its
    /// request if it is pushed, and for the commands by which its event is read and it is kept.
    pub(crate) fn cpu(&self, plan: &Plan) -> Duration {
        self.parts(plan).map(|floor| floor.cpu).sum()
    }

    /// How old it is at least when it arrives.
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

    /// SETs that one thread signs in a second.
    pub(crate) fn signed(&self, algorithm: Algorithm) -> f64 {
        find(&self.sign, algorithm).per_second
    }

    /// The same of one thread for each core.
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
