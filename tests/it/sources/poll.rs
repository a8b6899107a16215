//! Sources that poll: providers with the interfaces of real ones, over real sockets, to SETs that wait.
//!
//! `providers` are the scripted providers. `faults` has a case for each way in which one may fail, `pages` for
//! the ways of paging, and `kept` for the position and for what operators see. `keycloak`, `okta` and `auth0`
//! try the presets. `killed` kills the real process in the midst of a round.

mod auth0;
mod faults;
mod kept;
mod keycloak;
mod killed;
mod okta;
mod pages;
pub(crate) mod providers;

use serde_json::{Value, json};

use self::providers::{Provider, Served};
use super::{SOURCE, Stand, add_source, table};
use crate::harness::eventually;

/// Returns the table of a source that polls a provider by time, with these members of `poll` besides.
fn polling(provider: &Provider, members: Value) -> Value {
    let mut poll = json!({
        "urls": provider.url("/events?since={since}&first={first}&max={max}"),
        "paging": "time",
        "time_format": "ms",
        "interval": "100ms",
        "timeout": "5s",
        "start": "1h",
        "page_size": 3,
        "auth": {"header": "X-Key", "secret_file": "SECRET"},
    });
    for (key, value) in members.as_object().expect("members") {
        poll[key] = value.clone();
    }
    poll.as_object_mut().expect("a table").retain(|_, value| !value.is_null());
    table(json!({"poll": poll}))
}

impl Stand {
    /// Starts a daemon with a source of this table, which begins to poll once there is a stream for its events.
    async fn polls(provider: &str, table: &Value) -> Self {
        Self::polls_all(provider, &[(SOURCE, table)]).await
    }

    /// Does the same with several sources.
    async fn polls_all(provider: &str, sources: &[(&str, &Value)]) -> Self {
        let mut stand = Self::with_secret_file(provider, |_, _| {}).await;
        let secret = stand.secret_file();
        let daemon = &mut stand.setup.daemon;
        daemon.stop().await;
        for (name, table) in sources {
            add_source(daemon.config(), name, table, secret.to_str().expect("UTF-8"));
        }
        daemon.start_again().await;
        stand
    }

    /// Returns the number of rounds that ended so.
    async fn rounds(&self, outcome: &str) -> u64 {
        self.count("poll_rounds_total", "outcome", outcome).await
    }

    async fn polled(&self, result: &str) -> u64 {
        self.count("poll_events_total", "result", result).await
    }

    /// Returns once a round that began after this call was complete, or two for each of the URLs.
    async fn rounds_pass(&self, urls: u64) {
        let before = self.rounds("complete").await;
        let passed = async || before + 2 * urls <= self.rounds("complete").await;
        eventually("rounds are complete", passed).await;
    }

    /// Checks that each of these records gave one SET, in any order, and no other record did.
    async fn has_users(&self, served: &[Served]) {
        let mut expected: Vec<_> = served.iter().map(|record| record.user.clone()).collect();
        expected.sort();
        let mut users = Vec::new();
        eventually("the events arrive", async || {
            users = self.users().await;
            expected.len() <= users.len()
        })
        .await;
        users.sort();
        assert_eq!(users, expected);
    }
}
