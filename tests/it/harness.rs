//! Starts everything that a test of the whole daemon talks to. Each test has servers, folders and
//! ports of its own, so that the tests can run side by side.
//!
//! - `daemon` builds the daemon as `main` does; `command` runs the command line; `operator` calls
//!   the admin API.
//! - `receiver` is a push endpoint that a test scripts; `receiver_client` and `streams` are a Receiver's
//!   requests to the daemon; `polling` and `subjects` add polls and subjects.
//! - `events` are the events that a publisher sends; `sample` collects SETs of every kind;
//!   `waiting` reads the SETs that wait in a store.
//! - `redis`, `redis_cluster`, `redis_sentinel`, `redis_tls` and `authorization_server` are servers that
//!   the daemon depends on; `proxy` stalls or cuts the connection to one.
//! - `setup` combines a daemon, a Receiver, a publisher and one stream: most tests of delivery
//!   start from it.

pub(crate) mod authorization_server;
pub(crate) mod command;
pub(crate) mod daemon;
pub(crate) mod events;
pub(crate) mod http_client;
pub(crate) mod operator;
pub(crate) mod polling;
pub(crate) mod proxy;
pub(crate) mod receiver;
pub(crate) mod receiver_client;
pub(crate) mod redis;
pub(crate) mod redis_cluster;
pub(crate) mod redis_sentinel;
pub(crate) mod redis_tls;
pub(crate) mod sample;
pub(crate) mod setup;
pub(crate) mod streams;
pub(crate) mod subjects;
pub(crate) mod waiting;

use std::{future::Future, path::PathBuf, time::Duration};

use tokio::time::{MissedTickBehavior, interval, timeout};

/// The time after which a test gives up. No test needs nearly as long, unless the machine is short
/// of cores.
pub(crate) const DEADLINE: Duration = Duration::from_mins(1);

/// For each signing algorithm, a private key in `tests/data/keys`.
pub(crate) const KEYS: [(&str, &str); 5] = [
    ("RS256", "test-rsa-2048-pkcs8.pem"),
    ("ES256", "test-p256-pkcs8.pem"),
    ("ES384", "test-p384-pkcs8.pem"),
    ("ES512", "test-p521-pkcs8.pem"),
    ("EdDSA", "test-ed25519-pkcs8.pem"),
];

/// Returns the path of a file in `tests/data/keys`.
pub(crate) fn test_key(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests/data/keys", name].iter().collect()
}

/// Awaits `future` and returns its output. Panics after [`DEADLINE`] with `what` as the reason.
pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    let output = timeout(DEADLINE, future).await;
    output.unwrap_or_else(|_| panic!("not within {DEADLINE:?}: {what}"))
}

/// Returns once `holds` returns true. Panics after [`DEADLINE`] with `what` as the reason.
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
