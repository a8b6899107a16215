//! Thousands of runs of many streams against Receivers that stall, refuse, flap, throttle and lie,
//! under operators, crashes, a failing store and a clock that is set, all in virtual time: whatever
//! happens, the promises hold.
//!
//! A run comes from its seed alone. A failure prints it, and `SIMULATION_SEED=<seed>` lives through
//! that run again and tells every step; `SIMULATION_RUNS=<number>` asks for more runs, or fewer.

mod agenda;
mod chance;
mod node;
mod outbox;
mod promises;
mod stranger;
mod trouble;
mod world;

use std::{cell::RefCell, collections::BTreeSet, env, fmt::Write as _, thread};

use self::world::World;

/// Some seconds of a debug build.
const RUNS: u64 = 1000;

/// The sights that so many runs come to see, at least.
const SIGHTS: [&str; 14] = [
    "Waits",
    "Delivered",
    "Dead { reason: Expired }",
    "Dead { reason: Refused(InvalidRequest) }",
    "Dead { reason: Refused(InvalidKey) }",
    "Discarded(Disabled)",
    "Discarded(Deleted)",
    "Discarded(SubjectRemoved)",
    "Discarded(Withdrawn)",
    "paused by fault",
    "drained",
    "lease in doubt",
    "not signed",
    "crashed with pushes under way",
];

/// Tells which run it was.
struct Run {
    seed: u64,
}

impl Drop for Run {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("this was a run of the simulation: SIMULATION_SEED={}", self.seed);
        }
    }
}

fn number(variable: &str) -> Option<u64> {
    let value = env::var(variable).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{variable} must be a number")))
}

/// P1 to P5, P7 and P8 of the delivery engine.
#[test]
fn the_promises_hold_whatever_strangers_do() {
    if let Some(seed) = number("SIMULATION_SEED") {
        let _run = Run { seed };
        World::new(seed).run(|world, happening| {
            eprintln!("{:?} {happening:?}", world.agenda.elapsed());
        });
        return;
    }
    let (runs, mut seen) = (number("SIMULATION_RUNS").unwrap_or(RUNS), BTreeSet::new());
    for seed in 0..runs {
        let _run = Run { seed };
        let mut world = World::new(seed);
        world.run(|_, _| {});
        seen.append(&mut world.sights());
    }
    // Else it would be easy to promise.
    let missing: Vec<_> = SIGHTS.iter().filter(|sight| !seen.contains(**sight)).collect();
    assert!(runs < RUNS || missing.is_empty(), "never seen: {missing:?}, but {seen:?}");
}

#[test]
fn a_seed_brings_the_same_run_again() {
    let history = || {
        let history = RefCell::new(String::new());
        World::new(7).run(|world, happening| {
            let line = format!("{:?} {happening:?}", world.agenda.elapsed());
            writeln!(history.borrow_mut(), "{line}").expect("a string takes all");
        });
        history.into_inner()
    };
    assert!(history() == history(), "not the same");
}
