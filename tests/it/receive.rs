//! `ssfd receive` as a library: the push endpoint against the daemon's own push client, and the
//! poller against a scripted Transmitter.
#![allow(clippy::unwrap_used, reason = "a test may panic, and so may its helpers")]

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use hyper::StatusCode;
use serde_json::{Value, json};
use ssfd::{
    cli::{
        http::{HttpClient, HttpError},
        receive::{
            certificate::{make_certificate, server_config},
            inspect::Inspector,
            jwks::KeySource,
            misbehave::MisbehaviourMode,
            poll::{PollError, PollOptions, PollReceiver},
            push::{PushOptions, PushReceiver},
            received::{ReceiveMethod, Received, Rejection},
        },
    },
    delivery::outcome::{FailureClass, Outcome},
    domain::{issuer::Issuer, secret::Secret, set_error::ErrCode, stream::PushEndpoint},
    push::{client::PushClient, clients::PushClients, settings::PushSettings},
    signing::{
        algorithm::Algorithm, generate::generate, key_ring::KeyRing, keys::SigningKey,
        verify::Verifier,
    },
};
use tokio::sync::mpsc;

use crate::scripted_server::{Endpoint, Reply};

const EVENT: &str = "https://schemas.openid.net/secevent/caep/event-type/session-revoked";

fn ring() -> KeyRing {
    let pem = generate(Algorithm::Es256).unwrap();
    KeyRing::new(vec![SigningKey::from_pem(pem.as_bytes()).unwrap()]).unwrap()
}

fn sign(ring: &KeyRing, jti: &str) -> Bytes {
    let claims = json!({
        "iss": "https://tx.example", "iat": 1_775_000_099, "jti": jti, "aud": "https://rx.example",
        "sub_id": {"format": "opaque", "id": "s-88"}, "events": {EVENT: {}},
    });
    ring.signer().sign_set(&claims.to_string()).unwrap()
}

fn text(set: &Bytes) -> &str {
    std::str::from_utf8(set).unwrap()
}

fn inspector(ring: &KeyRing) -> Arc<Inspector> {
    let verifier = Verifier::from_jwks(ring.jwks_json().as_bytes()).unwrap();
    Arc::new(Inspector::new(KeySource::Fixed(verifier)))
}

/// Starts a push endpoint without TLS. Returns the SETs that arrive there.
async fn listen(
    ring: &KeyRing,
    misbehave: Option<&str>,
) -> (PushReceiver, mpsc::Receiver<Received>) {
    let (received, arriving) = mpsc::channel(16);
    let options = PushOptions {
        listen: "127.0.0.1:0".into(),
        tls: None,
        authorization_header: None,
        misbehaviour: misbehave.map(|mode| mode.parse().unwrap()),
        inspector: inspector(ring),
        received,
    };
    (PushReceiver::start(options).await.unwrap(), arriving)
}

fn client(settings: PushSettings) -> PushClient {
    let allow_networks = vec!["127.0.0.0/8".parse().unwrap()];
    let clients = PushClients::new(&PushSettings { allow_networks, ..settings }).unwrap();
    clients.default_client().clone()
}

fn to(receiver: &PushReceiver, authorization: Option<&str>) -> PushEndpoint {
    let secret = authorization.map(Secret::new);
    PushEndpoint::new(&format!("{}in/7", receiver.url()), secret, true).unwrap()
}

/// The answers follow RFC 8935 §2.2, §2.3.
#[tokio::test]
async fn a_verified_set_is_accepted_and_others_are_refused() {
    let ours = ring();
    let (receiver, mut arriving) = listen(&ours, None).await;
    let (client, target) = (client(PushSettings::default()), to(&receiver, None));

    let outcome = client.push(&target, sign(&ours, "b1")).await;
    assert_eq!(outcome, Outcome::Accepted { status: 202 });
    let set = arriving.recv().await.unwrap();
    assert_eq!(set.method, ReceiveMethod::Push);
    assert_eq!(set.endpoint, "/in/7");
    assert_eq!(set.jti.as_deref(), Some("b1"));
    assert_eq!(set.event_type.as_deref(), Some(EVENT));
    assert_eq!(set.claims["aud"], "https://rx.example");
    assert_eq!(set.verified.as_ref().unwrap().algorithm, Algorithm::Es256);
    assert!(!set.duplicate);

    assert_eq!(client.push(&target, sign(&ours, "b1")).await.class(), "accepted");
    assert!(arriving.recv().await.unwrap().duplicate);

    let Outcome::Refused(error) = client.push(&target, sign(&ring(), "b2")).await else {
        panic!("the key is unknown");
    };
    assert_eq!(error.code, ErrCode::InvalidKey);
    assert!(arriving.recv().await.unwrap().verified.is_err());

    let Outcome::Refused(error) = client.push(&target, Bytes::from_static(b"no SET")).await else {
        panic!("it is no SET");
    };
    assert_eq!(error.code, ErrCode::InvalidRequest);
}

#[tokio::test]
async fn a_set_arrives_over_tls_with_the_agreed_authorization() {
    let ring = ring();
    let made = make_certificate(&["127.0.0.1"]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let roots = folder.path().join("roots.pem");
    std::fs::write(&roots, &made.authority_pem).unwrap();
    let tls = server_config(made.certificate_pem.as_bytes(), made.key_pem.as_bytes()).unwrap();
    let (received, mut arriving) = mpsc::channel(16);
    let endpoint = PushReceiver::start(PushOptions {
        listen: "127.0.0.1:0".into(),
        tls: Some(tls),
        authorization_header: Some(Secret::new("Bearer rx-7")),
        misbehaviour: None,
        inspector: inspector(&ring),
        received,
    })
    .await
    .unwrap();

    let client = client(PushSettings { trusted_roots: Some(roots), ..PushSettings::default() });
    for wrong in [None, Some("Bearer rx-8")] {
        let outcome = client.push(&to(&endpoint, wrong), sign(&ring, "b1")).await;
        assert!(
            matches!(outcome, Outcome::Failed { class: FailureClass::Credentials, .. }),
            "{outcome:?}"
        );
        assert!(arriving.recv().await.unwrap().verified.is_err());
    }
    let right = to(&endpoint, Some("Bearer rx-7"));
    assert_eq!(client.push(&right, sign(&ring, "b1")).await.class(), "accepted");
    let set = arriving.recv().await.unwrap();
    assert!(set.verified.is_ok() && !set.duplicate);
}

/// Pushes one SET twice to a Receiver that misbehaves on the first request.
async fn check_misbehaviour(mode: &str, first: &str, duplicate: bool) {
    let ring = ring();
    let (receiver, mut arriving) = listen(&ring, Some(&format!("{mode},first=1"))).await;
    let (client, target) = (client(PushSettings::default()), to(&receiver, None));

    let outcome = client.push(&target, sign(&ring, "b1")).await;
    assert_eq!(outcome.class(), first, "{mode}: {outcome:?}");
    assert_eq!(
        arriving.recv().await.unwrap().misbehaved,
        Some(mode.parse::<MisbehaviourMode>().unwrap())
    );

    assert_eq!(client.push(&target, sign(&ring, "b1")).await.class(), "accepted", "{mode}");
    let again = arriving.recv().await.unwrap();
    assert_eq!((again.misbehaved, again.duplicate), (None, duplicate), "{mode}");
}

#[tokio::test]
async fn each_misbehaviour_leads_to_its_outcome() {
    check_misbehaviour("500", "unavailable", false).await;
    check_misbehaviour("429:30", "throttled", false).await;
    check_misbehaviour("400:invalid_audience", "refused_invalid_audience", false).await;
    check_misbehaviour("400:access_denied", "credentials", false).await;
    check_misbehaviour("redirect:https://elsewhere.example/", "misconfigured", false).await;
    check_misbehaviour("reset", "connect", false).await;
    check_misbehaviour("lose", "connect", true).await;
    check_misbehaviour("slow:1ms", "accepted", true).await;
}

#[tokio::test]
async fn a_stopped_endpoint_accepts_no_connection() {
    let ring = ring();
    let (receiver, _arriving) = listen(&ring, None).await;
    let (client, target) = (client(PushSettings::default()), to(&receiver, None));
    assert_eq!(client.push(&target, sign(&ring, "b1")).await.class(), "accepted");
    receiver.stop().await;
    assert_eq!(client.push(&target, sign(&ring, "b2")).await.class(), "connect");
}

/// The keys are found through the metadata (SSF §7.2, §7.2.4).
#[tokio::test]
async fn keys_are_found_through_the_issuer_and_fetched_again_when_they_change() {
    let (old, new) = (ring(), ring());
    let sets = [old.jwks_json().to_owned(), new.jwks_json().to_owned()];
    let base = Arc::new(OnceLock::<String>::new());
    let known = Arc::clone(&base);
    let server = Endpoint::start(&["http/1.1"], move |n| {
        let issuer = known.get().unwrap();
        let metadata = json!({"issuer": issuer, "jwks_uri": format!("{issuer}/jwks.json")});
        match n {
            _ if n % 2 == 0 => Reply::full(200, &[], &metadata.to_string()),
            1 => Reply::full(200, &[], &sets[0]),
            _ => Reply::full(200, &[], &sets[1]),
        }
    })
    .await;
    let issuer = base.get_or_init(|| server.url("/t/acme"));
    let http = HttpClient::new(Some(&server.roots())).unwrap();
    let keys = KeySource::metadata(http, Issuer::try_from(issuer.clone()).unwrap());

    assert!(keys.verify(text(&sign(&old, "b1"))).await.is_ok());
    assert!(keys.verify(text(&sign(&old, "b2"))).await.is_ok());
    assert_eq!(server.seen().len(), 2, "known keys are not fetched again");
    assert!(keys.verify(text(&sign(&new, "b3"))).await.is_ok());
    let targets: Vec<_> = server.seen().into_iter().map(|seen| seen.target).collect();
    let well_known = "/.well-known/ssf-configuration/t/acme";
    assert_eq!(targets, [well_known, "/t/acme/jwks.json", well_known, "/t/acme/jwks.json"]);

    let refused = keys.verify(text(&sign(&old, "b4"))).await.unwrap_err();
    assert!(matches!(refused, Rejection::Refused(error) if error.code == ErrCode::InvalidKey));
}

#[tokio::test]
async fn without_keys_a_set_is_not_refused_for_good() {
    let server = Endpoint::start(&["http/1.1"], |_| Reply::status(503)).await;
    let http = HttpClient::new(Some(&server.roots())).unwrap();
    let keys = KeySource::jwks(http, server.url("/jwks.json").parse().unwrap());
    let rejection = keys.verify(text(&sign(&ring(), "b1"))).await.unwrap_err();
    assert!(matches!(&rejection, Rejection::NoKeys(why) if why.contains("503")), "{rejection}");
}

fn poll(server: &Endpoint, ring: &KeyRing) -> (PollReceiver, mpsc::Receiver<Received>) {
    let (received, arriving) = mpsc::channel(16);
    let poller = PollReceiver::start(PollOptions {
        url: server.url("/poll/st_1").parse().unwrap(),
        token: Some(Secret::new("token-7")),
        events_max: Some(2),
        http: HttpClient::new(Some(&server.roots())).unwrap(),
        inspector: inspector(ring),
        received,
    });
    (poller, arriving)
}

/// The requests follow RFC 8936 §2.2, §2.4, §2.6.
#[tokio::test]
async fn a_poller_acknowledges_verified_sets_and_reports_the_others() {
    let ring = ring();
    let (good, misnamed) = (sign(&ring, "b2"), sign(&ring, "b3"));
    let sets = format!(r#"{{"sets":{{"b2":"{}","a1":"{}"}}}}"#, text(&good), text(&misnamed));
    let server = Endpoint::start(&["h2"], move |n| match n {
        0 => Reply::full(503, &[], ""),
        1 => Reply::full(200, &[], &sets),
        _ => Reply::full(200, &[], r#"{"sets":{}}"#),
    })
    .await;
    let (poller, mut arriving) = poll(&server, &ring);

    let first = arriving.recv().await.unwrap();
    assert_eq!((first.method, first.jti.as_deref()), (ReceiveMethod::Poll, Some("b2")));
    assert!(first.verified.is_ok());
    let second = arriving.recv().await.unwrap();
    assert!(matches!(second.verified, Err(Rejection::Refused(_))), "the answer names it a1");
    poller.stop().await.unwrap();

    let seen = server.seen();
    let body = |n: usize| serde_json::from_slice::<Value>(&seen[n].body).unwrap();
    assert_eq!(seen[1].headers["authorization"], "Bearer token-7");
    assert_eq!(seen[1].headers["content-type"], "application/json");
    assert_eq!(body(1), json!({"maxEvents": 2, "returnImmediately": false}));
    // The acknowledgement is in the next poll or, when the poller stops, in a request of its own.
    assert_eq!(body(2)["ack"], json!(["b2"]));
    assert_eq!(body(2)["setErrs"]["a1"]["err"], "invalid_request");
    assert_eq!(seen[2].headers["content-language"], "en");
}

#[tokio::test]
async fn a_poller_ends_with_an_error_when_it_is_refused() {
    let server = Endpoint::start(&["http/1.1"], |_| Reply::status(401)).await;
    let (poller, mut arriving) = poll(&server, &ring());
    assert!(arriving.recv().await.is_none(), "polling has ended");
    let error = poller.stop().await.unwrap_err();
    assert!(
        matches!(
            error,
            PollError::Refused(HttpError::Status { status: StatusCode::UNAUTHORIZED, .. })
        ),
        "{error}"
    );
}
