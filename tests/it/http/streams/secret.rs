//! `authorization_header` (SSF §6.1.1).

use serde_json::{Value, json};
use ssfd::domain::stream::METHOD_PUSH;

use super::super::Caller;
use crate::harness::{
    daemon::{Daemon, PROVIDER},
    receiver::Receiver,
};

const SECRET: &str = "Basic aHVudGVyMjpvcGVuc2VzYW1l";

/// What the Receiver is shown as `Authorization` by a verification.
async fn shown(caller: &Caller<'_>, receiver: &mut Receiver, id: &str) -> Option<String> {
    caller.send("POST", "/ssf/verify", &json!({"stream_id": id})).await.expect(204);
    let request = receiver.next().await;
    let values: Vec<_> = request.headers.get_all("authorization").iter().collect();
    assert!(values.len() <= 1, "{values:?}");
    values.first().map(|value| value.to_str().expect("text").to_owned())
}

fn push_to(receiver: &Receiver, secret: Option<&str>) -> Value {
    let mut delivery = json!({"method": METHOD_PUSH, "endpoint_url": receiver.url("/in")});
    if let Some(secret) = secret {
        delivery["authorization_header"] = secret.into();
    }
    delivery
}

/// CFG-19: over a restart, and until a change leaves it out.
#[actix_web::test]
async fn it_is_sent_verbatim_until_it_is_taken_away() {
    let mut daemon = Daemon::start().await;
    let mut receiver = Receiver::accepting().await;
    let caller = daemon.caller("rx").await;
    let stream = caller.create(&json!({"delivery": push_to(&receiver, Some(SECRET))})).await;
    let (id, token) = (stream["stream_id"].as_str().expect("a string"), caller.token.clone());
    assert_eq!(shown(&caller, &mut receiver, id).await.as_deref(), Some(SECRET));

    daemon.restart().await;
    let caller = daemon.caller_with(PROVIDER, &token);
    // A PATCH without `delivery` leaves it.
    let other = json!({"stream_id": id, "description": "eu"});
    caller.send("PATCH", "/ssf/streams", &other).await.expect(200);
    assert_eq!(shown(&caller, &mut receiver, id).await.as_deref(), Some(SECRET));

    for method in ["PATCH", "PUT"] {
        // `delivery` is one value: without the header it has none.
        for secret in [Some("Bearer other"), None] {
            let body = json!({"stream_id": id, "delivery": push_to(&receiver, secret)});
            caller.send(method, "/ssf/streams", &body).await.expect(200);
            assert_eq!(shown(&caller, &mut receiver, id).await.as_deref(), secret);
        }
    }
}

/// CFG-20.
#[actix_web::test]
async fn it_is_in_no_answer() {
    let daemon = Daemon::start().await;
    let receiver = Receiver::accepting().await;
    let caller = daemon.caller("rx").await;
    let delivery = push_to(&receiver, Some(SECRET));
    let created = caller.send("POST", "/ssf/streams", &json!({"delivery": delivery})).await;
    let id = created.json()["stream_id"].as_str().expect("a string").to_owned();
    let body = json!({"stream_id": id, "delivery": delivery});
    let refused = json!({"stream_id": id, "delivery": delivery, "iss": "x"});
    let smuggling = push_to(&receiver, Some(&format!("{SECRET}\r\nx: y")));
    for (answer, status) in [
        (created, 201),
        (caller.get("/ssf/streams").await, 200),
        (caller.get(&format!("/ssf/streams?stream_id={id}")).await, 200),
        (caller.send("PATCH", "/ssf/streams", &body).await, 200),
        (caller.send("PUT", "/ssf/streams", &body).await, 200),
        (caller.send("PUT", "/ssf/streams", &refused).await, 400),
        (caller.send("POST", "/ssf/streams", &json!({"delivery": smuggling})).await, 400),
        (caller.get(&format!("/ssf/status?stream_id={id}")).await, 200),
    ] {
        let text = answer.expect(status).text();
        assert!(!text.contains("hunter2") && !text.contains("aHVudGVy"), "{text}");
        assert!(!text.contains("authorization_header\":"), "{text}");
    }
}
