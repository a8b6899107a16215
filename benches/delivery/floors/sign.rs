//! The sign floor: one signature and nothing else.

use std::thread;

use bytes::Bytes;
use ssfd::signing::{algorithm::Algorithm, generate::generate, keys::SigningKey};

use super::{Count, Floor};
use crate::support::{bare_signer::bare_signer, sample};

pub(super) fn sign(algorithm: Algorithm) -> Floor {
    let signer = bare_signer(algorithm, &generate(algorithm).expect("a key"));
    let set = sample_set(algorithm);
    let end = set.iter().rposition(|byte| *byte == b'.').expect("three parts");
    let mut count = Count::begin();
    while !count.is_over() {
        std::hint::black_box(signer(&set[..end]));
        count.done += 1;
    }
    // One thread signs one SET at a time, so both times are the same measurement.
    let (cpu, alone) = count.end();
    Floor { cpu, per_second: alone.as_secs_f64().recip(), alone }
}

/// Returns the signatures per second with one thread per core. Two threads that share a core slow
/// each other down.
pub(super) fn sign_at_once(algorithm: Algorithm) -> f64 {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let threads: Vec<_> = (0..cores).map(|_| thread::spawn(move || sign(algorithm))).collect();
    threads.into_iter().map(|thread| thread.join().expect("no panic").per_second).sum()
}

/// Returns a SET as it is pushed.
pub(super) fn sample_set(algorithm: Algorithm) -> Bytes {
    let pem = generate(algorithm).expect("a key");
    let key = SigningKey::from_pem(pem.as_bytes()).expect("a usable key");
    key.sign_set(&sample::claims().to_string()).expect("signed")
}
