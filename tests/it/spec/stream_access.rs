//! Rules for every operation on streams, and for the secret among their members.

use hyper::header::CACHE_CONTROL;
use serde_json::{Value, json};
use ssfd::domain::stream::METHOD_PUSH;

use crate::harness::{
    daemon::{Daemon, PROVIDER},
    receiver::Receiver,
    receiver_client::{ReceiverClient, UNKNOWN, assert_refused, every_operation, operations_on},
    streams::{id_of, push_to},
};

/// An authorization header with two spaces, which must be sent unchanged.
const SECRET: &str = "Custom  aHVudGVyMg==,realm=7";

fn push_with(receiver: &Receiver, secret: Option<&str>) -> Value {
    let mut delivery = json!({"method": METHOD_PUSH, "endpoint_url": receiver.url("/in")});
    if let Some(secret) = secret {
        delivery["authorization_header"] = secret.into();
    }
    delivery
}

/// Requests a verification. Returns the `Authorization` header of the request that pushes it.
async fn shown(client: &ReceiverClient<'_>, receiver: &mut Receiver, id: &str) -> Option<String> {
    client.send("POST", "/ssf/verify", &json!({"stream_id": id})).await.expect(204);
    let request = receiver.next().await;
    let values: Vec<_> = request.headers.get_all("authorization").iter().collect();
    assert!(values.len() <= 1, "{values:?}");
    values.first().map(|value| value.to_str().expect("text").to_owned())
}

/// The first body is the one of the conformance suite. The body is checked before the stream is
/// looked up, so the error is the same for an unknown stream.
#[actix_web::test]
async fn cfg_16_a_malformed_body_is_refused_even_for_an_unknown_stream() {
    let daemon = Daemon::start().await;
    let client = daemon.client("rx").await;
    let cut = format!(r#"{{"stream_id": "{UNKNOWN}""#);
    for body in [";{ broken", "", "[]", "null", &cut] {
        for method in ["POST", "PATCH", "PUT"] {
            let answer = client.call(method, "/ssf/streams").body(body.to_owned()).send().await;
            assert_refused(&answer, 400, "`body` must be");
        }
    }
    assert_eq!(client.list().await, json!([]));
}

#[actix_web::test]
async fn cfg_17_every_operation_requires_a_sufficient_credential() {
    let daemon = Daemon::start().await;
    let client = daemon.client("rx").await;
    let stream = client.create(&json!({})).await;
    let powerless = daemon.receiver_token("rx", &[]).await;
    for operation in every_operation(id_of(&stream)) {
        let call = || daemon.call(&operation);
        assert_refused(&call().send().await, 401, "a bearer token is required");
        assert_refused(&call().bearer("ssfd_unknown").send().await, 401, "token");
        assert_refused(&call().bearer(&powerless).send().await, 403, "lacks the scope");
    }
    assert_eq!(client.list().await, json!([stream]));
}

/// Every operation answers for the stream of another Receiver as if there were no such stream.
#[actix_web::test]
async fn cfg_18_the_stream_of_another_receiver_is_not_found_by_any_operation() {
    let daemon = Daemon::start().await;
    let (owner, other) = (daemon.client("rx").await, daemon.client("other").await);
    let id = owner.new_stream().await;
    let status = json!({"stream_id": id, "status": "paused"});
    owner.send("POST", "/ssf/status", &status).await.expect(200);
    let before = owner.list().await;
    let foreign = operations_on(&id).into_iter().zip(operations_on(UNKNOWN));
    for ((method, path, body), (_, unknown_path, unknown_body)) in foreign {
        let answer = other.send(method, &path, &body).await;
        assert_refused(&answer, 404, "no such stream");
        let unknown = other.send(method, &unknown_path, &unknown_body).await;
        assert_eq!(answer.comparable(), unknown.comparable());
    }
    assert_eq!(other.list().await, json!([]));
    assert_eq!((owner.list().await, owner.status(&id).await), (before, status));
}

/// The header survives a restart and is removed by a change without it.
#[actix_web::test]
async fn cfg_19_the_authorization_header_is_sent_verbatim_until_it_is_removed() {
    let mut daemon = Daemon::start().await;
    let mut receiver = Receiver::accepting().await;
    let client = daemon.client("rx").await;
    let stream = client.create(&json!({"delivery": push_with(&receiver, Some(SECRET))})).await;
    let (id, token) = (id_of(&stream), client.token.clone());
    assert_eq!(shown(&client, &mut receiver, id).await.as_deref(), Some(SECRET));

    daemon.restart().await;
    let client = daemon.client_with(PROVIDER, &token);
    // A PATCH without `delivery` keeps the header.
    client.change("PATCH", id, &json!({"description": "eu"})).await;
    assert_eq!(shown(&client, &mut receiver, id).await.as_deref(), Some(SECRET));

    for method in ["PATCH", "PUT"] {
        // The header is never shown, so a Receiver that sends back what it read keeps it.
        let read = client.read(id).await;
        client.change(method, id, &read).await;
        assert_eq!(shown(&client, &mut receiver, id).await.as_deref(), Some(SECRET));
        // Another endpoint must not get it.
        let elsewhere = push_to(&receiver.url("/elsewhere"));
        client.change(method, id, &json!({"delivery": elsewhere})).await;
        assert_eq!(shown(&client, &mut receiver, id).await, None);
        for secret in [Some("Bearer other"), Some(SECRET)] {
            let members = json!({"delivery": push_with(&receiver, secret)});
            client.change(method, id, &members).await;
            assert_eq!(shown(&client, &mut receiver, id).await.as_deref(), secret);
        }
    }
    let mut delivery = push_with(&receiver, None);
    delivery["authorization_header"] = Value::Null;
    client.change("PATCH", id, &json!({"delivery": delivery})).await;
    assert_eq!(shown(&client, &mut receiver, id).await, None);
}

/// SEC-05 tests that the header is in no log.
#[actix_web::test]
async fn cfg_20_the_authorization_header_is_never_returned_and_has_one_line() {
    let daemon = Daemon::start().await;
    let receiver = Receiver::accepting().await;
    let client = daemon.client("rx").await;
    let delivery = push_with(&receiver, Some(SECRET));
    let created = client.send("POST", "/ssf/streams", &json!({"delivery": delivery})).await;
    let id = id_of(&created.json()).to_owned();
    let body = json!({"stream_id": id, "delivery": delivery});
    let refused = json!({"stream_id": id, "delivery": delivery, "iss": "x"});
    let smuggling = |end: &str| {
        let secret = format!("{SECRET}{end}");
        json!({"delivery": push_with(&receiver, Some(&secret))})
    };
    for (answer, status) in [
        (created, 201),
        (client.get("/ssf/streams").await, 200),
        (client.get(&format!("/ssf/streams?stream_id={id}")).await, 200),
        (client.send("PATCH", "/ssf/streams", &body).await, 200),
        (client.send("PUT", "/ssf/streams", &body).await, 200),
        (client.send("PUT", "/ssf/streams", &refused).await, 400),
        (client.send("POST", "/ssf/streams", &smuggling("\r\nx: y")).await, 400),
        (client.send("POST", "/ssf/streams", &smuggling("\n")).await, 400),
        (client.send("POST", "/ssf/streams", &smuggling("\r")).await, 400),
        (client.get(&format!("/ssf/status?stream_id={id}")).await, 200),
    ] {
        let text = answer.expect(status).text();
        assert!(!text.contains("aHVudGVy"), "{text}");
        assert!(!text.contains("authorization_header\":"), "{text}");
    }
}

/// Every answer says so, a success as well as a refusal.
#[actix_web::test]
async fn cfg_23_no_management_answer_may_be_stored() {
    let daemon = Daemon::start().await;
    let client = daemon.client("rx").await;
    let id = client.new_stream().await;
    // The first round deletes the stream at its end, so the operations of the second are refused.
    for gone in [false, true] {
        for (method, path, body) in every_operation(&id) {
            let answer = client.send(method, &path, &body).await;
            assert!(gone || answer.status.is_success(), "{method} {path}: {}", answer.text());
            assert_eq!(answer.header(CACHE_CONTROL), "no-store", "{method} {path}");
        }
    }
}
