//! The process is killed in the midst of a round, again and again.

use std::fs;

use serde_json::{Value, json};

use super::providers::Provider;
use crate::{
    command_line::{Daemon, Workplace, ask},
    harness::{events::SESSION_REVOKED, eventually},
    sources::{SECRET, rules},
};

/// The configuration of a source that polls.
fn source(provider: &Provider) -> String {
    let rule = &rules()[0];
    format!(
        "[providers.default.sources.kc]\n\
         type = \"/type\"\nid = \"{{/id}}\"\ntime = {{ from = \"/time\", unit = \"ms\" }}\n\
         [providers.default.sources.kc.poll]\n\
         urls = [\"{}\"]\npaging = \"time\"\ntime_format = \"ms\"\ninterval = \"100ms\"\nstart = \"1h\"\n\
         page_size = 3\nauth = {{ header = \"X-Key\", secret_file = \"secret\" }}\n\
         [[providers.default.sources.kc.rules]]\n\
         name = \"logout\"\nwhen = {{ \"/type\" = \"LOGOUT\" }}\nemit = {}\n\
         subject = {{ user = {{ opaque = \"{{/user}}\" }}, session = {{ opaque = \"{{/session}}\" }} }}\n",
        provider.url("/events?since={since}&first={first}&max={max}"),
        rule["emit"],
    )
}

/// Polls all SETs of a stream and acknowledges them. Returns the users that they are about.
fn take(public: &str, token: &str, stream: &str) -> Vec<String> {
    let (mut users, mut acks) = (Vec::new(), Vec::new());
    loop {
        let body = json!({"maxEvents": 100, "returnImmediately": true, "ack": acks}).to_string();
        let path = format!("POST /ssf/poll/{stream}");
        let (status, answer) = ask(public, &path, Some(token), &body);
        assert_eq!(status, 200, "{answer}");
        let answer: Value = serde_json::from_str(&answer).expect("JSON");
        let sets = answer["sets"].as_object().expect("SETs").clone();
        if sets.is_empty() && acks.is_empty() {
            return users;
        }
        acks = sets.keys().cloned().collect();
        users.extend(sets.values().map(|set| user_of(set.as_str().expect("a JWS"))));
    }
}

fn user_of(set: &str) -> String {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    let payload = set.split('.').nth(1).expect("a JWS has three parts");
    let claims = URL_SAFE_NO_PAD.decode(payload).expect("base64");
    let claims: Value = serde_json::from_slice(&claims).expect("claims are JSON");
    claims["sub_id"]["user"]["id"].as_str().expect("a user").to_owned()
}

#[actix_web::test]
async fn a_round_that_was_killed_goes_on_and_each_record_gives_one_set() {
    let provider = Provider::by_time().await;
    let place = Workplace::new();
    fs::write(place.path("secret"), SECRET).expect("writable");
    let mut daemon = place.serve();
    let (public, _) = daemon.addresses();
    let token = place.prints_json(&[
        "tokens",
        "create",
        "receiver",
        "--receiver",
        "rx",
        "--audience",
        "https://rx.example",
        "--json",
    ]);
    let token = token["token"].as_str().expect("a token").to_owned();
    let body = json!({"events_requested": [SESSION_REVOKED]}).to_string();
    let (status, created) = ask(&public, "POST /ssf/streams", Some(&token), &body);
    assert_eq!(status, 201, "{created}");
    let created: Value = serde_json::from_str(&created).expect("JSON");
    let stream = created["stream_id"].as_str().expect("an id").to_owned();
    end(daemon);

    place.configure(&source(&provider));
    let mut served = Vec::new();
    let mut taken = Vec::new();
    // The provider leaves the first, the second … request of a round open, and the daemon is killed then.
    for pages in 0..6 {
        let ages: Vec<_> = (0..5).map(|n| 60_000 - n * 1_000).collect();
        served.extend(provider.show(&ages, &format!("u-{pages}")));
        provider.hang_after(Some(pages));
        let mut daemon = place.serve();
        let (public, _) = daemon.addresses();
        provider.hangs().await;
        taken.extend(take(&public, &token, &stream));
        daemon.signal("KILL");
        daemon.ends();
    }
    provider.hang_after(None);
    let mut daemon = place.serve();
    let (public, _) = daemon.addresses();
    eventually("all arrive", async || {
        taken.extend(take(&public, &token, &stream));
        served.len() <= taken.len()
    })
    .await;
    end(daemon);
    let mut expected: Vec<_> = served.into_iter().map(|record| record.user).collect();
    expected.sort();
    taken.sort();
    assert_eq!(taken, expected);
}

/// Stops a daemon while it polls. It must not wait for the provider.
#[actix_web::test]
async fn a_stop_waits_for_no_provider() {
    let provider = Provider::by_time().await;
    let place = Workplace::new();
    fs::write(place.path("secret"), SECRET).expect("writable");
    place.configure(&source(&provider));
    provider.hang_after(Some(0));
    let mut daemon = place.serve();
    daemon.addresses();
    provider.hangs().await;
    end(daemon);
}

fn end(daemon: Daemon) {
    daemon.signal("TERM");
    let (code, lines) = daemon.ends();
    assert_eq!(code, Some(0), "{lines:#?}");
    let late = lines.iter().any(|line| line.to_string().contains("the drain ran out of time"));
    assert!(!late, "{lines:#?}");
}
