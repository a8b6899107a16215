//! How many instructions our own part of a SET's way takes: a guard against getting slower, for which no
//! machine has to be quiet.
//!
//! Counts differ by compiler, and with it by profile, so each is set against another of the same build:
//! reading and writing the event as plain JSON. What is judged is their ratio. Signatures are not in it,
//! since they are made as the processor allows.

mod workload;

use std::{env, process::Command, thread};

use self::workload::Workload;

/// Names the workload of the process that is watched.
const VARIABLE: &str = "SSFD_TEST_WORKLOAD";
/// How far a ratio may be above what was measured when it was written down.
const TOLERANCE: f64 = 1.1;

/// What runs under callgrind; of itself, all workloads.
#[test]
fn workloads_run() {
    match env::var(VARIABLE) {
        Ok(name) => Workload::named(&name).expect("it was named by us").run(),
        Err(_) => Workload::ALL.into_iter().for_each(Workload::run),
    }
}

#[test]
fn a_set_takes_no_more_instructions_than_it_did() {
    let counts = Workload::ALL.map(|workload| thread::spawn(move || instructions(workload)));
    let counts = counts.map(|count| count.join().expect("counted"));
    let of = |wanted| {
        let at = Workload::ALL.iter().position(|workload| *workload == wanted);
        counts[at.expect("it is one of all")]
    };
    let plain = of(Workload::PlainJson);
    let (few, many) = (of(Workload::MatchingFew), of(Workload::MatchingMany));
    let jws = of(Workload::Signing) - of(Workload::Signature);
    let ratios = [
        ("matching ÷ plain JSON", few / plain, 0.062),
        ("matching among 1,000 streams ÷ among 10", many / few, 1.0),
        ("reading an event ÷ plain JSON", of(Workload::Reading) / plain, 0.78),
        ("writing claims ÷ plain JSON", of(Workload::Writing) / plain, 0.74),
        ("a JWS without its signature ÷ plain JSON", jws / plain, 0.12),
    ];
    let all = ratios.map(|(what, ratio, was)| format!("{what}: {ratio:.3}, was {was}")).join("\n");
    println!("{all}");
    let held = |(_, ratio, was): &(&str, f64, f64)| *ratio <= was * TOLERANCE;
    assert!(ratios.iter().all(held), "slower, unless the compiler is another:\n{all}");
}

/// The instructions of a workload, as callgrind counts them within [`workload::counted`].
fn instructions(workload: Workload) -> f64 {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg("--toggle-collect=*instructions*workload*counted*")
        .arg(env::current_exe().expect("this program"))
        .args(["--exact", "instructions::workloads_run", "--test-threads=1"])
        .env(VARIABLE, workload.name())
        .output()
        .expect("the tests need the program valgrind in the PATH");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let count = said.lines().find_map(|line| line.rsplit_once("Collected : "));
    let count = count.and_then(|(_, count)| count.parse().ok()).filter(|count| 0.0 < *count);
    count.unwrap_or_else(|| panic!("callgrind counted nothing:\n{said}"))
}
