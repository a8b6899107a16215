//! PATCH and PUT (SSF §8.1.1.3, §8.1.1.4).

use std::time::Duration;

use hyper::Method;
use serde_json::json;

use super::{
    super::{UNKNOWN, assert_refused},
    broken_members,
};
use crate::harness::{
    daemon::{Daemon, PROVIDER, with_provider},
    http_client::Call,
    streams::{every_member, id_of, with_stream_id},
};

const BOTH: [&str; 2] = ["PATCH", "PUT"];

/// A change is atomic: valid members beside an invalid one have no effect.
#[actix_web::test]
async fn a_member_that_breaks_a_rule_is_named_and_nothing_changes() {
    let daemon = Daemon::start().await;
    let client = daemon.client("rx").await;
    for stream in [client.create(&every_member()).await, client.create(&json!({})).await] {
        let id = id_of(&stream);
        for (mut members, detail) in broken_members() {
            members["stream_id"] = id.into();
            if members.get("description").is_none() {
                members["description"] = "eu".into();
            }
            for method in BOTH {
                let answer = client.send(method, "/ssf/streams", &members).await;
                assert_refused(&answer, 400, detail);
            }
        }
        assert_eq!(client.read(id).await, stream);
    }
}

/// CFG-10.
#[actix_web::test]
async fn a_change_names_its_stream() {
    let daemon = Daemon::start().await;
    let client = daemon.client("rx").await;
    let stream = client.create(&json!({})).await;
    let id = id_of(&stream);
    for method in BOTH {
        let path = format!("/ssf/streams?stream_id={id}");
        let nameless = client.send(method, &path, &json!({"description": "eu"})).await;
        assert_refused(&nameless, 400, "`stream_id` is required");
        let null = client.send(method, &path, &json!({"stream_id": null})).await;
        assert_refused(&null, 400, "`stream_id` is required");
        for wrong in [json!(7), json!([id])] {
            let body = json!({"stream_id": wrong, "description": "eu"});
            let answer = client.send(method, &path, &body).await;
            assert_refused(&answer, 400, "`stream_id` must be a string");
        }
    }
    assert_eq!(client.read(id).await, stream);
}

/// RFC 7396 §2. `delivery` is required of a stream, so `null` does not remove it.
#[actix_web::test]
async fn null_removes_an_optional_member_in_a_patch_and_is_absent_in_a_put() {
    let daemon = Daemon::start().await;
    let client = daemon.client("rx").await;
    let stream = client.create(&every_member()).await;
    let id = id_of(&stream);
    for member in ["description", "events_requested"] {
        let patched = client.change("PATCH", id, &json!({ member: null })).await;
        assert!(patched.get(member).is_none(), "{patched}");
        assert_eq!(patched["delivery"], stream["delivery"]);
        assert_eq!(client.change("PUT", id, &every_member()).await, stream);
    }
    assert_eq!(client.change("PATCH", id, &json!({"delivery": null})).await, stream);
    let all_null = json!({"events_requested": null, "delivery": null, "description": null,
        "iss": null, "aud": null, "events_supported": null, "min_verification_interval": null});
    let bare = client.change("PUT", id, &json!({})).await;
    assert_eq!(client.change("PUT", id, &all_null).await, bare);
}

/// A Receiver may write back a number of ours as its own library writes numbers.
#[actix_web::test]
async fn a_number_of_the_transmitter_may_be_written_in_any_way() {
    let daemon = Daemon::with(with_provider(|provider| {
        provider.min_verification_interval = Duration::from_secs(20);
        provider.inactivity_timeout = Duration::from_secs(4000);
    }))
    .await;
    let client = daemon.client("rx").await;
    let id = client.new_stream().await;
    let url = daemon.provider_url(PROVIDER, "/ssf/streams");
    for method in [Method::PATCH, Method::PUT] {
        for (member, same, others) in [
            ("min_verification_interval", ["20", "20.0", "2e1", "200e-1"], ["20.5", "21.0", "2e0"]),
            (
                "inactivity_timeout",
                ["4000", "4000.0", "4e3", "40000E-1"],
                ["4000.5", "4e2", "-4e3"],
            ),
        ] {
            for (number, status) in
                same.map(|number| (number, 200)).into_iter().chain(others.map(|other| (other, 400)))
            {
                let body = format!(r#"{{"stream_id":"{id}","{member}":{number}}}"#);
                let call = Call::new(method.clone(), &url).bearer(&client.token).body(body);
                let answer = call.send().await;
                assert_eq!(answer.status, status, "{method} {member} {number}: {}", answer.text());
            }
        }
    }
}

/// CFG-18 (SSF §8): the members are not judged if the stream is another Receiver's.
#[actix_web::test]
async fn an_unknown_stream_and_anothers_are_not_found() {
    let daemon = Daemon::start().await;
    let (owner, other) = (daemon.client("rx").await, daemon.client("other").await);
    let stream = owner.create(&every_member()).await;
    for id in [id_of(&stream), UNKNOWN, "a b", ""] {
        for method in BOTH {
            for members in [json!({}), json!({"iss": "x"}), json!({"description": null})] {
                let body = with_stream_id(id, members);
                let answer = other.send(method, "/ssf/streams", &body).await;
                assert_refused(&answer, 404, "no such stream");
            }
        }
    }
    assert_eq!(owner.read(id_of(&stream)).await, stream);
}

/// Changes of one stream happen one after the other. None is lost or refused.
#[actix_web::test]
async fn changes_at_the_same_time_all_count() {
    let daemon = Daemon::start().await;
    let client = daemon.client("rx").await;
    let id = client.new_stream().await;
    let members = every_member();
    let changes = ["description", "events_requested", "delivery"]
        .map(|member| json!({"stream_id": id, member: members[member]}));
    let status = json!({"stream_id": id, "status": "paused"});
    let changes = changes.iter().map(|body| ("PATCH", "/ssf/streams", body));
    let calls = changes.chain([("POST", "/ssf/status", &status)]);
    let answers = calls.map(|(method, path, body)| client.send(method, path, body));
    for answer in futures_util::future::join_all(answers).await {
        answer.expect(200);
    }
    let stream = client.read(&id).await;
    for (member, value) in members.as_object().expect("an object") {
        assert_eq!(stream[member], *value);
    }
    let path = format!("/ssf/status?stream_id={id}");
    assert_eq!(client.get(&path).await.expect(200).json()["status"], "paused");
}

#[actix_web::test]
async fn a_change_survives_a_restart() {
    let mut daemon = Daemon::start().await;
    let client = daemon.client("rx").await;
    let (id, token) = (client.new_stream().await, client.token.clone());
    let changed = client.change("PATCH", &id, &every_member()).await;
    daemon.restart().await;
    let client = daemon.client_with(PROVIDER, &token);
    assert_eq!(client.read(&id).await, changed);
}
