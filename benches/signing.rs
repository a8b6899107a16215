//! What signing costs beyond the signature itself, per SET and on one thread:
//!
//! - `floor`: the bare aws-lc signature over the same bytes, with a parsed key;
//! - `ours`: `SigningKey::sign_batch`;
//! - `jsonwebtoken`: `jsonwebtoken::encode`, which parses the key anew for each call.

use std::{fs, hint::black_box, path::Path, sync::Arc, time::Duration};

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING,
        ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair,
        RSA_PKCS1_SHA256, RsaKeyPair,
    },
};
use criterion::{Criterion, Throughput};
use jsonwebtoken::{EncodingKey, Header};
use rustls_pki_types::{PrivatePkcs8KeyDer, pem::PemObject as _};
use serde_json::{Value, json};
use ssfd::signing::{SET_TYPE, algorithm::Algorithm, generate::generate, keys::SigningKey};

/// As many SETs as a signing thread would take at a time.
const BATCH: usize = 16;

type Signer = Box<dyn Fn(&[u8]) -> Vec<u8>>;

fn main() {
    let results = Path::new(env!("CARGO_TARGET_TMPDIR")).join("signing");
    let mut criterion = Criterion::default()
        .output_directory(&results)
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .configure_from_args();
    for algorithm in Algorithm::ALL {
        measure(&mut criterion, algorithm);
    }
    criterion.final_summary();
    // `cargo test` runs this too, and measures nothing.
    if std::env::args().any(|arg| arg == "--bench") {
        print_ratios(&results);
    }
}

fn measure(criterion: &mut Criterion, algorithm: Algorithm) {
    let pem = generate(algorithm).expect("a key");
    let key = SigningKey::from_pem(pem.as_bytes()).expect("a usable key");
    let floor = floor(algorithm, &pem);
    let claims = claims();
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

fn claims() -> Value {
    json!({
        "iss": "https://tx.example/t/acme", "iat": 1_775_000_099,
        "jti": "4f0c2a2e9d3b5c41a7e80e6b9c1d2f33", "aud": "https://rx.example/ssf",
        "txn": "8841c2a2e9d3b5c41a7e80e6b9c1d2f3",
        "sub_id": {"format": "complex", "user": {"format": "email", "email": "kim@example.com"},
            "session": {"format": "opaque", "id": "s-88"}},
        "events": {"https://schemas.openid.net/secevent/caep/event-type/session-revoked": {
            "event_timestamp": 1_775_000_099, "initiating_entity": "user",
            "reason_admin": {"en": "signed out"}}},
    })
}

fn floor(algorithm: Algorithm, pem: &str) -> Signer {
    let der = PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes()).expect("PKCS#8");
    let der = der.secret_pkcs8_der();
    let ec = |curve: &'static EcdsaSigningAlgorithm| -> Signer {
        let key = EcdsaKeyPair::from_pkcs8(curve, der).expect("a key");
        let sign = move |input: &[u8]| key.sign(&SystemRandom::new(), input);
        Box::new(move |input| sign(input).expect("signed").as_ref().to_vec())
    };
    match algorithm {
        Algorithm::Rs256 => {
            let key = RsaKeyPair::from_pkcs8(der).expect("a key");
            Box::new(move |input| {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), input, &mut signature)
                    .expect("signed");
                signature
            })
        }
        Algorithm::Es256 => ec(&ECDSA_P256_SHA256_FIXED_SIGNING),
        Algorithm::Es384 => ec(&ECDSA_P384_SHA384_FIXED_SIGNING),
        Algorithm::Es512 => ec(&ECDSA_P521_SHA512_FIXED_SIGNING),
        Algorithm::EdDsa => {
            let key = Ed25519KeyPair::from_pkcs8(der).expect("a key");
            Box::new(move |input| key.sign(input).as_ref().to_vec())
        }
    }
}

/// `None` for ES512, which it does not know.
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

/// The medians side by side. On a busy machine only their ratios mean something.
#[expect(clippy::print_stdout, reason = "a benchmark speaks to its user")]
fn print_ratios(results: &Path) {
    println!("per SET      floor µs    ours µs  ours/floor  jsonwebtoken/ours");
    for algorithm in Algorithm::ALL {
        let median = |name| median_micros(results, algorithm, name);
        let (Some(floor), Some(ours)) = (median("floor"), median("ours")) else { continue };
        let theirs = median("jsonwebtoken");
        let theirs = theirs.map_or("-".to_owned(), |theirs| format!("{:.2}", theirs / ours));
        let ratio = ours / floor;
        println!("{algorithm:<10} {floor:>10.1} {ours:>10.1} {ratio:>11.2} {theirs:>18}");
    }
}

fn median_micros(results: &Path, algorithm: Algorithm, name: &str) -> Option<f64> {
    let file = results.join(format!("{algorithm}/{name}/new/estimates.json"));
    let estimates: Value = serde_json::from_slice(&fs::read(file).ok()?).ok()?;
    let batch = f64::from(u32::try_from(BATCH).expect("a small number"));
    Some(estimates["median"]["point_estimate"].as_f64()? / 1_000.0 / batch)
}
