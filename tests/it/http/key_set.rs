//! The public keys (RFC 7517 §5).

use std::collections::BTreeSet;

use hyper::header::{CONTENT_TYPE, ETAG};
use serde_json::{Value, json};

use crate::harness::{
    daemon::{Daemon, PROVIDER, provider},
    http_client::{Answer, get},
    test_key,
};

async fn key_set(daemon: &Daemon, provider: &str) -> Answer {
    let answer = get(&daemon.provider_url(provider, "/jwks.json")).send().await.expect(200);
    assert_eq!(answer.header(CONTENT_TYPE), "application/json");
    answer
}

fn keys(answer: &Answer) -> Vec<Value> {
    answer.json()["keys"].as_array().expect("an array").clone()
}

/// The one SET that a new stream of this provider holds after a verification.
async fn a_set(daemon: &Daemon, provider: &str) -> String {
    let caller = daemon.caller_at(provider, "rx").await;
    let id = caller.new_stream().await;
    caller.send("POST", "/ssf/verify", &json!({"stream_id": id})).await.expect(204);
    let polled = caller.send("POST", &format!("/ssf/poll/{id}"), &json!({})).await.expect(200);
    let sets = polled.json()["sets"].as_object().expect("an object").clone();
    let (_, set) = sets.into_iter().next().expect("a long poll waits for it");
    set.as_str().expect("a string").to_owned()
}

/// KEY-01, KEY-02 (SSF §7.1).
#[actix_web::test]
async fn each_algorithm_publishes_the_key_that_verifies_its_sets() {
    let algorithms = [
        ("rs256", "test-rsa-2048-pkcs8.pem", "RSA", &["n", "e"][..]),
        ("es256", "test-p256-pkcs8.pem", "EC", &["crv", "x", "y"]),
        ("es384", "test-p384-pkcs8.pem", "EC", &["crv", "x", "y"]),
        ("es512", "test-p521-pkcs8.pem", "EC", &["crv", "x", "y"]),
        ("eddsa", "test-ed25519-pkcs8.pem", "OKP", &["crv", "x"]),
    ];
    let daemon = Daemon::with(|config| {
        config.providers.clear();
        for (name, file, ..) in algorithms {
            let mut settings = provider(&format!("https://tx.example/{name}"));
            settings.signing_keys = vec![test_key(file)];
            config.providers.insert(name.parse().expect("a name"), settings);
        }
    })
    .await;
    for (name, _, kty, members) in algorithms {
        let [key] = keys(&key_set(&daemon, name).await).try_into().expect("one key");
        assert_eq!(key["alg"].as_str().map(str::to_lowercase).as_deref(), Some(name));
        assert_eq!((&key["kty"], &key["use"]), (&json!(kty), &json!("sig")));
        // These and no others, so nothing private.
        let found: BTreeSet<_> = key.as_object().expect("an object").keys().cloned().collect();
        let common = ["alg", "kid", "kty", "use"];
        let expected = common.iter().chain(members).map(ToString::to_string).collect();
        assert_eq!(found, expected);

        let set = a_set(&daemon, name).await;
        let verified = daemon.verifier(name).await.verify(&set);
        verified.unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

/// KEY-03, KEY-04: a key is published before it signs, and after.
#[actix_web::test]
async fn all_keys_are_published_and_the_first_one_signs() {
    let with = |files: &'static [&'static str]| {
        move |config: &mut ssfd::config::Config| {
            let settings = config.providers.values_mut().next().expect("a provider");
            settings.signing_keys = files.iter().map(|file| test_key(file)).collect();
        }
    };
    let mut daemon = Daemon::with(with(&["test-p256-pkcs8.pem"])).await;
    let before = key_set(&daemon, PROVIDER).await;
    let old_set = a_set(&daemon, PROVIDER).await;

    with(&["test-rsa-2048-pkcs8.pem", "test-p256-pkcs8.pem"])(daemon.config());
    daemon.restart().await;
    let after = key_set(&daemon, PROVIDER).await;
    assert_ne!(before.header(ETAG), after.header(ETAG));
    let (old, both) = (keys(&before), keys(&after));
    assert_eq!(both.len(), 2);
    assert!(both.contains(&old[0]), "the old key is kept as it was");
    assert_ne!(both[0]["kid"], both[1]["kid"]);

    let new_set = a_set(&daemon, PROVIDER).await;
    let verifier = daemon.verifier(PROVIDER).await;
    let kid = |set: &str| verifier.verify(set).expect("a SET of ours").kid;
    assert_eq!(old[0]["kid"], kid(&old_set));
    assert_ne!(old[0]["kid"], kid(&new_set));
}
