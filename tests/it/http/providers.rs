//! Several providers in one process.

use serde_json::{Value, json};
use ssfd::domain::grant::Holder;

use super::assert_refused;
use crate::harness::{
    daemon::{Daemon, provider},
    events::about_with,
    http_client::get,
    receiver::claims,
    receiver_client::{every_operation, operations_on},
    streams::by_poll,
};

/// The issuers: one without a path, and two below it.
const ISSUERS: [(&str, &str); 3] = [
    ("root", "https://tx.example"),
    ("acme", "https://tx.example/acme"),
    ("deep", "https://tx.example/acme/deep"),
];

async fn start() -> Daemon {
    Daemon::with(|config| {
        config.providers.clear();
        for (name, issuer) in ISSUERS {
            config.providers.insert(name.parse().expect("a name"), provider(issuer));
        }
    })
    .await
}

#[actix_web::test]
async fn each_provider_has_its_own_issuer() {
    let daemon = start().await;
    for (name, issuer) in ISSUERS {
        let url = daemon.provider_url(name, "/.well-known/ssf-configuration");
        assert_eq!(get(&url).send().await.expect(200).json()["issuer"], issuer);
        let stream = daemon.client_at(name, "rx").await.create(&json!({})).await;
        let id = stream["stream_id"].as_str().expect("a string");
        assert_eq!(stream["iss"], issuer);
        assert_eq!(stream["delivery"]["endpoint_url"], format!("{issuer}/ssf/poll/{id}"));
    }
}

/// CFG-18: a Receiver of the same name at another provider is another Receiver.
#[actix_web::test]
async fn a_provider_does_not_show_the_streams_of_another() {
    let daemon = start().await;
    for (name, _) in ISSUERS {
        let owner = daemon.client_at(name, "rx").await;
        let id = owner.new_stream().await;
        let before = owner.list().await;
        for (other, _) in ISSUERS.into_iter().filter(|(other, _)| *other != name) {
            let foreign = daemon.client_at(other, "rx").await;
            for (method, path, body) in operations_on(&id) {
                assert_refused(&foreign.send(method, &path, &body).await, 404, "no such stream");
            }
        }
        assert_eq!(owner.list().await, before);
        assert_eq!(before.as_array().map(Vec::len), Some(1));
    }
}

/// AUTH-03.
#[actix_web::test]
async fn a_token_of_one_provider_is_not_valid_at_another() {
    let daemon = start().await;
    for (name, _) in ISSUERS {
        let owner = daemon.client_at(name, "rx").await;
        let id = owner.new_stream().await;
        for (other, _) in ISSUERS.into_iter().filter(|(other, _)| *other != name) {
            let astray = daemon.client_with(other, &owner.token);
            for (method, path, body) in every_operation(&id) {
                assert_refused(&astray.send(method, &path, &body).await, 401, "token");
            }
        }
    }
}

/// The publisher's token decides the provider of an event.
#[actix_web::test]
async fn an_event_reaches_the_streams_of_its_provider_alone() {
    let daemon = start().await;
    let mut streams = Vec::new();
    for (name, issuer) in ISSUERS {
        let token = daemon.client_at(name, "rx").await.token;
        let id = daemon.create_stream_at(name, &token, by_poll()).await;
        streams.push((name, issuer, token, id));
    }
    let ids: Vec<_> = streams.iter().map(|(.., id)| id.clone()).collect();
    for (name, issuer, ..) in &streams {
        let provider = name.parse().expect("a name");
        let publisher = daemon.token(Holder::Publisher { provider }).await;
        let event = about_with(name, json!({"stream_ids": ids, "iss": "https://x.example"}));
        let answer = daemon.publish(&publisher, &event).await.expect(202).json();
        assert_eq!(answer["events"], json!([{"status": "accepted", "streams": 1}]), "{issuer}");
    }
    for (name, issuer, token, id) in &streams {
        let polled = daemon.poll_at(name, token, id, &json!({})).await.expect(200).json();
        let sets: Vec<Value> =
            polled["sets"].as_object().expect("SETs").values().cloned().collect();
        let [set] = sets.try_into().expect("one SET");
        let jws = set.as_str().expect("a string");
        assert_eq!(
            (&claims(jws)["iss"], &claims(jws)["sub_id"]["id"]),
            (&json!(issuer), &json!(name))
        );
        daemon.verifier(name).await.verify(jws).expect("signed by its provider");
    }
}

/// A provider that is taken out of the configuration keeps its streams until it is back.
#[actix_web::test]
async fn streams_of_a_provider_that_is_away_wait_for_it() {
    let mut daemon = start().await;
    let token = daemon.client_at("acme", "rx").await.token;
    let id = daemon.create_stream_at("acme", &token, by_poll()).await;
    let publisher =
        daemon.token(Holder::Publisher { provider: "acme".parse().expect("a name") }).await;
    daemon.publish_about(&publisher, &["s-1"]).await;
    let before = daemon.client_with("acme", &token).list().await;

    let taken = daemon.config().providers.remove(&"acme".parse().expect("a name"));
    daemon.restart().await;
    assert_refused(&get(&daemon.public_url("/acme/ssf/streams")).send().await, 404, "");
    let refused = daemon.publish(&publisher, &about_with("s-2", json!({}))).await;
    assert_refused(&refused, 400, "not configured");

    daemon.config().providers.insert("acme".parse().expect("a name"), taken.expect("it was there"));
    daemon.restart().await;
    assert_eq!(daemon.client_with("acme", &token).list().await, before);
    let polled = daemon.poll_at("acme", &token, &id, &json!({})).await.expect(200).json();
    assert_eq!(polled["sets"].as_object().map(serde_json::Map::len), Some(1));
}
