//! PATCH and PUT (SSF §8.1.1.3, §8.1.1.4).

use serde_json::{Value, json};
use ssfd::domain::stream::{METHOD_POLL, METHOD_PUSH};

use super::{
    super::{Caller, UNKNOWN, assert_refused},
    CREDENTIAL_CHANGE, broken_members, every_member,
};
use crate::harness::{daemon::Daemon, events::SESSION_REVOKED};

const BOTH: [&str; 2] = ["PATCH", "PUT"];

fn id_of(stream: &Value) -> &str {
    stream["stream_id"].as_str().expect("a string")
}

/// `members` besides the id of the stream.
fn of_stream(id: &str, members: &Value) -> Value {
    let mut members = members.clone();
    members["stream_id"] = id.into();
    members
}

/// What a change of this stream is answered with, which is what is read afterwards.
async fn change(caller: &Caller<'_>, method: &str, id: &str, members: &Value) -> Value {
    let body = of_stream(id, members);
    let changed = caller.send(method, "/ssf/streams", &body).await.expect(200).json();
    assert_eq!(caller.read(id).await, changed);
    changed
}

/// CFG-10.
#[actix_web::test]
async fn patch_sets_what_is_given_and_keeps_what_is_not() {
    let daemon = Daemon::start().await;
    let caller = daemon.caller("rx").await;
    let stream = caller.create(&every_member()).await;
    let id = id_of(&stream);
    let mut expected = stream.clone();

    assert_eq!(change(&caller, "PATCH", id, &json!({})).await, expected);
    expected["description"] = "eu".into();
    assert_eq!(change(&caller, "PATCH", id, &json!({"description": "eu"})).await, expected);
    expected["events_requested"] = json!(["urn:x", CREDENTIAL_CHANGE]);
    expected["events_delivered"] = json!([CREDENTIAL_CHANGE]);
    let requested = json!({"events_requested": ["urn:x", CREDENTIAL_CHANGE]});
    assert_eq!(change(&caller, "PATCH", id, &requested).await, expected);
    let delivery = json!({"method": METHOD_PUSH, "endpoint_url": "https://rx.example/other"});
    expected["delivery"] = delivery.clone();
    assert_eq!(change(&caller, "PATCH", id, &json!({"delivery": delivery})).await, expected);
}

/// CFG-11.
#[actix_web::test]
async fn put_deletes_what_is_not_given() {
    let daemon = Daemon::start().await;
    let caller = daemon.caller("rx").await;
    let stream = caller.create(&every_member()).await;
    let id = id_of(&stream);
    let replaced = change(&caller, "PUT", id, &every_member()).await;
    assert_eq!(replaced, stream);

    let bare = change(&caller, "PUT", id, &json!({})).await;
    assert!(bare.get("description").is_none() && bare.get("events_requested").is_none(), "{bare}");
    assert_eq!((&bare["events_delivered"], &bare["aud"]), (&json!([]), &stream["aud"]));
    assert_eq!(bare["delivery"]["method"], METHOD_POLL);
    assert_eq!(change(&caller, "PUT", id, &every_member()).await, stream);
}

/// CFG-13: read, edit, send back; `events_delivered` is judged as it was before.
#[actix_web::test]
async fn what_was_read_may_be_sent_back() {
    let daemon = Daemon::start().await;
    let caller = daemon.caller("rx").await;
    for delivery in [every_member()["delivery"].clone(), json!({"method": METHOD_POLL})] {
        let mut members = every_member();
        members["delivery"] = delivery;
        let mut stream = caller.create(&members).await;
        let id = id_of(&stream).to_owned();
        for method in BOTH {
            assert_eq!(change(&caller, method, &id, &stream).await, stream);
            stream["events_requested"] = json!([SESSION_REVOKED]);
            let changed = change(&caller, method, &id, &stream).await;
            assert_eq!(changed["events_delivered"], json!([SESSION_REVOKED]));
            stream = change(&caller, method, &id, &members).await;
        }
    }
}

/// CFG-12, CFG-14: not even together with a change that is allowed.
#[actix_web::test]
async fn a_transmitter_member_that_differs_is_refused_and_nothing_changes() {
    let daemon = Daemon::start().await;
    let caller = daemon.caller("rx").await;
    let stream = caller.create(&every_member()).await;
    let id = id_of(&stream);
    for (member, value) in [
        ("iss", json!("https://tx.example")),
        ("iss", json!("https://tx.example/t/acme/")),
        ("aud", json!("https://other.example")),
        ("aud", json!(["https://rx.example"])),
        ("events_supported", json!([])),
        ("events_delivered", json!([SESSION_REVOKED])),
        ("events_delivered", json!([])),
        ("min_verification_interval", json!("0")),
        ("min_verification_interval", json!(1)),
        // It has none.
        ("inactivity_timeout", json!(3600)),
        ("inactivity_timeout", Value::Null),
        ("aud", Value::Null),
    ] {
        for method in BOTH {
            let body = json!({"stream_id": id, "description": "eu", member: value});
            let answer = caller.send(method, "/ssf/streams", &body).await;
            assert_refused(&answer, 400, &format!("`{member}` is for the Transmitter to say"));
            assert_eq!(caller.read(id).await, stream);
        }
    }
}

/// Atomic: what is right beside a fault is not done.
#[actix_web::test]
async fn a_member_that_breaks_a_rule_is_named_and_nothing_changes() {
    let daemon = Daemon::start().await;
    let caller = daemon.caller("rx").await;
    for stream in [caller.create(&every_member()).await, caller.create(&json!({})).await] {
        let id = id_of(&stream);
        for (mut members, detail) in broken_members() {
            members["stream_id"] = id.into();
            if members.get("description").is_none() {
                members["description"] = "eu".into();
            }
            for method in BOTH {
                let answer = caller.send(method, "/ssf/streams", &members).await;
                assert_refused(&answer, 400, detail);
            }
        }
        assert_eq!(caller.read(id).await, stream);
    }
}

/// CFG-27: CONF sends it without, and it may be sent as it was assigned.
#[actix_web::test]
async fn poll_delivery_needs_no_url_and_takes_no_other() {
    let daemon = Daemon::start().await;
    let caller = daemon.caller("rx").await;
    let (stream, other) = (caller.create(&json!({})).await, caller.create(&json!({})).await);
    let id = id_of(&stream);
    for method in BOTH {
        let short = json!({"delivery": {"method": METHOD_POLL}});
        assert_eq!(change(&caller, method, id, &short).await, stream);
        let whole = json!({"delivery": stream["delivery"]});
        assert_eq!(change(&caller, method, id, &whole).await, stream);
        let body = json!({"stream_id": id, "delivery": other["delivery"]});
        let answer = caller.send(method, "/ssf/streams", &body).await;
        assert_refused(&answer, 400, "`delivery.endpoint_url` is for the Transmitter to assign");
    }
    // A push stream has an assigned URL to come back to, too.
    let push = json!({"delivery": every_member()["delivery"]});
    assert_eq!(change(&caller, "PATCH", id, &push).await["delivery"], push["delivery"]);
    assert_eq!(
        change(&caller, "PATCH", id, &json!({"delivery": stream["delivery"]})).await,
        stream
    );
}

/// CFG-10.
#[actix_web::test]
async fn a_change_names_its_stream() {
    let daemon = Daemon::start().await;
    let caller = daemon.caller("rx").await;
    let stream = caller.create(&json!({})).await;
    let id = id_of(&stream);
    for method in BOTH {
        let path = format!("/ssf/streams?stream_id={id}");
        let nameless = caller.send(method, &path, &json!({"description": "eu"})).await;
        assert_refused(&nameless, 400, "`stream_id` is required");
        for wrong in [json!(null), json!(7), json!([id])] {
            let body = json!({"stream_id": wrong, "description": "eu"});
            let answer = caller.send(method, &path, &body).await;
            assert_refused(&answer, 400, "`stream_id` must be a string");
        }
    }
    assert_eq!(caller.read(id).await, stream);
}

/// CFG-18 (SSF §8): nothing of another Receiver's stream is judged.
#[actix_web::test]
async fn an_unknown_stream_and_anothers_are_not_found() {
    let daemon = Daemon::start().await;
    let (owner, other) = (daemon.caller("rx").await, daemon.caller("other").await);
    let stream = owner.create(&every_member()).await;
    for id in [id_of(&stream), UNKNOWN, "a b", ""] {
        for method in BOTH {
            for members in [json!({}), json!({"iss": "x"}), json!({"description": null})] {
                let body = of_stream(id, &members);
                let answer = other.send(method, "/ssf/streams", &body).await;
                assert_refused(&answer, 404, "no such stream");
            }
        }
    }
    assert_eq!(owner.read(id_of(&stream)).await, stream);
}

/// Changes of one stream follow one another; none is lost, and none is refused for another.
#[actix_web::test]
async fn changes_at_the_same_time_all_count() {
    let daemon = Daemon::start().await;
    let caller = daemon.caller("rx").await;
    let id = caller.new_stream().await;
    let members = every_member();
    let changes = ["description", "events_requested", "delivery"]
        .map(|member| json!({"stream_id": id, member: members[member]}));
    let status = json!({"stream_id": id, "status": "paused"});
    let changes = changes.iter().map(|body| ("PATCH", "/ssf/streams", body));
    let calls = changes.chain([("POST", "/ssf/status", &status)]);
    let answers = calls.map(|(method, path, body)| caller.send(method, path, body));
    for answer in futures_util::future::join_all(answers).await {
        answer.expect(200);
    }
    let stream = caller.read(&id).await;
    for (member, value) in members.as_object().expect("an object") {
        assert_eq!(stream[member], *value);
    }
    let path = format!("/ssf/status?stream_id={id}");
    assert_eq!(caller.get(&path).await.expect(200).json()["status"], "paused");
}

/// A change is as durable as a stream.
#[actix_web::test]
async fn a_change_survives_a_restart() {
    let mut daemon = Daemon::start().await;
    let caller = daemon.caller("rx").await;
    let (id, token) = (caller.new_stream().await, caller.token.clone());
    let changed = change(&caller, "PATCH", &id, &every_member()).await;
    daemon.restart().await;
    let caller = daemon.caller_with(crate::harness::daemon::PROVIDER, &token);
    assert_eq!(caller.read(&id).await, changed);
}
