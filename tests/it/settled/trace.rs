//! `ssfd explain` tells what happened to an event on each stream.

use hyper::Method;
use serde_json::{Value, json};
use ssfd::domain::subject::format::SubjectFormat;

use super::refusing;
use crate::harness::{
    daemon::{Daemon, PROVIDER},
    events::{SESSION_REVOKED, about_with, key},
    eventually,
    http_client::post,
    receiver::Receiver,
    redis::Redis,
    setup::Setup,
    streams::{by_poll, push_to},
};

impl Setup {
    /// Publishes an event with this id about the opaque subject `s-1`, with the members of `more`.
    async fn publish_with_id(&self, id: &str, more: Value) {
        let mut event = about_with("s-1", more);
        event["id"] = id.into();
        self.daemon.publish(&self.publisher, &event).await.expect(202);
    }

    /// Explains the event with this id on one stream.
    async fn became(&self, id: &str, stream: &str) -> Value {
        let trace = self.daemon.ssfd_json(&["explain", "--event-id", id, "--stream", stream]).await;
        trace["streams"][0].clone()
    }

    /// Returns the state of the event's only SET on the stream, and the reason.
    async fn state(&self, id: &str, stream: &str) -> (String, Value) {
        let became = self.became(id, stream).await;
        let sets = became["sets"].as_array().expect("SETs");
        assert_eq!(sets.len(), 1, "{became}");
        (sets[0]["state"].as_str().expect("a state").to_owned(), sets[0]["reason"].clone())
    }

    /// Returns the reason why the stream has no SET of the event.
    async fn why(&self, id: &str, stream: &str) -> String {
        let became = self.became(id, stream).await;
        assert_eq!(became["sets"], json!([]), "{became}");
        became["reason"].as_str().expect("a reason").to_owned()
    }

    async fn stream_requesting(&self, types: &[&str]) -> String {
        let body = json!({"events_requested": types, "delivery": by_poll()});
        let url = self.daemon.provider_url(PROVIDER, "/ssf/streams");
        let answer = post(&url).bearer(&self.token).json(&body).send().await.expect(201);
        answer.json()["stream_id"].as_str().expect("an id").to_owned()
    }
}

#[actix_web::test]
async fn explain_tells_each_state_of_a_set() {
    let receiver = refusing(1).await;
    let setup = Setup::pushing_to(&receiver).await;
    let polled = setup.daemon.create_stream(&setup.token, by_poll()).await;
    setup.publish_with_id("e-1", json!({"txn": "c-991"})).await;

    assert_eq!(setup.state("e-1", &polled).await, ("pending".into(), json!(null)));
    eventually("the SET is refused", async || {
        setup.state("e-1", &setup.stream).await == ("dead".into(), json!("invalid_audience"))
    })
    .await;
    setup.daemon.change_status(&setup.token, &polled, "paused").await.expect(200);
    assert_eq!(setup.state("e-1", &polled).await.0, "held");
    setup.daemon.change_status(&setup.token, &polled, "disabled").await.expect(200);
    assert_eq!(setup.state("e-1", &polled).await, ("discarded".into(), json!("disabled")));

    setup.daemon.ssfd_says(&["dead", "redrive", "--all"]).await;
    setup.settled().await;
    assert_eq!(setup.state("e-1", &setup.stream).await.0, "sent");
    setup.daemon.ssfd_says(&["replay", &setup.stream, "--since", "1h", "--new-jti"]).await;
    setup.settled().await;
    let became = setup.became("e-1", &setup.stream).await;
    let [set, copy] = [0, 1].map(|n| became["sets"][n].clone());
    assert_eq!((&copy["state"], &copy["copy_of"]), (&json!("sent"), &set["jti"]));

    // Either SET leads to the event, and from there to the other streams.
    for set in [&set, &copy] {
        let jti = set["jti"].as_str().expect("a jti");
        let trace = setup.daemon.ssfd_json(&["explain", "--jti", jti]).await;
        let event = &trace["event"];
        assert_eq!((&event["id"], &event["txn"]), (&json!("e-1"), &json!("c-991")));
        assert_eq!(event["event_type"], SESSION_REVOKED);
        assert_eq!(trace["streams"].as_array().map(Vec::len), Some(2));
        let text = setup.daemon.ssfd_says(&["explain", "--jti", jti]).await;
        assert!(text.contains("caep:session-revoked of provider acme, accepted 20"), "{text}");
        assert!(text.contains("discarded") && text.contains("replayed"), "{text}");
    }
}

#[actix_web::test]
async fn explain_tells_each_reason_for_no_set() {
    let setup = Setup::polling().await;
    let daemon = &setup.daemon;
    let narrowed = daemon.create_stream(&setup.token, by_poll()).await;
    let deaf = setup.stream_requesting(&[]).await;
    let disabled = daemon.create_stream(&setup.token, by_poll()).await;
    daemon.change_status(&setup.token, &disabled, "disabled").await.expect(200);
    let removed = daemon.create_stream(&setup.token, by_poll()).await;
    let subject = json!({"format": "opaque", "id": "s-1"});
    let url = daemon.provider_url(PROVIDER, "/ssf/subjects/remove");
    let body = json!({"stream_id": removed, "subject": subject});
    post(&url).bearer(&setup.token).json(&body).send().await.expect(204);

    let named = json!({"stream_ids": [setup.stream, deaf, disabled, removed]});
    setup.publish_with_id("e-1", named).await;
    setup.take_by_poll().await;
    let later = daemon.create_stream(&setup.token, by_poll()).await;

    for (stream, reason) in [
        (&narrowed, "not_named"),
        (&deaf, "not_requested"),
        (&disabled, "disabled"),
        (&removed, "subject"),
        (&later, "later"),
    ] {
        assert_eq!(setup.why("e-1", stream).await, reason);
    }
    assert_eq!(setup.state("e-1", &setup.stream).await.0, "sent");
    // A later change of the stream does not change the reason at the time of the event.
    daemon.change_status(&setup.token, &disabled, "enabled").await.expect(200);
    assert_eq!(setup.why("e-1", &disabled).await, "disabled");

    let text = daemon.ssfd_says(&["explain", "--event-id", "e-1"]).await;
    let line = format!("stream {removed} of rx: no SET, subject: the event's subject is not");
    assert!(text.contains(&line), "{text}");
}

/// The stream gets only the subjects that its Receiver adds (SSF §7.1).
#[actix_web::test]
async fn explain_tells_that_a_subject_was_never_added_or_was_removed() {
    let setup = Setup::polling_with(|config| {
        let provider = config.providers.values_mut().next().expect("there is one");
        provider.default_subjects = ssfd::domain::subject::list::DefaultSubjects::None;
    })
    .await;
    let change = async |operation: &str, status| {
        let subject = json!({"format": "opaque", "id": "s-1"});
        let url = setup.daemon.provider_url(PROVIDER, &format!("/ssf/subjects/{operation}"));
        let body = json!({"stream_id": setup.stream, "subject": subject});
        post(&url).bearer(&setup.token).json(&body).send().await.expect(status);
    };
    setup.publish_with_id("e-1", json!({})).await;
    assert_eq!(setup.why("e-1", &setup.stream).await, "subject");
    change("add", 200).await;
    setup.publish_with_id("e-2", json!({})).await;
    change("remove", 204).await;
    assert!(setup.take_by_poll().await.is_empty());
    let discarded = ("discarded".to_owned(), json!("subject"));
    assert_eq!(setup.state("e-2", &setup.stream).await, discarded);
}

/// SSF §10.1, RISC §2.8.
#[actix_web::test]
async fn explain_tells_a_missing_subject_format_and_an_opted_out_account() {
    let setup = Setup::polling().await;
    setup.set_subject_format(SubjectFormat::Email).await;
    let disabled = "https://schemas.openid.net/secevent/risc/event-type/account-disabled";
    let risc = setup.stream_requesting(&[disabled]).await;
    setup.publish_with_id("e-1", json!({})).await;
    assert_eq!(setup.why("e-1", &setup.stream).await, "format");

    setup.publish_with_id("e-2", json!({"type": "risc:opt-out-effective", "event": {}})).await;
    setup.publish_with_id("e-3", json!({"type": disabled, "event": {}})).await;
    assert_eq!(setup.why("e-3", &risc).await, "opted_out");
}

#[actix_web::test]
async fn explain_tells_the_redis_entry_of_an_event() {
    let redis = Redis::start().await;
    let receiver = Receiver::accepting().await;
    let setup = Setup::pushing_with(&receiver, |config| {
        config.ingest.redis.url = Some(redis.url());
    })
    .await;
    let entry = redis.publish(&key(), &about_with("s-1", json!({"id": "e-1"}))).await;
    eventually("the SET is sent", async || {
        let trace = ["explain", "--event-id", "e-1", "--json"];
        let trace = setup.daemon.ssfd(&trace).await;
        let trace: Value = serde_json::from_slice(&trace.stdout).unwrap_or_default();
        let sent = trace["streams"][0]["sets"][0]["state"] == "sent";
        sent && trace["event"]["place"] == format!("ssf:events:acme/0/{entry}")
    })
    .await;
}

#[actix_web::test]
async fn without_a_ledger_record_explain_tells_the_set_alone() {
    let mut receiver = Receiver::accepting().await;
    let setup = Setup::pushing_with(&receiver, |config| {
        let provider = config.providers.values_mut().next().expect("there is one");
        provider.event_ledger = false;
    })
    .await;
    setup.publish_with_id("e-1", json!({})).await;
    let jti = receiver.next().await.jti();
    setup.settled().await;
    let trace = setup.daemon.ssfd_json(&["explain", "--jti", &jti]).await;
    assert_eq!(trace.get("event"), None);
    assert_eq!(trace["streams"][0]["sets"][0]["state"], "sent");
    let text = setup.daemon.ssfd_says(&["explain", "--jti", &jti]).await;
    assert!(text.contains("no event is recorded for this SET"), "{text}");

    for unknown in [["--event-id", "e-1"], ["--jti", "never-was"]] {
        let said = setup.daemon.ssfd_fails(&[&["explain"], &unknown[..]].concat()).await;
        assert!(said.contains("404"), "{said}");
    }
}

/// Every stream is on one of the pages.
#[actix_web::test]
async fn explain_lists_many_streams_in_pages() {
    let setup = Setup::polling().await;
    for _ in 0..4 {
        setup.daemon.create_stream(&setup.token, push_to("http://127.0.0.1:9/in")).await;
    }
    setup.publish_with_id("e-1", json!({})).await;
    let (mut seen, mut after) = (Vec::new(), String::new());
    let token = setup.daemon.operator_token().await;
    loop {
        let path = format!("/events?provider=acme&event_id=e-1&limit=2{after}");
        let page = setup.daemon.admin(&token, Method::GET, &path).send().await.expect(200).json();
        let streams = page["streams"].as_array().expect("streams").clone();
        assert!(streams.len() <= 2);
        seen.extend(streams.iter().map(|stream| stream["stream_id"].clone().to_string()));
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
    }
    assert_eq!(seen.len(), 5);
    assert!(seen.is_sorted());
    let whole = setup.daemon.ssfd_json(&["explain", "--event-id", "e-1"]).await;
    assert_eq!(whole["streams"].as_array().map(Vec::len), Some(5));
}

#[actix_web::test]
async fn explain_takes_a_file_or_a_published_event_but_not_both() {
    let daemon = Daemon::start().await;
    for args in [&["explain"][..], &["explain", "event.json", "--jti", "a"]] {
        let said = daemon.ssfd_fails(args).await;
        assert!(said.contains("Usage: ssfd"), "{said}");
    }
}
