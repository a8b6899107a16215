//! The whole delivery: events from a real Redis through the daemon, a process of its own, to a
//! Receiver in another process. The figures are compared with the lowest possible costs of the
//! parts, measured in the same run.
//!
//! Without arguments, all parts are measured and the report of all benchmarks is printed. `--json`
//! prints JSON. The name of a part (`methods`, `registered`, `fan-out`, `backlog`) or of a store
//! (`SQLite`, `Redis`) restricts the run to it.
#![allow(clippy::print_stdout, reason = "a benchmark tells what it measured")]

mod backlog;
mod budgets;
mod fan_out;
mod floors;
mod https;
mod publisher;
mod run;
mod runs;
mod sink;
#[path = "../support/mod.rs"]
mod support;

use self::{
    backlog::Backlog,
    budgets::Budgets,
    floors::Floors,
    runs::{ALGORITHMS, Runs},
    support::{backend::Backend, is_measured, report},
};

const PARTS: [&str; 4] = ["methods", "registered", "fan-out", "backlog"];

fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    if let [first, others @ ..] = &arguments[..]
        && first == sink::ARGUMENT
    {
        return sink::run(others);
    }
    if !is_measured() {
        return;
    }
    let is_given = |word: &str| arguments.iter().any(|argument| argument == word);
    let all = !PARTS.iter().any(|part| is_given(part));
    let is_wanted = |part: &str| all || is_given(part);

    let mut backends = Backend::ALL.to_vec();
    if backends.iter().any(|backend| is_given(&backend.to_string())) {
        backends.retain(|backend| is_given(&backend.to_string()));
    }

    let floors = Floors::measure(&ALGORITHMS, &backends);
    let mut sections = report::left();
    let mut budgets = Budgets::new();
    budgets.of_signing(report::find(&sections, "signing", "RS256", "jwt ÷ ours"));
    let largest = "the preset with most rules";
    budgets.of_mapping(report::find(&sections, "mapping", largest, "µs a record"));
    sections.push(floors.section());
    let (mut runs, mut fan_outs, mut starts) = (Runs::default(), Vec::new(), Backlog::section());
    for backend in backends {
        if is_wanted("methods") {
            runs.of_methods(backend);
        }
        if is_wanted("registered") {
            runs.of_registered(backend);
        }
        budgets.of_runs(backend, &runs, &floors);
        if is_wanted("fan-out") {
            let fan_out = fan_out::measure(backend);
            budgets.of_fan_out(backend, &fan_out);
            fan_outs.push(fan_out.section(backend));
        }
        if is_wanted("backlog") {
            let backlog = backlog::measure(backend);
            budgets.of_backlog(backend, &backlog);
            backlog.add_to(&mut starts, backend);
        }
    }
    sections.push(runs.section(&floors));
    sections.extend(fan_outs);
    sections.extend([starts, budgets.into_section()]);
    sections.retain(|section| !section.rows.is_empty());
    report::show(&sections, is_given("--json"));
}
