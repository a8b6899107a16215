//! Measures how much signing costs beyond the signature itself, per SET and on one thread:
//!
//! - `floor`: the bare aws-lc signature over the same bytes, with a parsed key;
//! - `ours`: `SigningKey::sign_batch`;
//! - `jsonwebtoken`: `jsonwebtoken::encode`, which parses the key anew for each call.

mod support;

use std::{hint::black_box, sync::Arc};

use criterion::{Criterion, Throughput};
use jsonwebtoken::{EncodingKey, Header};
use ssfd::signing::{SET_TYPE, algorithm::Algorithm, generate::generate, keys::SigningKey};

use self::support::{
    bare_signer::bare_signer,
    criterion::{criterion, median_micros},
    is_measured,
    report::{Section, show},
    sample,
};

/// The number of SETs that are signed in one call.
const BATCH: usize = 16;

fn main() {
    let mut criterion = criterion("signing");
    for algorithm in Algorithm::ALL {
        measure(&mut criterion, algorithm);
    }
    criterion.final_summary();
    // `cargo test --all-targets` runs this program without measuring anything.
    if is_measured() {
        let section = section();
        section.save();
        show(&[section], false);
    }
}

fn measure(criterion: &mut Criterion, algorithm: Algorithm) {
    let pem = generate(algorithm).expect("a key");
    let key = SigningKey::from_pem(pem.as_bytes()).expect("a usable key");
    let floor = bare_signer(algorithm, &pem);
    let claims = sample::claims();
    let batch: Vec<Arc<str>> = vec![claims.to_string().into(); BATCH];
    let set = key.sign_set(&batch[0]).expect("signed");
    let end = set.iter().rposition(|byte| *byte == b'.').expect("three parts");
    let input = &set[..end];

    let mut group = criterion.benchmark_group(algorithm.as_str());
    group.throughput(Throughput::Elements(BATCH as u64));
    group.bench_function("floor", |bencher| {
        bencher.iter(|| (0..BATCH).for_each(|_| drop(black_box(floor(black_box(input))))));
    });
    group.bench_function("ours", |bencher| bencher.iter(|| key.sign_batch(black_box(&batch))));
    if let Some((their_algorithm, their_key)) = theirs(algorithm, pem.as_bytes()) {
        let header = Header {
            typ: Some(SET_TYPE.to_owned()),
            kid: Some(key.kid().to_string()),
            ..Header::new(their_algorithm)
        };
        group.bench_function("jsonwebtoken", |bencher| {
            let encode = || jsonwebtoken::encode(&header, black_box(&claims), &their_key);
            bencher.iter(|| (0..BATCH).for_each(|_| drop(black_box(encode().expect("signed")))));
        });
    }
    group.finish();
}

/// Returns the algorithm and the key as `jsonwebtoken` has them. `None` for ES512, which it does not
/// support.
fn theirs(algorithm: Algorithm, pem: &[u8]) -> Option<(jsonwebtoken::Algorithm, EncodingKey)> {
    use jsonwebtoken::Algorithm as Theirs;
    let (algorithm, key) = match algorithm {
        Algorithm::Rs256 => (Theirs::RS256, EncodingKey::from_rsa_pem(pem)),
        Algorithm::Es256 => (Theirs::ES256, EncodingKey::from_ec_pem(pem)),
        Algorithm::Es384 => (Theirs::ES384, EncodingKey::from_ec_pem(pem)),
        Algorithm::EdDsa => (Theirs::EdDSA, EncodingKey::from_ed_pem(pem)),
        Algorithm::Es512 => return None,
    };
    Some((algorithm, key.expect("a usable key")))
}

/// Puts the medians side by side. On a busy machine only their ratios mean something.
#[expect(clippy::cast_precision_loss, reason = "a small number")]
fn section() -> Section {
    let columns = ["floor µs", "ours µs", "÷ floor", "jwt µs", "jwt ÷ ours"];
    let mut section = Section::new("signing", &columns);
    for algorithm in Algorithm::ALL {
        let median = |name| {
            let micros = median_micros("signing", &format!("{algorithm}/{name}"));
            micros.map(|micros| micros / BATCH as f64)
        };
        let (floor, ours, theirs) = (median("floor"), median("ours"), median("jsonwebtoken"));
        let ratio = |a: Option<f64>, b: Option<f64>| a.zip(b).map(|(a, b)| a / b);
        let values = [floor, ours, ratio(ours, floor), theirs, ratio(theirs, ours)];
        section.add(algorithm.as_str(), values);
    }
    section
}
