//! Two daemons in a row: an event at the first one, a SET pushed to a source of the second one, and the
//! SET that the second one relays, at its Receiver.

use std::{fs, net::TcpListener, time::Duration};

use serde_json::{Value, json};
use ssfd::{config::Config, domain::grant::Scope, source::settings::SourceSettings};
use tempfile::TempDir;

use super::SOURCE;
use crate::harness::{
    daemon::{Daemon, ISSUER, rename_provider, with_provider},
    eventually,
    http_client::get,
    receiver::Receiver,
    streams::push_to,
    subjects::complex,
};

/// The issuer of the first daemon.
const FIRST: &str = "https://first.example";

/// The two daemons, and the Receiver of the second one.
struct Row {
    first: Daemon,
    second: Daemon,
    receiver: Receiver,
    publisher: String,
    _folder: TempDir,
}

/// Returns the subject of the sign-out of a user.
fn signed_out(user: &str) -> Value {
    complex(&[("user", user), ("session", &format!("s-{user}"))])
}

/// Returns a port that was free a moment ago, for a listener that is at the same place after a restart.
fn free_port() -> u16 {
    let bound = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    bound.local_addr().expect("it is bound").port()
}

impl Row {
    async fn start(first: &str, second: &str) -> Self {
        let first = Daemon::with(|config| {
            rename_provider(config, first);
            with_provider(|provider| provider.issuer = FIRST.into())(config);
            // The second daemon is away for a moment, and is probed often.
            config.delivery.breaker.open_for = Duration::from_millis(50);
            config.delivery.breaker.open_for_max = Duration::from_millis(50);
        })
        .await;
        let folder = tempfile::tempdir().expect("a folder");
        let jwks = folder.path().join("jwks.json");
        let keys = get(&first.provider_url(first.provider(), "/jwks.json")).send().await;
        fs::write(&jwks, keys.expect(200).body).expect("writable");
        let source = json!({
            "preset": "set-relay",
            "auth": {"jwks": jwks, "issuer": FIRST, "audience": "https://second.example"},
        });
        let Value::Object(source) = source else { panic!("a table") };
        let port = free_port();
        let second = Daemon::with(|config: &mut Config| {
            rename_provider(config, second);
            config.sources.listen = Some(([127, 0, 0, 1], port).into());
            let provider = config.providers.values_mut().next().expect("a provider");
            provider.sources.insert(SOURCE.parse().expect("a name"), SourceSettings(source));
        })
        .await;
        let publisher = first.publisher_token().await;
        let token = first.receiver_token("second", &[Scope::Manage]).await;
        let url = format!("http://127.0.0.1:{port}/in/{}/{SOURCE}", second.provider());
        first.create_stream(&token, push_to(&url)).await;
        let receiver = Receiver::accepting().await;
        let token = second.receiver_token("rx", &[Scope::Manage]).await;
        second.create_stream(&token, push_to(&receiver.url("/in"))).await;
        Self { first, second, receiver, publisher, _folder: folder }
    }

    /// Publishes the sign-out of each user at the first daemon.
    async fn publish(&self, users: &[&str]) {
        let event = |user: &&str| {
            json!({
                "type": "caep:session-revoked", "sub_id": signed_out(user), "txn": user,
                "event": {"event_timestamp": 1_775_000_099, "initiating_entity": "user"},
            })
        };
        let events = Value::Array(users.iter().map(event).collect());
        self.first.publish(&self.publisher, &events).await.expect(202);
    }

    /// Returns the claims of the next SET at the Receiver, verified by the keys of the second daemon.
    async fn next(&mut self) -> Value {
        let seen = self.receiver.next().await;
        let verifier = self.second.verifier(self.second.provider()).await;
        let claims = verifier.verify(seen.jws()).expect("a SET of the second daemon").claims;
        Value::Object(claims)
    }

    async fn settled(&self) {
        let both = async || self.first.backlog().await + self.second.backlog().await == 0;
        eventually("every SET is settled", both).await;
    }
}

#[actix_web::test]
async fn an_event_at_one_daemon_reaches_a_receiver_of_the_next() {
    let mut row = Row::start("row-first", "row-second").await;
    row.publish(&["kim"]).await;
    let claims = row.next().await;
    assert_eq!((&claims["iss"], &claims["aud"]), (&json!(ISSUER), &json!("https://rx.example")));
    assert_eq!((&claims["sub_id"], &claims["txn"]), (&signed_out("kim"), &json!("kim")));
    row.settled().await;
    assert!(row.receiver.rest().is_empty());
}

#[actix_web::test]
async fn nothing_is_lost_while_the_second_daemon_is_away() {
    let mut row = Row::start("row-away-first", "row-away-second").await;
    row.publish(&["u-1"]).await;
    row.next().await;
    row.second.stop().await;
    row.publish(&["u-2", "u-3", "u-4"]).await;
    row.second.start_again().await;
    row.publish(&["u-5"]).await;
    let mut users = Vec::new();
    for _ in 0..4 {
        users.push(row.next().await["txn"].as_str().expect("a text").to_owned());
    }
    users.sort();
    assert_eq!(users, ["u-2", "u-3", "u-4", "u-5"]);
    row.settled().await;
    assert!(row.receiver.rest().is_empty(), "nothing comes twice");
}
