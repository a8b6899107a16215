//! The way of a body: batches, lines, bad records beside good ones, handshakes and answers.

use hyper::{Method, header::CONTENT_TYPE};
use serde_json::{Value, json};

use super::{SECRET, Stand, by_bearer, logout};
use crate::harness::http_client::{Call, get, post};

#[actix_web::test]
async fn a_record_becomes_a_set_once_however_often_it_is_sent() {
    let stand = Stand::new("intake-one", by_bearer(json!({}))).await;
    for _ in 0..3 {
        let answer = stand.send(logout("1", "kim")).await.expect(200);
        assert!(answer.body.is_empty(), "{}", answer.text());
    }
    let claims = stand.claims().await;
    assert_eq!(claims.len(), 1);
    let event = &claims[0]["events"].as_object().expect("events").values().next().cloned();
    let event = event.as_ref().expect("an event");
    assert_eq!(event["initiating_entity"], "user");
    assert!(event["event_timestamp"].is_i64(), "{event}");
    let counts = [stand.records("accepted").await, stand.records("duplicate").await];
    assert_eq!(counts, [1, 2]);
    assert_eq!(stand.requests("accepted").await, 3);
}

/// A batch is larger than one step of the store, and than what is mapped at once.
#[actix_web::test]
async fn a_batch_of_ten_thousand_records_gives_as_many_sets_in_order() {
    let members = json!({
        "events_per_minute_max": 0, "body_bytes_max": 4_000_000, "answer_timeout": "50s",
        "answer_body": "counts",
    });
    let stand = Stand::new("intake-batch", by_bearer(members)).await;
    let records: Vec<_> = (0..10_000).map(|n| logout(&n.to_string(), &format!("u-{n}"))).collect();
    let answer = stand.send(Value::from(records.clone())).await.expect(200);
    assert_eq!(answer.json()["accepted"], 10_000);
    // Beyond the bound nothing more is taken, and the sender is told.
    let more = [records.clone(), vec![logout("more", "more")]].concat();
    stand.send(Value::from(more)).await.expect(400);
    let again = stand.send(Value::from(records)).await.expect(200).json();
    assert_eq!((&again["accepted"], &again["duplicate"]), (&json!(0), &json!(10_000)));
    let expected: Vec<_> = (0..10_000).map(|n| format!("u-{n}")).collect();
    assert!(stand.users().await == expected, "all of them, in order");
}

/// The sender gets 503 in time, the work goes on, and the repeated request finds it done.
#[actix_web::test]
async fn a_late_answer_is_503_and_loses_nothing() {
    let members = json!({
        "events_per_minute_max": 0, "body_bytes_max": 4_000_000, "answer_timeout": "1ms",
    });
    let stand = Stand::new("intake-late", by_bearer(members)).await;
    let records: Vec<_> = (0..2000).map(|n| logout(&n.to_string(), &format!("u-{n}"))).collect();
    let answer = stand.send(Value::from(records)).await.expect(503);
    assert_eq!(answer.headers["retry-after"], "20");
    let all = async || stand.setup.waiting().await.len() == 2000;
    crate::harness::eventually("the work goes on", all).await;
    assert_eq!(stand.requests("late").await, 1);
}

/// The bound is on the records that the mapping finds, and nothing of such a body is taken in.
#[actix_web::test]
async fn an_envelope_has_a_bounded_number_of_records() {
    let members = json!({"records": "$.data.events[*]", "records_max": 3});
    let stand = Stand::new("intake-envelope", by_bearer(members)).await;
    let envelope = |count: i32| {
        let record = |n: i32| logout(&n.to_string(), &format!("u-{n}"));
        json!({"data": {"events": (0..count).map(record).collect::<Vec<_>>()}})
    };
    stand.send(envelope(4)).await.expect(400);
    assert!(stand.claims().await.is_empty());
    stand.send(envelope(3)).await.expect(200);
    assert_eq!(stand.users().await, ["u-0", "u-1", "u-2"]);
}

#[actix_web::test]
async fn bad_records_leave_the_good_ones() {
    let members = json!({"answer_body": "counts"});
    let stand = Stand::new("intake-bad", by_bearer(members)).await;
    let good = |id: &str, user: &str| logout(id, user).to_string();
    let array = format!(
        "[{}, 7, null, \"text\", [], {}, {}, {}, {}, {}]",
        good("1", "kim"),
        r#"{"type": "LOGOUT", "id": "2", "type": "LOGOUT"}"#,
        r#"{"type": "LOGOUT", "id": "3"}"#,
        r#"{"type": "NOISE", "id": "4"}"#,
        r#"{"type": "UNKNOWN", "id": "5"}"#,
        good("6", "lee"),
    );
    let answer = stand.send(&array).await.expect(200).json();
    assert_eq!(answer["accepted"], 2, "{answer}");
    // A member that is there twice, and one that is missing.
    assert_eq!(answer["rejected"], 2, "{answer}");
    assert_eq!(answer["dropped"], 5, "{answer}");
    assert_eq!(stand.users().await, ["kim", "lee"]);

    let lines = format!("{}\n{{\"broken\n\n{}\n", good("7", "max"), good("8", "sam"));
    let call = stand.call().bearer(SECRET).header("content-type", "application/x-ndjson");
    let answer = call.body(lines).send().await.expect(200).json();
    assert_eq!((&answer["accepted"], &answer["rejected"]), (&json!(2), &json!(1)));
    assert_eq!(stand.users().await, ["kim", "lee", "max", "sam"]);
}

#[actix_web::test]
async fn a_body_that_cannot_be_read_is_refused_unless_its_sender_would_repeat_it_for_ever() {
    for (provider, members, status) in [
        ("intake-malformed", json!({}), 400),
        ("intake-tolerant", json!({"malformed_answer": 200}), 200),
    ] {
        let stand = Stand::new(provider, by_bearer(members)).await;
        for body in ["{\"type\": \"LOGOUT\"", "nonsense", "\u{0}", "[1, 2"] {
            let answer = stand.send(body).await.expect(status);
            assert!(answer.body.is_empty(), "{}", answer.text());
        }
        assert!(stand.claims().await.is_empty());
        assert_eq!(stand.requests("malformed").await, 4);
        assert_eq!(stand.records("rejected").await, 4);
        // One element that is nested too deep is one record.
        let deep = "[".repeat(100) + &"]".repeat(100);
        stand.send(deep).await.expect(200);
        assert_eq!(stand.records("rejected").await, 5);
        // The sender is believed first: nobody else learns how the body is read.
        stand.call().body("nonsense").send().await.expect(401);
    }
}

#[actix_web::test]
async fn the_answer_is_the_one_that_the_sender_wants() {
    for (provider, members, status, body) in [
        ("answer-202", json!({"answer": 202}), 202, ""),
        ("answer-204", json!({"answer": 204}), 204, ""),
        ("answer-counts", json!({"answer_body": "counts"}), 200, "\"accepted\":1"),
    ] {
        let stand = Stand::new(provider, by_bearer(members)).await;
        let answer = stand.send(logout("1", "kim")).await.expect(status);
        assert!(answer.text().contains(body), "{}", answer.text());
        assert_eq!(answer.headers["cache-control"], "no-store");
        assert_eq!(answer.body.is_empty(), body.is_empty());
    }
}

#[actix_web::test]
async fn other_methods_paths_and_codings_are_refused_before_the_body_is_read() {
    let members = json!({"body_bytes_max": 1000});
    let stand = Stand::new("intake-refused", by_bearer(members)).await;
    let url = stand.url();
    for method in ["GET", "DELETE", "PATCH", "HEAD", "OPTIONS"] {
        let method: Method = method.parse().expect("a method");
        let answer = Call::new(method, &url).bearer(SECRET).send().await.expect(405);
        assert_eq!(answer.headers["allow"], "POST, PUT");
    }
    stand.send("x".repeat(1001)).await.expect(413);
    let coded = stand.call().bearer(SECRET).header("content-encoding", "gzip").body("x");
    coded.send().await.expect(415);
    for path in ["/in/nobody/kc", "/in/intake-refused/other", "/in/intake-refused", "/in", "/"] {
        let url = format!("http://{}{path}", stand.setup.daemon.sources_address());
        post(&url).bearer(SECRET).body("{}").send().await.expect(404);
    }
    // The listener has nothing else.
    for path in ["/metrics", "/healthz", "/events", "/admin/v1/streams", "/t/acme/ssf/streams"] {
        let url = format!("http://{}{path}", stand.setup.daemon.sources_address());
        get(&url).send().await.expect(404);
    }
    let put = Call::new(Method::PUT, &url).bearer(SECRET).json(&logout("1", "kim"));
    put.send().await.expect(200);
    assert_eq!(stand.users().await, ["kim"]);
}

#[actix_web::test]
async fn the_handshake_of_okta_is_answered_before_any_credential() {
    let members = json!({"handshake": "okta"});
    let stand = Stand::new("handshake-okta", by_bearer(members)).await;
    let ask =
        |challenge: &str| get(&stand.url()).header("x-okta-verification-challenge", challenge);
    let answer = ask("abc.DEF-123").send().await.expect(200);
    assert_eq!(answer.json(), json!({"verification": "abc.DEF-123"}));
    assert_eq!(answer.headers[CONTENT_TYPE], "application/json");
    assert_eq!(answer.headers["x-content-type-options"], "nosniff");
    ask(&"a".repeat(1025)).send().await.expect(400);
    get(&stand.url()).send().await.expect(400);
    stand.call().body(logout("1", "kim").to_string()).send().await.expect(401);
    assert_eq!(stand.requests("handshake").await, 1);
}

#[actix_web::test]
async fn the_handshake_of_graph_repeats_its_token() {
    let auth = json!({"scheme": "client-state", "secret_files": ["SECRET"]});
    let members = json!({"auth": auth, "handshake": "graph", "records": "/value"});
    let stand = Stand::new("handshake-graph", members).await;
    let url = format!("{}?validationToken=Validation%3a%20ok%3Cb%3E", stand.url());
    let answer = post(&url).send().await.expect(200);
    assert_eq!(answer.text(), "Validation: ok<b>");
    assert_eq!(answer.headers[CONTENT_TYPE], "text/plain");
    assert_eq!(answer.headers["x-content-type-options"], "nosniff");
    post(&format!("{}?validationToken=%0a", stand.url())).send().await.expect(400);
    stand.call().body("{\"value\": []}").send().await.expect(401);
}

#[actix_web::test]
async fn the_first_message_of_a_channel_needs_its_token_and_has_no_record() {
    let auth = json!({
        "scheme": "client-state", "header": "X-Goog-Channel-Token", "secret_files": ["SECRET"],
    });
    let members = json!({"auth": auth, "handshake": "google", "unmatched": "reject"});
    let stand = Stand::new("handshake-google", members).await;
    let sync = || stand.call().header("x-goog-resource-state", "sync");
    sync().send().await.expect(401);
    sync().header("x-goog-channel-token", SECRET).send().await.expect(200);
    assert_eq!(stand.records("rejected").await, 0);
    assert_eq!(stand.requests("handshake").await, 1);
}

/// A mapping reads headers and parameters, but never a credential.
#[actix_web::test]
async fn a_rule_reads_headers_and_parameters_and_no_credential() {
    let rules = json!([{
        "name": "hook",
        "when": {"query:hook": "out"},
        "emit": "caep:session-revoked",
        "subject": {"user": {"opaque": "{header:X-User}"}, "session": {"opaque": "{header:authorization}"}},
    }, {
        "name": "plain",
        "when": {"query:hook": "plain"},
        "emit": "caep:session-revoked",
        "subject": {"user": {"opaque": "{header:X-User}"}, "session": {"opaque": "{/session}"}},
    }]);
    let stand = Stand::new("intake-facts", by_bearer(json!({"rules": rules}))).await;
    for (hook, rejected) in [("out", 1), ("plain", 1)] {
        let url = format!("{}?hook={hook}", stand.url());
        let call = post(&url).bearer(SECRET).header("x-user", "kim").json(&logout("1", "x"));
        call.send().await.expect(200);
        assert_eq!(stand.records("rejected").await, rejected);
    }
    assert_eq!(stand.users().await, ["kim"]);
}
