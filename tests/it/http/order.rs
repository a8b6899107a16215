//! The order in which a request is judged: first the credential, then the body, then the stream that
//! it names.

use serde_json::json;

use super::{UNKNOWN, assert_refused, operations};
use crate::harness::{
    daemon::{Daemon, PROVIDER},
    http_client::Call,
};

/// The malformed body of the conformance suite, and other bytes that are no JSON object.
const NO_OBJECTS: [(&[u8], &str); 9] = [
    (b";{ broken", "must be JSON"),
    (b"", "must be JSON"),
    (b"{", "must be JSON"),
    (b"{} {}", "must be JSON"),
    (b"{\"description\": \"\xff\"}", "must be JSON"),
    (b"[]", "must be a JSON object"),
    (b"[{}]", "must be a JSON object"),
    (b"\"{}\"", "must be a JSON object"),
    (b"null", "must be a JSON object"),
];

fn with_a_body() -> impl Iterator<Item = (&'static str, String)> {
    let operations = operations(UNKNOWN).into_iter();
    operations.filter(|(_, _, body)| !body.is_null()).map(|(method, path, _)| (method, path))
}

fn call(daemon: &Daemon, method: &str, path: &str) -> Call {
    Call::new(method.parse().expect("a method"), &daemon.provider_url(PROVIDER, path))
}

#[actix_web::test]
async fn a_request_without_a_credential_is_told_nothing_else() {
    let daemon = Daemon::start().await;
    for (method, path) in with_a_body() {
        for (body, _) in NO_OBJECTS {
            let answer = call(&daemon, method, &path).body(body).send().await;
            assert_refused(&answer, 401, "a bearer token is required");
        }
    }
    for (method, path) in [
        ("GET", "/ssf/streams?stream_id=a&stream_id=b"),
        ("DELETE", "/ssf/streams"),
        ("DELETE", "/ssf/streams?stream_id=a&stream_id=b"),
        ("GET", "/ssf/status"),
        ("GET", "/ssf/status?stream_id=a&stream_id=b"),
        ("POST", "/ssf/poll/%ff"),
    ] {
        let answer = call(&daemon, method, path).send().await;
        assert_refused(&answer, 401, "a bearer token is required");
        let answer = call(&daemon, method, path).bearer("ssfd_unknown").send().await;
        assert_refused(&answer, 401, "unknown");
    }
}

/// CFG-16, VER-05, POLL-11: even if the stream is unknown.
#[actix_web::test]
async fn a_malformed_body_is_refused_before_its_stream_is_looked_for() {
    let daemon = Daemon::start().await;
    let client = daemon.client("rx").await;
    for (method, path) in with_a_body() {
        for (body, rule) in NO_OBJECTS {
            let answer = client.call(method, &path).body(body).send().await;
            assert_refused(&answer, 400, &format!("`body` {rule}"));
        }
    }
    assert_eq!(client.list().await, json!([]));
}

/// SSF's own samples have no `Content-Type`.
#[actix_web::test]
async fn a_body_needs_no_content_type() {
    let daemon = Daemon::start().await;
    let client = daemon.client("rx").await;
    client.call("POST", "/ssf/streams").body("{}").send().await.expect(201);
    let typed = client.call("POST", "/ssf/streams").header("content-type", "text/plain");
    typed.body("{}").send().await.expect(201);
}

/// The bounds are the same for all operations.
#[actix_web::test]
async fn a_body_too_large_or_too_deep_is_refused() {
    const BYTES_MAX: usize = 1000;
    let daemon = Daemon::with(|config| config.public.body_bytes_max = BYTES_MAX).await;
    let client = daemon.client("rx").await;
    let id = client.new_stream().await;
    let before = client.list().await;
    // An unknown member makes the body long enough.
    let of_length = |length: usize| {
        let mut body = json!({"stream_id": id, "returnImmediately": true, "status": "enabled",
            "subject": {"format": "opaque", "id": "s-88"}, "x": ""});
        body["x"] = "x".repeat(length - body.to_string().len()).into();
        body
    };
    // The bound is 32. These bodies are one deeper, and too deep for any parser.
    let deep = |depth: usize| format!("{{\"x\": {}{}}}", "[".repeat(depth), "]".repeat(depth));
    for (method, path) in with_a_body() {
        let path = path.replace(UNKNOWN, &id);
        let too_large = client.send(method, &path, &of_length(BYTES_MAX + 1)).await;
        assert_refused(&too_large, 413, "larger than 1000 bytes");
        for too_deep in [deep(32), deep(400)] {
            let answer = client.call(method, &path).body(too_deep).send().await;
            assert_refused(&answer, 400, "`body` must not be nested more than 32 deep");
        }
        // A create takes no `stream_id`.
        if path != "/ssf/streams" || method != "POST" {
            let fits = client.send(method, &path, &of_length(BYTES_MAX)).await;
            assert!(fits.status.is_success(), "{method} {path}: {}", fits.text());
            let just_so = client.call(method, &path).body(deep(31)).send().await;
            assert!(!just_so.text().contains("nested"), "{method} {path}: {}", just_so.text());
        }
    }
    assert_eq!(client.list().await, before);
}

/// RFC 9110 §15.5.6.
#[actix_web::test]
async fn an_unknown_method_is_answered_with_the_methods_of_the_resource() {
    let daemon = Daemon::start().await;
    let client = daemon.client("rx").await;
    for (path, allowed) in [
        ("/ssf/streams", "GET, POST, PATCH, PUT, DELETE"),
        ("/ssf/status", "GET, POST"),
        ("/ssf/verify", "POST"),
        ("/ssf/poll/st_unknown", "POST"),
    ] {
        for method in ["GET", "POST", "PATCH", "PUT", "DELETE", "OPTIONS", "TRACE"] {
            if !allowed.contains(method) {
                let answer = client.call(method, path).send().await;
                assert_refused(&answer, 405, "");
                assert_eq!(answer.header(hyper::header::ALLOW), allowed);
            }
        }
    }
    for path in ["/ssf", "/ssf/", "/ssf/streams/", "/ssf/streams/st_1", "/ssf/poll", "/ssf/poll/"] {
        assert_refused(&client.get(path).await, 404, "");
    }
}
