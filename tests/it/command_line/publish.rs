//! `ssfd publish`.

use std::{fs, process::Stdio};

use serde_json::{Value, json};

use super::{Ended, Workplace, run};
use crate::harness::{
    daemon::PROVIDER,
    events::{SESSION_REVOKED, about, about_with, key},
    receiver::claims,
    redis::Redis,
    setup::Setup,
};

/// A daemon with a poll stream, and a working directory to publish from.
struct TestPublisher {
    setup: Setup,
    place: Workplace,
}

impl TestPublisher {
    async fn new() -> Self {
        Self { setup: Setup::polling().await, place: Workplace::new() }
    }

    /// Runs `ssfd publish` with the publisher's token in its environment.
    fn publishes(&self, args: &[&str]) -> Ended {
        let url = self.setup.daemon.internal_url("");
        let mut command = self.place.ssfd(&[&["publish", "--url", &url], args].concat());
        command.env("SSFD_TOKEN", &self.setup.publisher);
        run(command)
    }

    /// Returns the claims of the SETs that the stream has now.
    async fn arrived(&self) -> Vec<Value> {
        let answer = self.setup.poll(json!({"returnImmediately": true})).await.expect(200).json();
        let sets = answer["sets"].as_object().expect("SETs").values();
        sets.map(|set| claims(set.as_str().expect("a SET"))).collect()
    }
}

fn ndjson(events: &[Value]) -> String {
    events.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn an_event_of_flags_is_published_with_all_its_members() {
    let publisher = TestPublisher::new().await;
    let subject = json!({"format": "iss_sub", "iss": "https://idp.example", "sub": "kim"});
    let ended = publisher.publishes(&[
        "--type",
        "caep:session-revoked",
        "--sub-id",
        &subject.to_string(),
        "--event",
        r#"{"initiating_entity":"user","x_ours":[1]}"#,
        "--id",
        "evt-8841",
        "--txn",
        "c-991",
        "--stream-id",
        &publisher.setup.stream,
    ]);
    assert!(ended.status.success(), "{}", ended.stderr);
    assert_eq!(ended.stdout, "1  accepted, streams: 1\n");

    let arrived = publisher.arrived().await;
    let payload = json!({"initiating_entity": "user", "x_ours": [1]});
    assert_eq!(arrived.len(), 1);
    assert_eq!(arrived[0]["sub_id"], subject);
    assert_eq!(arrived[0]["txn"], "c-991");
    assert_eq!(arrived[0]["events"], json!({SESSION_REVOKED: payload}));
}

#[tokio::test]
async fn an_email_address_can_stand_for_the_subject() {
    let publisher = TestPublisher::new().await;
    let ended =
        publisher.publishes(&["--type", "caep:session-revoked", "--email", "kim@example.com"]);
    assert!(ended.status.success(), "{}", ended.stderr);
    let subject = json!({"format": "email", "email": "kim@example.com"});
    assert_eq!(publisher.arrived().await[0]["sub_id"], subject);
}

#[tokio::test]
async fn each_event_of_a_file_is_answered_and_a_rejected_one_fails_the_command() {
    let publisher = TestPublisher::new().await;
    let events = [
        about_with("one", json!({"id": "evt-1"})),
        about_with("two", json!({"sub_id": {"format": "email"}})),
        about_with("one", json!({"id": "evt-1"})),
        about_with("three", json!({"type": "urn:x:unknown"})),
    ];
    fs::write(publisher.place.path("events.ndjson"), ndjson(&events)).expect("written");

    let ended = publisher.publishes(&["events.ndjson"]);
    assert_eq!(ended.status.code(), Some(1));
    let expected = "1  accepted, streams: 1\n\
                    2  rejected, invalid_subject: `sub_id`: `email` is required by format `email`\n\
                    3  duplicate, nothing was added\n\
                    4  rejected, unknown_type: `type` `urn:x:unknown` is not an event type";
    assert!(ended.stdout.starts_with(expected), "{}", ended.stdout);
    assert_eq!(ended.stderr, "ssfd: 2 of 4 events were rejected\n");
    assert_eq!(publisher.arrived().await.len(), 1);
}

#[tokio::test]
async fn events_of_several_requests_keep_their_order() {
    let publisher = TestPublisher::new().await;
    let events: Vec<Value> = (0..1200).map(|n| about(&format!("s-{n}"))).collect();
    let file = fs::File::create(publisher.place.path("events.json")).expect("a file");
    serde_json::to_writer(file, &events).expect("written");
    let url = publisher.setup.daemon.internal_url("");
    let args = ["publish", "-", "--json", "--token-file", "token", "--url", &url];
    fs::write(publisher.place.path("token"), format!("{}\n", publisher.setup.publisher))
        .expect("ok");
    let mut command = publisher.place.ssfd(&args);
    let file = fs::File::open(publisher.place.path("events.json")).expect("the file");
    let ended = run({
        command.stdin(Stdio::from(file));
        command
    });
    assert!(ended.status.success(), "{}", ended.stderr);
    let answers: Value = serde_json::from_str(&ended.stdout).expect("JSON");
    assert_eq!((&answers["accepted"], &answers["rejected"]), (&json!(1200), &json!(0)));
    assert_eq!(answers["events"][1199], json!({"status": "accepted", "streams": 1}));

    let waiting = publisher.setup.waiting().await;
    let order: Vec<String> = waiting
        .iter()
        .map(|set| serde_json::from_str::<Value>(&set.claims).expect("claims"))
        .map(|claims| claims["sub_id"]["id"].as_str().expect("an id").to_owned())
        .collect();
    // The store returns no more SETs than one read holds.
    let expected: Vec<String> = (0..order.len()).map(|n| format!("s-{n}")).collect();
    assert_eq!(order, expected);
}

#[tokio::test]
async fn the_error_tells_why_a_request_was_refused() {
    let publisher = TestPublisher::new().await;
    let url = publisher.setup.daemon.internal_url("");
    let event = ["publish", "--type", "caep:session-revoked", "--email", "kim@example.com"];
    let place = &publisher.place;
    place.fails(
        &[&event[..], &["--url", &url]].concat(),
        &["needs a publisher's token", "SSFD_TOKEN"],
    );
    place.fails(
        &[&event[..], &["--url", &url, "--token", "ssfd_wrong"]].concat(),
        &[&format!("{url}/events"), "401", "the bearer token is malformed, unknown"],
    );
    place.fails(
        &[&event[..], &["--url", "http://127.0.0.1:1", "--token", "t"]].concat(),
        &["http://127.0.0.1:1/events cannot be reached"],
    );
    place.fails(&[&event[..], &["--token-file", "nowhere"]].concat(), &["nowhere: No such file"]);
}

#[tokio::test]
async fn events_become_redis_entries_without_a_changed_byte() {
    let (place, redis) = (Workplace::new(), Redis::start().await);
    // Spaces and the order of members must not change.
    let events = ["{ \"type\": \"caep:session-revoked\",\n  \"a\": 1 }", r#"{"b":1,"a":2.0}"#];
    fs::write(place.path("events"), events.join("\n")).expect("written");
    let url = redis.url();
    let args = ["publish", "events", "--redis", &url, "--provider", PROVIDER, "--json"];
    let printed = place.prints_json(&args);
    assert_eq!(printed["key"], key());

    let entries: Vec<(String, Vec<(String, String)>)> =
        redis.run(&["XRANGE", &key(), "-", "+"]).await;
    let ids: Vec<_> = entries.iter().map(|(id, _)| id.as_str()).collect();
    assert_eq!(printed["entries"], json!(ids));
    let fields: Vec<_> = entries.into_iter().flat_map(|(_, fields)| fields).collect();
    assert_eq!(fields, events.map(|event| ("event".to_owned(), event.to_owned())));

    let partition = ["--partition", "3", "--key-prefix", "x:"];
    let text = place.succeeds(&[&args[..6], &partition].concat());
    assert_eq!(text.lines().count(), 2);
    assert_eq!(redis.run::<usize>(&["XLEN", &format!("x:{PROVIDER}:3")]).await, 2);
}

#[tokio::test]
async fn a_malformed_file_is_refused_as_a_whole() {
    let (place, redis) = (Workplace::new(), Redis::start().await);
    let url = redis.url();
    let args = ["publish", "events", "--redis", &url, "--provider", PROVIDER];
    for (last, why) in [
        ("7", "events: event 2 must be a JSON object, not `7`"),
        ("{\"type\":", "events: after 1 events: EOF while parsing"),
    ] {
        fs::write(place.path("events"), format!("{}\n{last}\n", about("one"))).expect("written");
        place.fails(&args, &[why]);
    }
    fs::write(place.path("events"), "").expect("written");
    place.fails(&args, &["events: contains no event"]);
    assert_eq!(redis.run::<usize>(&["XLEN", &key()]).await, 0);
}

#[test]
fn the_error_names_a_redis_server_that_cannot_be_reached() {
    let place = Workplace::new();
    fs::write(place.path("events"), "{}").expect("written");
    let to = |url| ["publish", "events", "--redis", url, "--provider", "acme"];
    place.fails(&to("redis://127.0.0.1:1"), &["cannot reach the Redis server at 127.0.0.1:1: "]);
    place.fails(&to("http://127.0.0.1:1"), &["not a Redis URL"]);
}
