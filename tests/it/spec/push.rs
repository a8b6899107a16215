//! Push delivery (RFC 8935).

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use serde_json::json;
use ssfd::{clock, domain::time::Timestamp};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use crate::{
    harness::{
        daemon::rename_provider, eventually, receiver::Receiver, setup::Setup, streams::push_to,
        within,
    },
    push::faults::{changeable, impatient, paused},
    scripted_server::{Gate, Reply, Seen},
};

/// A delay that is longer than any test.
const AN_HOUR: Duration = Duration::from_hours(1);

/// Returns the metric of dead letters of this provider with this reason.
async fn dead(setup: &Setup, reason: &str) -> String {
    let provider = setup.daemon.provider();
    let labels = format!(r#"{{provider="{provider}",reason="{reason}"}}"#);
    setup.daemon.metric(&format!("ssfd_sets_dead_total{labels}")).await.to_string()
}

/// Returns a 400 with this body.
fn refusal(body: &str) -> Reply {
    Reply::full(400, &[("content-type", "application/json")], body)
}

/// Has a Receiver refuse one SET with each of `bodies` and accept one more. Asserts that each SET
/// arrived once.
async fn refusing(name: &str, bodies: &'static [&'static str]) -> Setup {
    let mut receiver =
        Receiver::start(|n, _| bodies.get(n).map_or(Reply::status(202), |body| refusal(body)))
            .await;
    let setup = Setup::pushing_with(&receiver, |config| rename_provider(config, name)).await;
    // All SETs are in one lane, so that each waits for the one before it.
    setup.publish(&vec!["s-1"; bodies.len() + 1]).await;
    let sets = receiver.next_few(bodies.len() + 1).await;
    let mut jtis: Vec<_> = sets.iter().map(Seen::jti).collect();
    jtis.dedup();
    assert_eq!(jtis.len(), sets.len(), "none is sent twice: {jtis:?}");
    setup.settled().await;
    assert!(receiver.rest().is_empty());
    setup
}

#[actix_web::test]
async fn push_01_the_request_is_a_post_of_a_secevent_jwt() {
    let mut receiver = Receiver::accepting().await;
    let setup = Setup::pushing_to(&receiver).await;
    setup.publish(&["s-88"]).await;
    let request = receiver.next().await;
    assert_eq!((request.method.as_str(), request.target.as_str()), ("POST", "/in"));
    assert_eq!(request.headers["content-type"], "application/secevent+jwt");
    assert_eq!(request.headers["accept"], "application/json");
}

/// The body has no line break and no second SET, even if several SETs are ready.
#[actix_web::test]
async fn push_02_the_body_is_one_compact_jwt_and_nothing_else() {
    let mut receiver = Receiver::accepting().await;
    let setup = Setup::pushing_to(&receiver).await;
    setup.publish(&["s-1", "s-2", "s-3"]).await;
    let verifier = setup.daemon.verifier(setup.daemon.provider()).await;
    for request in receiver.next_few(3).await {
        let base64url = |b: u8| b.is_ascii_alphanumeric() || b"-_".contains(&b);
        let parts: Vec<_> = request.jws().split('.').collect();
        assert_eq!(parts.len(), 3);
        assert!(parts.iter().all(|part| !part.is_empty() && part.bytes().all(base64url)));
        verifier.verify(request.jws()).expect("a SET of ours");
    }
}

/// RFC 8935 §2.2. A success other than 202 is counted as a deviation.
#[actix_web::test]
async fn push_03_a_success_ends_the_delivery() {
    let mut receiver = Receiver::answering([200, 201, 204]).await;
    let name = "any-success";
    let setup = Setup::pushing_with(&receiver, |config| rename_provider(config, name)).await;

    setup.publish(&["s-1", "s-1", "s-1", "s-1"]).await;

    receiver.next_few(4).await;
    setup.settled().await;
    assert!(receiver.rest().is_empty());
    let deviations = format!(r#"ssfd_push_deviations_total{{provider="{name}"}}"#);
    assert_eq!(setup.daemon.metric(&deviations).await.to_string(), "3");
}

/// A SET that was refused for its key is signed once more before it becomes a dead letter. The
/// second request is another JWS.
#[actix_web::test]
async fn push_04_a_set_that_was_refused_is_not_sent_again() {
    let bodies = &[
        r#"{"err":"invalid_request","description":"no"}"#,
        r#"{"err":"invalid_issuer"}"#,
        r#"{"err":"invalid_audience"}"#,
        r#"{"err":"invalid_state"}"#,
    ];
    let setup = refusing("refused", bodies).await;
    for err in ["invalid_request", "invalid_issuer", "invalid_audience", "invalid_state"] {
        assert_eq!(dead(&setup, err).await, "1", "{err}");
    }

    let mut receiver = Receiver::start(|n, _| match n {
        0 | 1 => refusal(r#"{"err":"invalid_key"}"#),
        _ => Reply::status(202),
    })
    .await;
    let rename = |config: &mut _| rename_provider(config, "refused-key");
    let setup = Setup::pushing_with(&receiver, rename).await;
    setup.publish(&["s-1", "s-1"]).await;
    let sets = receiver.next_few(3).await;
    assert!(sets[0].claims() == sets[1].claims() && sets[0].body != sets[1].body);
    assert_ne!(sets[1].jti(), sets[2].jti());
    setup.settled().await;
    assert_eq!(dead(&setup, "invalid_key").await, "1");
}

/// A failure is temporary if the status says so, if no answer comes, and if the connection breaks,
/// is refused or does not speak TLS.
#[actix_web::test]
async fn push_05_a_temporary_failure_is_retried_after_a_delay() {
    let answers = [408, 425, 429, 500, 502, 503, 504].map(Reply::status);
    let replies = [&answers[..], &[Reply::Never, Reply::Nothing, Reply::Nothing]].concat();
    let failures = replies.len();
    let mut receiver =
        Receiver::start(move |n, _| replies.get(n).cloned().unwrap_or_else(|| Reply::status(202)))
            .await;
    let untrusted = Receiver::accepting_over_tls().await;
    let setup = Setup::pushing_with(&receiver, |config| {
        rename_provider(config, "tried-again");
        config.push.attempt_timeout = Duration::from_millis(500);
    })
    .await;
    setup.publish(&["s-1"]).await;
    receiver.next_few(failures + 1).await;
    setup.settled().await;
    receiver.rest();

    let closed = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
    let closed_url = format!("http://{}/", closed.local_addr().expect("bound"));
    drop(closed);
    setup.update(json!({"delivery": push_to(&closed_url)})).await;
    setup.publish(&["s-2"]).await;
    for (url, class) in [(closed_url, "connect"), (untrusted.url("/in"), "tls_untrusted")] {
        let before = setup.attempts(class).await;
        setup.update(json!({"delivery": push_to(&url)})).await;
        eventually(class, async || before < setup.attempts(class).await).await;
    }
    setup.update(json!({"delivery": push_to(&receiver.url("/in"))})).await;
    assert_eq!(receiver.next().await.subject(), "s-2");

    // The delays grow, are spread at random, and are at least as long as `Retry-After` asks.
    let throttling = |seen: &Seen| seen.subject() == "throttled";
    let receiver = Receiver::start(move |_, seen| {
        Reply::full(429, if throttling(seen) { &[("retry-after", "7000")] } else { &[] }, "")
    })
    .await;
    let setup = Setup::pushing_with(&receiver, |config| {
        config.delivery.retry.schedule = vec![Duration::from_millis(1), AN_HOUR];
        config.delivery.retry.retry_after_max = 2 * AN_HOUR;
    })
    .await;
    let before = clock::now();
    let about: Vec<_> = (0..20).map(|n| format!("s-{n}")).collect();
    setup.publish(&about.iter().map(String::as_str).collect::<Vec<_>>()).await;
    setup.publish(&["throttled"]).await;
    eventually("all SETs wait for their retry", async || {
        setup.waiting().await.iter().all(|set| before + AN_HOUR / 2 < set.due_at)
    })
    .await;
    let after = clock::now();
    let waiting = setup.waiting().await;
    let mut due: Vec<Timestamp> = waiting.iter().map(|set| set.due_at).collect();
    let throttled = due.pop().expect("the last that was published");
    assert!(before + Duration::from_secs(7000) <= throttled, "{throttled:?}");
    assert!(due.iter().all(|at| before + AN_HOUR.mul_f64(0.75) <= *at), "{due:?}");
    assert!(due.iter().all(|at| *at <= after + AN_HOUR.mul_f64(1.25)), "{due:?}");
    assert!(due.windows(2).any(|pair| pair[0] + Duration::from_secs(10) < pair[1]), "{due:?}");
}

/// A retry sends the same bytes. After a restart the SET is signed again and has the same claims.
#[actix_web::test]
async fn push_07_a_retried_set_keeps_its_jti_and_claims() {
    let gate = Gate::default();
    let closed = gate.clone();
    let mut receiver =
        Receiver::start(move |_, _| Reply::status(if closed.is_open() { 202 } else { 503 })).await;
    let mut setup = Setup::pushing_to(&receiver).await;
    setup.publish(&["s-1"]).await;
    let first = receiver.next().await;
    for again in receiver.next_few(3).await {
        assert_eq!(again.body, first.body);
    }
    setup.daemon.stop().await;
    receiver.rest();
    gate.open();
    setup.daemon.start_again().await;
    assert_eq!(receiver.next().await.claims(), first.claims());
    setup.settled().await;
    assert!(receiver.rest().is_empty());
}

#[actix_web::test]
async fn push_08_a_400_without_a_known_error_code_is_a_refusal_too() {
    let bodies = &[
        r#"{"err":"made_up"}"#,
        r#"{"err":7}"#,
        "{}",
        "",
        "<html>",
        "\u{0}",
        // The last body has the only known code, with a description that is not a string.
        r#"{"err":"invalid_issuer","description":null}"#,
    ];
    let setup = refusing("refused-otherwise", bodies).await;
    assert_eq!(dead(&setup, "other").await, (bodies.len() - 1).to_string());
    assert_eq!(dead(&setup, "invalid_issuer").await, "1");
}

/// The target of the redirect gets neither the SET nor the credential.
#[actix_web::test]
async fn push_09_a_redirect_is_not_followed() {
    let mut elsewhere = Receiver::accepting().await;
    let location = elsewhere.url("/in");
    let statuses = [301, 302, 303, 307, 308];
    let mut receiver = Receiver::start(move |n, _| match statuses.get(n) {
        Some(status) => Reply::full(*status, &[("location", &location)], ""),
        None => Reply::status(202),
    })
    .await;
    let mut delivery = push_to(&receiver.url("/in"));
    delivery["authorization_header"] = "Bearer rx secret=7".into();
    let setup = Setup::new(delivery, |_| {}).await;
    setup.publish(&["s-1"]).await;
    for request in receiver.next_few(statuses.len() + 1).await {
        assert_eq!(request.headers["authorization"], "Bearer rx secret=7");
    }
    setup.settled().await;
    assert!(elsewhere.rest().is_empty());
}

/// Answers one connection like a server that knows no version of TLS above 1.1. Returns the bytes
/// that the client sends then.
async fn answer_with_tls_1_1(listener: TcpListener) -> Vec<u8> {
    let (mut tcp, _) = listener.accept().await.expect("a connection");
    let mut record = [0; 5];
    tcp.read_exact(&mut record).await.expect("the head of a record");
    let mut client_hello = vec![0; usize::from(u16::from_be_bytes([record[3], record[4]]))];
    tcp.read_exact(&mut client_hello).await.expect("a ClientHello");
    // A record with one handshake message, ServerHello: version 3.2 is TLS 1.1, then the random, no
    // session, a cipher suite and no compression.
    let random = [7; 32];
    let hello = [&[3, 2][..], &random, &[0, 0xc0, 0x13, 0]].concat();
    let length = u8::try_from(hello.len()).expect("short");
    let head = [22, 3, 2, 0, length + 4, 2, 0, 0, length];
    tcp.write_all(&[&head[..], &hello].concat()).await.expect("the client still reads");
    let mut told = Vec::new();
    // The client may reset the connection instead of closing it.
    tcp.read_to_end(&mut told).await.ok();
    told
}

/// RFC 8935 §5.3: the certificate is of a trusted authority and for the name in the URL, and the
/// version is TLS 1.2 or later.
#[actix_web::test]
async fn push_10_the_certificate_and_the_version_of_tls_are_verified() {
    let mut trusted = Receiver::accepting_over_tls().await;
    let mut untrusted = Receiver::accepting_over_tls().await;
    let (url, roots) = (trusted.url("/in"), trusted.roots());
    let old = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
    let old_url = format!("https://{}/", old.local_addr().expect("bound"));
    let setup = Setup::new(push_to(&untrusted.url("/in")), |config| {
        rename_provider(config, "verified");
        config.push.trusted_roots = Some(roots);
        config.delivery.retry.schedule = vec![AN_HOUR];
    })
    .await;
    setup.publish(&["s-1"]).await;
    eventually("no such authority", async || setup.attempts("tls_untrusted").await == 1).await;
    // The certificate is for `localhost`.
    let by_address = url.replace("localhost", "127.0.0.1");
    setup.update(json!({"delivery": push_to(&by_address)})).await;
    eventually("another name", async || setup.attempts("tls_untrusted").await == 2).await;
    setup.update(json!({"delivery": push_to(&old_url)})).await;
    let told = within("the client answers the ServerHello", answer_with_tls_1_1(old)).await;
    let protocol_version = [2, 70];
    assert!(told.ends_with(&protocol_version), "no fatal alert: {told:?}");
    assert!(trusted.rest().is_empty() && untrusted.rest().is_empty());

    setup.update(json!({"delivery": push_to(&url)})).await;
    assert_eq!(trusted.next().await.subject(), "s-1");
    setup.settled().await;
}

/// The SET stays in the outbox, because the operator may allow the network later.
#[actix_web::test]
async fn push_12_an_endpoint_in_a_private_network_is_not_connected_to() {
    let mut receiver = Receiver::accepting().await;
    let name = "own-network";
    // A literal address would be refused when the stream is created.
    let url = receiver.url("/in").replace("127.0.0.1", "localhost");
    let setup = Setup::new(push_to(&url), |config| {
        rename_provider(config, name);
        config.push.allow_networks.clear();
    })
    .await;

    setup.publish(&["s-1"]).await;

    eventually("an attempt is refused", async || 0 < setup.attempts("address_refused").await).await;
    assert_eq!(setup.waiting().await.len(), 1);
    assert!(receiver.rest().is_empty());
}

#[actix_web::test]
async fn push_13_a_receiver_that_does_not_answer_delays_no_other() {
    let gate = Gate::default();
    let held = gate.clone();
    let mut receiver = Receiver::start(move |_, request| match request.target.as_str() {
        "/slow" => Reply::status(202).behind(&held),
        _ => Reply::status(202),
    })
    .await;
    let setup = Setup::pushing_with(&receiver, |_| {}).await;
    let slow = push_to(&receiver.url("/slow"));
    setup.daemon.create_stream(&setup.token, slow).await;

    let about: Vec<String> = (0..100).map(|n| format!("s-{n}")).collect();
    setup.publish(&about.iter().map(String::as_str).collect::<Vec<_>>()).await;

    let mut through = 0;
    while through < about.len() {
        through += usize::from(receiver.next().await.target == "/in");
    }
    gate.open();
    setup.settled().await;
}

/// After three attempts the stream is paused, and its SETs are held.
#[actix_web::test]
async fn push_06_a_refusal_of_our_credentials_is_retried_until_the_stream_is_paused() {
    for (status, body) in [
        (401, ""),
        (403, ""),
        (400, r#"{"err":"authentication_failed","description":""}"#),
        (400, r#"{"err":"access_denied","description":""}"#),
    ] {
        let receiver = Receiver::start(move |_, _| Reply::full(status, &[], body)).await;
        let mut setup = Setup::pushing_with(&receiver, |config| {
            impatient(config);
            config.delivery.in_flight_max = 1;
        })
        .await;
        setup.publish(&["s-1", "s-1"]).await;
        let reason = paused(&setup).await;
        assert!(reason.contains("credentials"), "{reason}");
        assert_eq!(setup.in_outbox().await, 3, "two events, and the announcement of the pause");
        setup.daemon.stop().await;
    }
}

/// The SETs are held, and sent once the endpoint is repaired and the stream is enabled.
#[actix_web::test]
async fn push_11_a_stream_whose_endpoint_stays_at_fault_is_paused_and_the_receiver_is_told() {
    for (status, label, detail) in [
        (401, "credentials", "status 401"),
        (403, "credentials", "status 403"),
        (404, "misconfigured", "status 404"),
        (410, "misconfigured", "status 410"),
        (302, "misconfigured", "status 302"),
        (413, "misconfigured", "status 413"),
        (400, "refused_invalid_key", "invalid_key"),
    ] {
        let answer = Arc::new(AtomicUsize::new(status));
        let mut receiver = changeable(&answer).await;
        let name = format!("fault-{status}");
        let setup = Setup::pushing_with(&receiver, |config| {
            rename_provider(config, &name);
            impatient(config);
            config.delivery.in_flight_max = 1;
        })
        .await;
        setup.publish(&["s-1", "s-2", "s-3", "s-4", "s-5"]).await;

        let reason = paused(&setup).await;
        assert!(reason.starts_with("3 pushes in a row failed"), "{reason}");
        assert!(reason.contains(label) && reason.contains(detail), "{reason}");
        let series = format!(r#"ssfd_streams_paused_total{{provider="{name}",outcome="{label}"}}"#);
        assert_eq!(setup.daemon.metric(&series).await.to_string(), "1");
        // Each SET that was refused for its signature is a dead letter, except the last one, which
        // is held.
        let dead = if status == 400 { 2 } else { 0 };

        // The endpoint gets the announcement of the pause too, although it refuses it.
        while receiver.next().await.payload()["status"] != "paused" {}
        receiver.rest();
        // Once the endpoint is repaired and the stream enabled, the held SETs are sent at once.
        answer.store(202, Ordering::SeqCst);
        setup.change_status("enabled").await;
        let mut held = Vec::new();
        while held.len() < 5 - dead {
            // The announcement of the pause may still be in flight and is left out here.
            held.extend(Some(receiver.next().await.subject()).filter(|id| id.starts_with("s-")));
        }
        held.sort();
        assert_eq!(held, ["s-1", "s-2", "s-3", "s-4", "s-5"][dead..]);
        setup.settled().await;
    }
}
