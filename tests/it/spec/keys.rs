//! Signing keys and their publication (RFC 7517, SSF §7.1).

use std::collections::BTreeSet;

use hyper::header::{CONTENT_TYPE, ETAG};
use serde_json::Value;
use ssfd::config::Config;

use crate::harness::{
    KEYS,
    daemon::{Daemon, PROVIDER, with_provider},
    http_client::{Answer, get},
    sample::Sample,
    setup::Setup,
    test_key,
};

const EC: &str = "test-p256-pkcs8.pem";
const RSA: &str = "test-rsa-2048-pkcs8.pem";

async fn key_set(daemon: &Daemon, provider: &str) -> Answer {
    let answer = get(&daemon.provider_url(provider, "/jwks.json")).send().await.expect(200);
    assert_eq!(answer.header(CONTENT_TYPE), "application/json");
    answer
}

fn keys(answer: &Answer) -> Vec<Value> {
    answer.json()["keys"].as_array().expect("an array").clone()
}

/// Configures these files of `tests/data/keys`. The first one signs.
fn signing_with<const N: usize>(files: [&'static str; N]) -> impl Fn(&mut Config) {
    move |config| {
        let keys = files.iter().map(|file| test_key(file)).collect();
        with_provider(|provider| provider.signing_keys = keys)(config);
    }
}

/// The `jwks_uri` is https. The listener speaks TLS if it has a certificate, as SEC-01 shows.
#[actix_web::test]
async fn key_01_the_key_that_signs_is_published_over_https() {
    let sample = Sample::take().await;
    for (provider, _) in KEYS {
        let url = sample.daemon.provider_url(provider, "/.well-known/ssf-configuration");
        let metadata = get(&url).send().await.expect(200).json();
        let path = format!("https://tx.example/t/{provider}/jwks.json");
        assert_eq!(metadata["jwks_uri"], path);
        let published = keys(&key_set(&sample.daemon, provider).await);
        assert!(published.iter().all(|key| key["alg"] == provider && key["use"] == "sig"));
        for set in sample.sets.iter().filter(|set| set.provider == provider) {
            assert!(published.iter().any(|key| key["kid"] == set.header()["kid"]));
        }
    }
}

/// Each kind of key has its public members and no others.
#[actix_web::test]
async fn key_02_nothing_private_is_published() {
    let daemon = Daemon::with(signing_with(KEYS.map(|(_, file)| file))).await;
    for key in keys(&key_set(&daemon, PROVIDER).await) {
        let public: &[&str] = match key["kty"].as_str().expect("a kind") {
            "RSA" => &["alg", "e", "kid", "kty", "n", "use"],
            "EC" => &["alg", "crv", "kid", "kty", "use", "x", "y"],
            "OKP" => &["alg", "crv", "kid", "kty", "use", "x"],
            other => panic!("{other}"),
        };
        let members: Vec<_> = key.as_object().expect("an object").keys().collect();
        assert_eq!(members, public);
    }
}

/// Restarts the daemon with these files of `tests/data/keys`, and returns a SET that it signs then.
async fn rotated<const N: usize>(setup: &mut Setup, files: [&'static str; N]) -> String {
    signing_with(files)(setup.daemon.config());
    setup.daemon.restart().await;
    assert_eq!(keys(&key_set(&setup.daemon, PROVIDER).await).len(), N);
    setup.publish(&["s-88"]).await;
    next_set(setup).await
}

async fn next_set(setup: &Setup) -> String {
    let [set] = setup.client().sets(&setup.stream).await.try_into().expect("one SET");
    set
}

/// The operator decides how long each stage lasts. A Receiver may keep the key set for five
/// minutes.
#[actix_web::test]
async fn key_03_a_key_is_published_before_it_signs_and_after() {
    let mut setup = Setup::polling().await;
    let before = rotated(&mut setup, [EC]).await;
    let known = key_set(&setup.daemon, PROVIDER).await;
    let announced = rotated(&mut setup, [EC, RSA]).await;
    assert_ne!(key_set(&setup.daemon, PROVIDER).await.header(ETAG), known.header(ETAG));
    let after = rotated(&mut setup, [RSA, EC]).await;

    assert!(keys(&key_set(&setup.daemon, PROVIDER).await).contains(&keys(&known)[0]));
    let verifier = setup.daemon.verifier(PROVIDER).await;
    let by = |set: &str| verifier.verify(set).expect("a SET of ours").algorithm.as_str();
    assert_eq!([&before, &announced, &after].map(|set| by(set)), ["ES256", "ES256", "RS256"]);

    // A SET is signed when it is sent, so a SET that waits does not need the old key.
    setup.publish(&["waits"]).await;
    signing_with([RSA])(setup.daemon.config());
    setup.daemon.restart().await;
    setup.daemon.verifier(PROVIDER).await.verify(&next_set(&setup).await).expect("by the new key");
}

#[actix_web::test]
async fn key_04_each_key_has_a_kid_of_its_own_and_a_short_one_is_refused() {
    let mut daemon = Daemon::with(signing_with(KEYS.map(|(_, file)| file))).await;
    let kids = async |daemon: &Daemon| -> Vec<String> {
        let keys = keys(&key_set(daemon, PROVIDER).await);
        keys.iter().map(|key| key["kid"].to_string()).collect()
    };
    let mut all = kids(&daemon).await;
    assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), KEYS.len());
    // A `kid` depends on nothing but its key, so it stays the same at another place of the list.
    let mut files = KEYS.map(|(_, file)| file);
    files.reverse();
    signing_with(files)(daemon.config());
    daemon.restart().await;
    all.reverse();
    assert_eq!(kids(&daemon).await, all);

    for (files, why) in [
        (["test-rsa-1024-pkcs8.pem", RSA], "1024 bits"),
        ([RSA, "test-rsa-1024-pkcs1.pem"], "1024 bits"),
        ([RSA, RSA], "given twice"),
    ] {
        let error = Daemon::try_with(signing_with(files)).await.err().expect("a refusal");
        assert!(error.to_string().contains(why), "{error}");
    }
}
