//! The runs in which each event becomes one SET, and their measurements.

use std::time::Duration;

use ssfd::signing::algorithm::Algorithm;

use super::{
    floors::Floors,
    https::Http,
    run::{Load, Measured, Method, Plan, Run},
};
use crate::support::{backend::Backend, mib, micros, millis, report::Section};

/// The duration of each load.
const LENGTH: Duration = Duration::from_secs(3);
pub(crate) const ALGORITHMS: [Algorithm; 3] =
    [Algorithm::Rs256, Algorithm::Es256, Algorithm::EdDsa];
/// The events per second of the loads below saturation.
const RATES: [u32; 3] = [100, 1_000, 4_000];
/// The numbers of registered streams. All other runs have one.
const REGISTERED: [usize; 4] = [10, 100, 10_000, 100_000];

/// The measurements of all runs.
#[derive(Default)]
pub(crate) struct Runs {
    measured: Vec<(Plan, Load, Measured)>,
    /// The memory of the daemon before anything was published, in bytes.
    memory_idle: Vec<(Plan, u64)>,
}

impl Runs {
    /// Measures each delivery method with each algorithm.
    pub(crate) fn of_methods(&mut self, backend: Backend) {
        for method in Method::ALL {
            for algorithm in ALGORITHMS {
                let plan = Plan { backend, method, algorithm, signers: 0, registered: 1 };
                // One algorithm is enough here, because the time to sign does not affect the rest
                // of a delivery.
                let rates = if algorithm == Algorithm::Es256 { &RATES[..] } else { &[] };
                let rates = rates.iter().map(|rate| Load::Rate(*rate));
                self.run(plan, rates.chain([Load::Saturated]));
            }
        }
        self.run(one_signer(backend), [Load::Saturated]);
    }

    /// Measures different numbers of registered streams.
    pub(crate) fn of_registered(&mut self, backend: Backend) {
        let (method, algorithm) = (Method::Push(Http::One), Algorithm::Es256);
        for registered in REGISTERED {
            let plan = Plan { backend, method, algorithm, signers: 0, registered };
            self.run(plan, [Load::Saturated]);
        }
    }

    fn run(&mut self, plan: Plan, loads: impl IntoIterator<Item = Load>) {
        let mut run = Run::start(&plan);
        self.memory_idle.push((plan, run.memory_idle));
        for load in loads {
            self.measured.push((plan, load, run.measure(load, LENGTH)));
        }
    }

    /// Returns the measurements of a run, if it was made.
    pub(crate) fn find(&self, plan: &Plan, load: Load) -> Option<&Measured> {
        let found = self.measured.iter().find(|(known, at, _)| known == plan && *at == load);
        found.map(|(_, _, measured)| measured)
    }

    pub(crate) fn memory_idle(&self, plan: &Plan) -> Option<u64> {
        self.memory_idle.iter().find(|(known, _)| known == plan).map(|(_, memory)| *memory)
    }

    /// Returns a table. SETs per second are divided by those of one thread at the floors, and ages
    /// by the age of a single SET at the floors.
    pub(crate) fn section(&self, floors: &Floors) -> Section {
        let columns = [
            "SETs/s",
            "of floor",
            "p50 ms",
            "p50÷floor",
            "p99 ms",
            "p99.9 ms",
            "CPU µs",
            "CPU÷floor",
            "peak MiB",
        ];
        let mut section = Section::new("delivery", &columns);
        for (plan, load, measured) in &self.measured {
            let (per_second, cpu) = (measured.per_second(), floors.cpu(plan));
            let [p50, p99, p999] = [0.5, 0.99, 0.999].map(|q| measured.arrivals.age(q));
            // At saturation, the age depends only on the length of the queue.
            let beside_floor = p50.div_duration_f64(floors.age(plan));
            let values = [
                Some(per_second),
                Some(per_second * cpu.as_secs_f64()),
                Some(millis(p50)),
                Some(beside_floor).filter(|_| *load != Load::Saturated),
                Some(millis(p99)),
                Some(millis(p999)),
                Some(micros(measured.cpu)),
                Some(measured.cpu.div_duration_f64(cpu)),
                Some(mib(measured.memory_peak)),
            ];
            section.add(&name(plan, *load), values);
        }
        section
    }
}

/// Returns a run with one signing thread. If the rest of the daemon keeps up, that thread limits
/// the SETs per second.
pub(crate) fn one_signer(backend: Backend) -> Plan {
    let (method, algorithm) = (Method::Push(Http::One), Algorithm::Rs256);
    Plan { backend, method, algorithm, signers: 1, registered: 1 }
}

fn name(plan: &Plan, load: Load) -> String {
    let Plan { backend, method, algorithm, signers, registered } = plan;
    let signers = if *signers == 0 { String::new() } else { format!(", signers: {signers}") };
    let method = method.name();
    let streams = if *registered == 1 { String::new() } else { format!(", {registered} streams") };
    let load = match load {
        Load::Saturated => String::new(),
        Load::Rate(rate) => format!(", {rate}/s"),
    };
    format!("{backend}, {method}, {algorithm}{signers}{streams}{load}")
}
