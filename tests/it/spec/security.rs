//! Security and privacy (SSF §9, §10).

use std::{net::TcpListener, thread};

use serde_json::{Value, json};
use ssfd::domain::subject::format::SubjectFormat;

use crate::{
    command_line::{Workplace, ask},
    harness::{
        daemon::with_provider,
        events::about_with,
        http_client,
        receiver::{Receiver, subject},
        receiver_client::assert_refused,
        setup::Setup,
        streams::by_poll,
        subjects::opaque,
    },
};

/// If the publisher names the streams of an event, a Receiver gets no more by requesting a type or
/// adding a subject. Authorization is checked again when a SET is sent, by push and by poll.
#[actix_web::test]
async fn sec_02_authorization_for_an_event_is_checked_before_it_is_sent() {
    let mut receiver = Receiver::accepting().await;
    let setup = Setup::pushing_to(&receiver).await;
    let other = setup.daemon.client("other").await;
    let polled = setup.daemon.create_stream(&other.token, by_poll()).await;
    setup.add(&opaque("kim")).await;
    let for_other = about_with("kim", json!({"stream_ids": [polled]}));
    setup.daemon.publish(&setup.publisher, &for_other).await.expect(202);
    assert_eq!(other.polled(&polled).await.len(), 1);

    setup.change_status("paused").await;
    setup.publish(&["kim", "lee"]).await;
    setup.remove(&opaque("kim")).await;
    let body = json!({"stream_id": polled, "subject": opaque("kim")});
    other.send("POST", "/ssf/subjects/remove", &body).await.expect(204);
    setup.change_status("enabled").await;
    assert_eq!(receiver.next().await.subject(), "lee");
    let [set] = other.polled(&polled).await.try_into().expect("one SET");
    assert_eq!(subject(&set), "lee");
    setup.settled().await;
    assert!(receiver.rest().is_empty());
}

/// Each stream has a subject format. An event whose subject has no identifier in that format is not
/// sent.
#[actix_web::test]
async fn sec_03_a_receiver_gets_one_identifier_of_a_subject_in_the_format_of_its_stream() {
    let mut setup = Setup::polling().await;
    let iss_sub = json!({"format": "iss_sub", "iss": "https://idp.example", "sub": "u-17"});
    let email = json!({"format": "email", "email": "kim@example.com"});
    let aliases = json!({"format": "aliases", "identifiers": [iss_sub, email]});
    let session = |user: &Value| json!({"format": "complex", "user": user, "session": opaque("s")});
    let events = [
        about_with("", json!({"sub_id": iss_sub, "subject_identifiers": [email]})),
        about_with("", json!({"sub_id": aliases})),
        about_with("", json!({"sub_id": session(&aliases)})),
        about_with("", json!({"sub_id": opaque("x")})),
    ];
    let mut expected = Vec::new();
    for (form, known) in [(SubjectFormat::IssSub, iss_sub), (SubjectFormat::Email, email)] {
        setup.stream = setup.daemon.create_stream(&setup.token, by_poll()).await;
        setup.set_subject_format(form).await;
        expected.push((setup.stream.clone(), [known.clone(), known.clone(), session(&known)]));
    }
    setup.daemon.publish(&setup.publisher, &json!(events)).await.expect(202);
    for (stream, identifiers) in expected {
        let sent = setup.client().polled(&stream).await;
        assert_eq!(sent.len(), identifiers.len());
        for identifier in identifiers {
            assert!(sent.iter().any(|claims| claims["sub_id"] == identifier), "{identifier}");
        }
    }
}

fn post(address: &str, path: &str, token: &str, body: &Value) -> (u16, Value) {
    let (status, body) = ask(address, &format!("POST {path}"), Some(token), &body.to_string());
    (status, serde_json::from_str(&body).unwrap_or_default())
}

/// Starts an endpoint that closes every connection at once. Returns its address.
fn hang_up_on_everyone() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound").to_string();
    thread::spawn(move || listener.incoming().for_each(drop));
    address
}

/// Each excess is refused with a status that tells the limit, and changes nothing. A long poll
/// beyond the limit is answered at once.
#[actix_web::test]
async fn sec_04_bodies_lists_subjects_streams_and_long_polls_are_bounded() {
    let setup = Setup::polling_with(|config| {
        config.public.body_bytes_max = 200_000;
        (config.internal.events_bytes_max, config.internal.events_max) = (2000, 2);
        config.poll.waiting_max = 0;
        with_provider(|provider| {
            (provider.streams_per_receiver_max, provider.subjects_per_stream_max) = (1, 1);
        })(config);
    })
    .await;
    let (client, id) = (setup.client(), &setup.stream);
    let many = |count: usize| vec!["b1"; count];
    let list =
        |format: &str, member: &str, of: Value| json!({"format": format, member: vec![of; 65]});
    let addresses = list("ip-addresses", "ip-addresses", "10.0.0.1".into());
    let aliases = list("aliases", "identifiers", opaque("kim"));
    let mut deep = json!({});
    for _ in 0..32 {
        deep = json!([deep]);
    }
    let poll = format!("/ssf/poll/{id}");
    let refused = [
        ("/ssf/status", json!({"x": "x".repeat(200_000)}), 413, "larger than 200000 bytes"),
        ("/ssf/status", json!({"x": deep}), 400, "nested more than 32 deep"),
        ("/ssf/streams", json!({"events_requested": many(257)}), 400, "at most 256 values"),
        ("/ssf/streams", json!({}), 409, "as many as it may have"),
        (&poll, json!({"ack": many(10_001)}), 400, "`ack` must name at most 10000 SETs"),
        ("/ssf/subjects/add", json!({"stream_id": id, "subject": addresses}), 400, "1 to 64"),
        ("/ssf/subjects/add", json!({"stream_id": id, "subject": aliases}), 400, "1 to 64"),
        ("/ssf/verify", json!({"stream_id": id, "state": "x".repeat(1025)}), 400, "1024 bytes"),
    ];
    for (path, body, status, rule) in &refused {
        assert_refused(&client.send("POST", path, body).await, *status, rule);
    }
    let remove = |subject| json!({"stream_id": id, "subject": opaque(subject)});
    client.send("POST", "/ssf/subjects/remove", &remove("kim")).await.expect(204);
    let further = client.send("POST", "/ssf/subjects/remove", &remove("lee")).await;
    assert_refused(&further, 403, "subjects");
    let answer = client.send("POST", &poll, &json!({})).await.expect(200);
    assert_eq!(answer.json(), json!({"sets": {}}));

    let publish = async |events: Value| setup.daemon.publish(&setup.publisher, &events).await;
    assert_refused(&publish(json!([{}, {}, {}])).await, 400, "at most 2 events");
    assert_refused(&publish(json!({"x": "x".repeat(2000)})).await, 413, "larger than 2000 bytes");
    let deep = format!("{}{}", "[".repeat(500), "]".repeat(500));
    let deep = format!("{{\"type\": \"caep:session-revoked\", \"event\": {{\"x\": {deep}}}}}");
    let url = setup.daemon.internal_url("/events");
    let answer =
        http_client::post(&url).bearer(&setup.publisher).body(deep).send().await.expect(400);
    assert_eq!(answer.json()["events"][0]["reason"], "malformed");
    assert_eq!(client.list().await.as_array().map(Vec::len), Some(1));
    assert!(setup.waiting().await.is_empty());
}

/// The log is checked at the level that a developer would use.
#[test]
fn sec_05_the_log_has_neither_secrets_nor_subjects_nor_sets() {
    let place = Workplace::new();
    place.configure(
        "log.level = \"info,ssfd=trace\"\n\
         push.allow_networks = [\"127.0.0.0/8\"]\n\
         providers.default.insecure_endpoints = true\n",
    );
    place.create_store();
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
    // Refusals must not log the refused input either.
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
