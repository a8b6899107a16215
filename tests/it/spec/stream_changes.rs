//! Changing and deleting streams (SSF §8.1.1.3, §8.1.1.4, §8.1.1.5).

use serde_json::json;
use ssfd::domain::{
    grant::Scope,
    stream::{METHOD_POLL, METHOD_PUSH},
};

use crate::harness::{
    daemon::{Daemon, PROVIDER, holder},
    events::{CREDENTIAL_CHANGE, SESSION_REVOKED},
    receiver::Receiver,
    receiver_client::{assert_refused, operations_on},
    setup::Setup,
    streams::{by_poll, every_member, id_of, push_to},
};

const BOTH: [&str; 2] = ["PATCH", "PUT"];

#[actix_web::test]
async fn cfg_10_patch_sets_given_members_and_keeps_the_others() {
    let daemon = Daemon::start().await;
    let client = daemon.client("rx").await;
    let stream = client.create(&every_member()).await;
    let id = id_of(&stream);
    let nameless = client.send("PATCH", "/ssf/streams", &json!({"description": "eu"})).await;
    assert_refused(&nameless, 400, "`stream_id` is required");
    let mut expected = stream.clone();
    assert_eq!(client.change("PATCH", id, &json!({})).await, expected);

    expected["description"] = "eu".into();
    assert_eq!(client.change("PATCH", id, &json!({"description": "eu"})).await, expected);
    expected["events_requested"] = json!(["urn:x", CREDENTIAL_CHANGE]);
    expected["events_delivered"] = json!([CREDENTIAL_CHANGE]);
    let requested = json!({"events_requested": ["urn:x", CREDENTIAL_CHANGE]});
    assert_eq!(client.change("PATCH", id, &requested).await, expected);
    let delivery = json!({"method": METHOD_PUSH, "endpoint_url": "https://rx.example/other"});
    expected["delivery"] = delivery.clone();
    assert_eq!(client.change("PATCH", id, &json!({"delivery": delivery})).await, expected);
}

#[actix_web::test]
async fn cfg_11_put_removes_members_that_are_not_given() {
    let daemon = Daemon::start().await;
    let client = daemon.client("rx").await;
    let stream = client.create(&every_member()).await;
    let id = id_of(&stream);
    assert_eq!(client.change("PUT", id, &every_member()).await, stream);

    let bare = client.change("PUT", id, &json!({})).await;
    assert!(bare.get("description").is_none() && bare.get("events_requested").is_none(), "{bare}");
    assert_eq!((&bare["events_delivered"], &bare["aud"]), (&json!([]), &stream["aud"]));
    assert_eq!(bare["delivery"]["method"], METHOD_POLL);
    assert_eq!(client.change("PUT", id, &every_member()).await, stream);
}

/// The refusal also covers the allowed members of the same request.
#[actix_web::test]
async fn cfg_12_a_transmitter_member_that_differs_is_refused_and_nothing_changes() {
    let daemon = Daemon::start().await;
    let client = daemon.client("rx").await;
    let stream = client.create(&every_member()).await;
    let id = id_of(&stream);
    for (member, value) in [
        ("iss", json!("https://tx.example")),
        ("iss", json!("https://tx.example/t/acme/")),
        ("aud", json!("https://other.example")),
        ("events_supported", json!([])),
        ("events_delivered", json!([SESSION_REVOKED])),
        ("events_delivered", json!([])),
        ("min_verification_interval", json!("0")),
        ("min_verification_interval", json!(1)),
        // The stream has no `inactivity_timeout`.
        ("inactivity_timeout", json!(3600)),
    ] {
        for method in BOTH {
            let body = json!({"stream_id": id, "description": "eu", member: value});
            let answer = client.send(method, "/ssf/streams", &body).await;
            assert_refused(&answer, 400, &format!("`{member}` is for the Transmitter to say"));
            assert_eq!(client.read(id).await, stream);
        }
    }
}

/// A Receiver reads a stream, edits it and sends it back. `events_delivered` is compared with its
/// value before the change.
#[actix_web::test]
async fn cfg_13_a_stream_may_be_sent_back_as_it_was_read() {
    let daemon = Daemon::start().await;
    let client = daemon.client("rx").await;
    for delivery in [every_member()["delivery"].clone(), by_poll()] {
        let mut members = every_member();
        members["delivery"] = delivery;
        let mut stream = client.create(&members).await;
        let id = id_of(&stream).to_owned();
        for method in BOTH {
            assert_eq!(client.change(method, &id, &stream).await, stream);
            // A number and an audience are compared by value.
            let mut same = stream.clone();
            same["min_verification_interval"] = json!(0.0);
            same["aud"] = json!([stream["aud"]]);
            assert_eq!(client.change(method, &id, &same).await, stream);
            stream["events_requested"] = json!([SESSION_REVOKED]);
            let changed = client.change(method, &id, &stream).await;
            assert_eq!(changed["events_delivered"], json!([SESSION_REVOKED]));
            stream = client.change(method, &id, &members).await;
        }
    }
}

/// Neither a request with another `aud` nor a credential with another audience changes it.
#[actix_web::test]
async fn cfg_14_the_audience_of_a_stream_never_changes() {
    let daemon = Daemon::start().await;
    let stream = daemon.client("rx").await.create(&every_member()).await;
    let id = id_of(&stream);
    let token = daemon.token(holder("rx", &["https://moved.example"], &[Scope::Manage])).await;
    let client = daemon.client_with(PROVIDER, &token);
    for method in BOTH {
        for aud in
            [json!("https://moved.example"), json!(["https://rx.example", "https://x.example"])]
        {
            let body = json!({"stream_id": id, "aud": aud});
            let answer = client.send(method, "/ssf/streams", &body).await;
            assert_refused(&answer, 400, "`aud` is for the Transmitter to say");
        }
        assert_eq!(client.change(method, id, &every_member()).await, stream);
    }
}

/// Every operation answers 404, for good. Once a SET has arrived at the other stream, a SET of this
/// one would have arrived too.
#[actix_web::test]
async fn cfg_15_a_deleted_stream_is_not_found_and_sends_no_more() {
    let mut receiver = Receiver::accepting().await;
    let mut setup = Setup::pushing_to(&receiver).await;
    let (id, other) = (setup.stream.clone(), push_to(&receiver.url("/other")));
    let other = setup.daemon.create_stream(&setup.token, other).await;
    let answer = setup.daemon.delete_stream(&setup.token, &id).await.expect(204);
    assert!(answer.body.is_empty());
    for restarted in [false, true] {
        if restarted {
            setup.daemon.restart().await;
        }
        let client = setup.client();
        for (method, path, body) in operations_on(&id) {
            assert_refused(&client.send(method, &path, &body).await, 404, "no such stream");
        }
        assert_eq!(client.list().await, json!([client.read(&other).await]));
        setup.publish(&["s-88"]).await;
        assert_eq!(receiver.next().await.target, "/other");
        setup.settled().await;
        assert!(receiver.rest().is_empty());
    }
}

/// The conformance suite leaves the URL out. The assigned URL may be sent back.
#[actix_web::test]
async fn cfg_27_poll_delivery_needs_no_url_and_accepts_no_other() {
    let daemon = Daemon::start().await;
    let client = daemon.client("rx").await;
    let (stream, other) = (client.create(&json!({})).await, client.create(&json!({})).await);
    let id = id_of(&stream);
    for method in BOTH {
        let short = json!({"delivery": by_poll()});
        assert_eq!(client.change(method, id, &short).await, stream);
        let whole = json!({"delivery": stream["delivery"]});
        assert_eq!(client.change(method, id, &whole).await, stream);
        let empty = json!({"delivery": {"method": METHOD_POLL, "endpoint_url": ""}});
        assert_eq!(client.change(method, id, &empty).await, stream);
        let body = json!({"stream_id": id, "delivery": other["delivery"]});
        let answer = client.send(method, "/ssf/streams", &body).await;
        assert_refused(&answer, 400, "`delivery.endpoint_url` is for the Transmitter to assign");
    }
    // A push stream that becomes a poll stream again has the same assigned URL.
    let push = json!({"delivery": every_member()["delivery"]});
    assert_eq!(client.change("PATCH", id, &push).await["delivery"], push["delivery"]);
    let poll = json!({"delivery": stream["delivery"]});
    assert_eq!(client.change("PATCH", id, &poll).await, stream);
}
