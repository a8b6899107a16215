//! What the tests of the whole daemon stand on: a redis-server, the daemon, Receivers and clients,
//! all of them real, and a set of its own for each test, so that the tests run side by side.

pub(crate) mod authorization_server;
pub(crate) mod caller;
pub(crate) mod command;
pub(crate) mod daemon;
pub(crate) mod events;
pub(crate) mod http_client;
pub(crate) mod operator;
pub(crate) mod polling;
pub(crate) mod proxy;
pub(crate) mod receiver;
pub(crate) mod redis;
pub(crate) mod redis_cluster;
pub(crate) mod redis_sentinel;
pub(crate) mod sample;
pub(crate) mod scene;
pub(crate) mod streams;
pub(crate) mod subjects;

use std::{future::Future, path::PathBuf, time::Duration};

use tokio::time::{MissedTickBehavior, interval, timeout};

/// After so long a test gives up. No test takes nearly as long; a machine that is short of cores
/// may.
pub(crate) const DEADLINE: Duration = Duration::from_mins(1);

/// A file of `tests/data/keys` for each algorithm.
pub(crate) const KEYS: [(&str, &str); 5] = [
    ("RS256", "test-rsa-2048-pkcs8.pem"),
    ("ES256", "test-p256-pkcs8.pem"),
    ("ES384", "test-p384-pkcs8.pem"),
    ("ES512", "test-p521-pkcs8.pem"),
    ("EdDSA", "test-ed25519-pkcs8.pem"),
];

/// A file of `tests/data/keys`.
pub(crate) fn test_key(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests/data/keys", name].iter().collect()
}

/// What `future` comes to, which must not take for ever.
pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    let output = timeout(DEADLINE, future).await;
    output.unwrap_or_else(|_| panic!("not within {DEADLINE:?}: {what}"))
}

/// Returns once `holds` says so, and fails if it never does.
pub(crate) async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let mut tick = interval(Duration::from_millis(5));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    within(what, async {
        while !holds().await {
            tick.tick().await;
        }
    })
    .await;
}
