//! Security and privacy (SSF §9, §10).

use std::{net::TcpListener, thread};

use serde_json::{Value, json};

use crate::{
    command_line::{Workplace, ask},
    harness::{
        events::about_with,
        receiver::{Receiver, subject},
        scene::Scene,
        streams::by_poll,
        subjects::opaque,
    },
};

/// To ask for a type and to add a subject grants nothing, where upstream says whom an event is for.
/// What a Receiver may have is judged again when a SET is sent, by push and by poll.
#[actix_web::test]
async fn sec_02_whether_a_receiver_may_have_an_event_is_judged_before_it_is_sent() {
    let mut receiver = Receiver::accepting().await;
    let scene = Scene::pushing_to(&receiver).await;
    let other = scene.daemon.caller("other").await;
    let polled = scene.daemon.create_stream(&other.token, by_poll()).await;
    scene.add(&opaque("kim")).await;
    let for_other = about_with("kim", json!({"stream_ids": [polled]}));
    scene.daemon.publish(&scene.upstream, &for_other).await.expect(202);
    assert_eq!(other.polled(&polled).await.len(), 1);

    scene.change_status("paused").await;
    scene.publish(&["kim", "lee"]).await;
    scene.remove(&opaque("kim")).await;
    let body = json!({"stream_id": polled, "subject": opaque("kim")});
    other.send("POST", "/ssf/subjects/remove", &body).await.expect(204);
    scene.change_status("enabled").await;
    assert_eq!(receiver.next().await.subject(), "lee");
    let [set] = other.polled(&polled).await.try_into().expect("one SET");
    assert_eq!(subject(&set), "lee");
    scene.settled().await;
    assert!(receiver.rest().is_empty());
}

fn post(address: &str, path: &str, token: &str, body: &Value) -> (u16, Value) {
    let (status, body) = ask(address, &format!("POST {path}"), Some(token), &body.to_string());
    (status, serde_json::from_str(&body).unwrap_or_default())
}

/// Accepts, and hangs up at once.
fn hang_up_on_everyone() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound").to_string();
    thread::spawn(move || listener.incoming().for_each(drop));
    address
}

/// Also in the detail that a developer would turn on.
#[test]
fn sec_05_the_log_has_neither_secrets_nor_subjects_nor_sets() {
    let place = Workplace::new();
    place.configure(
        "log.level = \"info,ssfd=trace\"\n\
         push.allow_networks = [\"127.0.0.0/8\"]\n\
         providers.default.insecure_endpoints = true\n",
    );
    let create =
        ["tokens", "create", "receiver", "--receiver", "rx", "--audience", "https://rx.example"];
    let receiver = place.succeeds(&create).trim().to_owned();
    let publisher = place.succeeds(&["tokens", "create", "publisher"]).trim().to_owned();
    let endpoint = hang_up_on_everyone();

    let mut daemon = place.serve();
    let (public, internal) = daemon.addresses();
    let stream = json!({
        "events_requested": ["https://schemas.openid.net/secevent/caep/event-type/session-revoked"],
        "delivery": {"method": "urn:ietf:rfc:8935", "authorization_header": "Bearer hunter2",
            "endpoint_url": format!("http://{endpoint}/in?key=opensesame")},
    });
    let (status, stream) = post(&public, "/ssf/streams", &receiver, &stream);
    assert_eq!(status, 201, "{stream}");
    let event = json!({"type": "caep:session-revoked", "event": {"reason_admin": {"en": "theft"}},
        "sub_id": {"format": "email", "email": "kim@example.com"}});
    let (status, answer) = post(&internal, "/events", &publisher, &event);
    assert_eq!(status, 202, "{answer}");
    // Refusals, too, must not repeat what they were shown.
    assert_eq!(post(&public, "/ssf/streams", "ssfd_forged", &json!({})).0, 401);
    assert_eq!(post(&internal, "/events", &publisher, &json!({"type": "kim"})).0, 400);

    let retried = daemon.logs("will be retried");
    assert_eq!(retried["stream_id"], stream["stream_id"]);
    assert!(retried["jti"].is_string() && retried["error"].is_string(), "{retried}");
    daemon.signal("TERM");
    let (code, lines) = daemon.ends();
    assert_eq!(code, Some(0));
    let log = json!(lines).to_string();
    for secret in
        [&receiver[..], &publisher, "hunter2", "opensesame", "ssfd_forged", "kim@", "theft", "eyJ"]
    {
        assert!(!log.contains(secret), "`{secret}` is in the log: {log}");
    }
}
