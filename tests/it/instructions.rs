//! Counts the instructions that our own code spends on one SET. The count guards against slower
//! code and, unlike a time, does not need a quiet machine.
//!
//! Counts differ by compiler and by profile. Each count is therefore divided by another count of
//! the same build: reading and writing the event as plain JSON. The test judges that ratio.
//! Signatures are left out, because the processor decides how they are computed.

mod workload;

use std::{env, process::Command, thread};

use self::workload::Workload;

/// The environment variable that names the workload of the process under callgrind.
const VARIABLE: &str = "SSFD_TEST_WORKLOAD";
/// The factor by which a ratio may exceed the value that was measured when it was written down.
const TOLERANCE: f64 = 1.1;

/// Runs one workload when called under callgrind, and all workloads when called as an ordinary
/// test.
#[test]
fn workloads_run() {
    match env::var(VARIABLE) {
        Ok(name) => Workload::named(&name).expect("the variable names a workload").run(),
        Err(_) => Workload::ALL.into_iter().for_each(Workload::run),
    }
}

#[test]
fn a_set_takes_no_more_instructions_than_it_did() {
    let counts = Workload::ALL.map(|workload| thread::spawn(move || instructions(workload)));
    let counts = counts.map(|count| count.join().expect("counted"));
    let of = |wanted| {
        let at = Workload::ALL.iter().position(|workload| *workload == wanted);
        counts[at.expect("`ALL` has every workload")]
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
    assert!(ratios.iter().all(held), "slower, unless the compiler has changed:\n{all}");
}

/// Returns the number of instructions of a workload, as callgrind counts them within
/// [`workload::counted`].
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
