//! The push client against real servers on loopback (RFC 8935).
#![allow(clippy::unwrap_used, reason = "a test may panic, and so may its helpers")]

mod answers;
mod connections;
mod hostile;
mod names;

use std::{fs, path::PathBuf, sync::Arc, time::Duration};

use bytes::Bytes;
use hyper::{Method, Version};
use ipnet::IpNet;
use rcgen::{CertificateParams, KeyPair};
use rustls::{RootCertStore, ServerConfig, crypto::aws_lc_rs, server::WebPkiClientVerifier};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use ssfd::{
    cli::receive::certificate::make_certificate,
    clock,
    delivery::outcome::{FailureClass, Outcome},
    domain::{
        endpoint_policy::EndpointPolicy, secret::Secret, set_error::ErrCode, stream::PushEndpoint,
    },
    push::{
        client::PushClient,
        clients::PushClients,
        identity::{ClientCertificate, HttpVersion, PushIdentity},
        settings::PushSettings,
        tls::TrustedRoots,
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use tokio_rustls::TlsAcceptor;

use crate::scripted_server::{Endpoint, Reply};

const H1: &[&str] = &["http/1.1"];
const H2: &[&str] = &["h2"];
const BOTH: &[&str] = &["h2", "http/1.1"];
const SET: Bytes = Bytes::from_static(b"eyJ0eXAi.eyJpc3Mi.c2ln");

fn loopback() -> Vec<IpNet> {
    ["127.0.0.0/8", "::1/128"].map(|network| network.parse().unwrap()).to_vec()
}

/// Dials loopback, and trusts `roots`.
fn settings(roots: Option<PathBuf>) -> PushSettings {
    PushSettings { trusted_roots: roots, allow_networks: loopback(), ..PushSettings::default() }
}

/// Dials loopback.
fn on_loopback() -> PushIdentity {
    let policy = EndpointPolicy::new(loopback(), Vec::new(), Vec::new());
    PushIdentity { policy, ..PushIdentity::default() }
}

fn client_with(settings: &PushSettings) -> PushClient {
    PushClients::new(settings).unwrap().default_client().clone()
}

fn client_for(endpoint: &Endpoint) -> PushClient {
    client_with(&settings(Some(endpoint.roots())))
}

fn to(url: &str) -> PushEndpoint {
    PushEndpoint::new(url, None, true).unwrap()
}

async fn outcome_of(reply: Reply) -> Outcome {
    let endpoint = Endpoint::start(BOTH, move |_| reply.clone()).await;
    client_for(&endpoint).push(&to(&endpoint.url("/in")), SET).await
}

#[track_caller]
fn assert_failed(outcome: &Outcome, expected: FailureClass) {
    assert!(
        matches!(outcome, Outcome::Failed { class, .. } if *class == expected),
        "{expected:?} expected of {outcome:?}"
    );
}

/// PUSH-01, PUSH-02 (RFC 8935 §2.1).
#[tokio::test]
async fn the_request_is_that_of_rfc_8935_over_either_version() {
    for (protocols, version) in [(H1, Version::HTTP_11), (H2, Version::HTTP_2)] {
        let endpoint = Endpoint::start(protocols, |_| Reply::status(202)).await;
        let client = client_for(&endpoint);
        let secret = Some(Secret::new("Bearer rx secret=7"));
        let with = PushEndpoint::new(&endpoint.url("/in/7?tenant=%C3%BC"), secret, false).unwrap();
        assert_eq!(client.push(&with, SET).await, Outcome::Accepted { status: 202 });
        assert_eq!(client.push(&to(&endpoint.url("/")), SET).await.class(), "accepted");

        let seen = endpoint.seen();
        let header = |name| seen[0].headers.get(name).map(|value| value.to_str().unwrap());
        assert_eq!((&seen[0].method, seen[0].version), (&Method::POST, version));
        assert_eq!(seen[0].target, "/in/7?tenant=%C3%BC");
        assert_eq!(seen[0].body, SET);
        assert_eq!(header("content-type"), Some("application/secevent+jwt"));
        assert_eq!(header("accept"), Some("application/json"));
        assert_eq!(header("content-length"), Some("22"));
        assert_eq!(header("authorization"), Some("Bearer rx secret=7"));
        assert_eq!(header("user-agent"), Some(concat!("ssfd/", env!("CARGO_PKG_VERSION"))));
        // No further header is sent. In HTTP/2, `host` is `:authority`.
        let hosts = usize::from(version == Version::HTTP_11);
        assert_eq!(seen[0].headers.len(), 5 + hosts, "{:?}", seen[0].headers);
        assert!(!seen[1].headers.contains_key("authorization"));
    }
}

#[tokio::test]
async fn the_newer_version_is_chosen_when_both_are_offered() {
    let endpoint = Endpoint::start(BOTH, |_| Reply::status(202)).await;
    client_for(&endpoint).push(&to(&endpoint.url("/in")), SET).await;
    assert_eq!(endpoint.seen()[0].version, Version::HTTP_2);
}

/// RFC 8935 §2.3.
#[tokio::test]
async fn a_refusal_brings_its_error_along() {
    let body = r#"{"err":"invalid_key","description":"unknown kid"}"#;
    let headers = [("content-type", "application/json"), ("content-language", "en")];
    let Outcome::Refused(error) = outcome_of(Reply::full(400, &headers, body)).await else {
        panic!("a 400 refuses");
    };
    assert_eq!(error.code, ErrCode::InvalidKey);
    assert_eq!(error.description, "unknown kid");
}

#[tokio::test]
async fn retry_after_is_read_in_both_forms() {
    let throttled = |value: &str| outcome_of(Reply::full(429, &[("retry-after", value)], ""));
    let Outcome::Failed { class, retry_after, .. } = throttled("17").await else {
        panic!("a 429 fails");
    };
    assert_eq!((class, retry_after), (FailureClass::Throttled, Some(Duration::from_secs(17))));

    let hour = Duration::from_hours(1);
    let at = u64::try_from((clock::now() + hour).as_secs()).unwrap();
    let date = httpdate::fmt_http_date(std::time::UNIX_EPOCH + Duration::from_secs(at));
    let Outcome::Failed { retry_after: Some(wait), .. } = throttled(&date).await else {
        panic!("a date is a wait");
    };
    assert!(hour / 2 < wait && wait <= hour, "{wait:?}");
}

/// PUSH-09.
#[tokio::test]
async fn a_redirect_is_not_followed() {
    for status in [301, 302, 303, 307, 308] {
        let endpoint = Endpoint::start(BOTH, move |n| match n {
            0 => Reply::full(status, &[("location", "/elsewhere")], ""),
            _ => Reply::status(202),
        })
        .await;
        let outcome = client_for(&endpoint).push(&to(&endpoint.url("/in")), SET).await;
        assert_failed(&outcome, FailureClass::Misconfigured);
        assert_eq!(endpoint.seen().len(), 1);
    }
}

/// PUSH-10 (RFC 8935 §5.3).
#[tokio::test]
async fn an_untrusted_certificate_is_a_tls_failure() {
    let endpoint = Endpoint::start(BOTH, |_| Reply::status(202)).await;
    let other = Endpoint::start(BOTH, |_| Reply::status(202)).await;
    let outcome = client_for(&other).push(&to(&endpoint.url("/in")), SET).await;
    assert_failed(&outcome, FailureClass::TlsUntrusted);
    assert!(endpoint.seen().is_empty());
}

/// PUSH-10 (RFC 8935 §5.3).
#[tokio::test]
async fn a_certificate_for_another_name_is_a_tls_failure() {
    let endpoint = Endpoint::start(BOTH, |_| Reply::status(202)).await;
    let by_address = to(&endpoint.url_by_address("/in"));
    assert_failed(&client_for(&endpoint).push(&by_address, SET).await, FailureClass::TlsUntrusted);
    assert!(endpoint.seen().is_empty());
}

/// RFC 8935 §5.3: a Receiver that only has TLS 1.1 either chooses it, or answers that there is no
/// version in common. Neither gets to see a SET.
#[tokio::test]
async fn a_receiver_that_only_has_older_versions_of_tls_gets_nothing() {
    // Records of a handshake (22) and of an alert (21): `ServerHello` in version 1.0 or 1.1, with
    // ECDHE-RSA-AES128-SHA, and `protocol_version`.
    let server_hello = |minor: u8| {
        let mut record = vec![22, 3, minor, 0, 42, 2, 0, 0, 38, 3, minor];
        record.extend([0x5a; 32]);
        record.extend([0, 0xc0, 0x13, 0]);
        record
    };
    for answer in [server_hello(1), server_hello(2), vec![21, 3, 2, 0, 2, 2, 70]] {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let receiver = tokio::spawn(async move {
            let (mut tcp, _) = listener.accept().await.unwrap();
            let mut hello = [0; 5];
            tcp.read_exact(&mut hello).await.unwrap();
            let length = usize::from(u16::from_be_bytes([hello[3], hello[4]]));
            tcp.read_exact(&mut vec![0; length]).await.unwrap();
            tcp.write_all(&answer).await.unwrap();
            let mut rest = Vec::new();
            tcp.read_to_end(&mut rest).await.ok();
            (hello, rest)
        });
        let client = client_with(&settings(None));
        let outcome = client.push(&to(&format!("https://localhost:{port}/in")), SET).await;
        assert_eq!(outcome.class(), FailureClass::TlsIncompatible.as_str(), "{outcome:?}");
        let (hello, rest) = receiver.await.unwrap();
        assert_eq!(hello[0], 22, "a handshake");
        // The client sends an alert at most, and nothing of the request.
        assert!(rest.is_empty() || (rest[0] == 21 && rest.len() == 7), "{rest:?}");
    }
}

/// PUSH-05.
#[tokio::test]
async fn a_refused_connection_is_a_connect_failure() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("https://{}/in", listener.local_addr().unwrap());
    drop(listener);
    let client = client_with(&settings(None));
    assert_failed(&client.push(&to(&url), SET).await, FailureClass::Connect);
    let nowhere = to("https://nowhere.invalid/in");
    assert_failed(&client.push(&nowhere, SET).await, FailureClass::Connect);
}

/// PUSH-05: silence before TLS, and silence after the request.
#[tokio::test]
async fn silence_is_a_timeout() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("https://{}/in", listener.local_addr().unwrap());
    let tls_timeout = Duration::from_millis(50);
    let client = client_with(&PushSettings { tls_timeout, ..settings(None) });
    assert_failed(&client.push(&to(&url), SET).await, FailureClass::Timeout);

    for protocols in [H1, H2] {
        let endpoint = Endpoint::start(protocols, |_| Reply::Never).await;
        let hasty = PushSettings {
            attempt_timeout: Duration::from_millis(300),
            ..settings(Some(endpoint.roots()))
        };
        let client = client_with(&hasty);
        let outcome = client.push(&to(&endpoint.url("/in")), SET).await;
        assert_failed(&outcome, FailureClass::Timeout);
    }
}

/// Otherwise every SET of the endpoint would be sent over the dead HTTP/2 connection.
#[tokio::test]
async fn a_connection_that_timed_out_is_not_used_again() {
    let endpoint = Endpoint::start(H2, |n| match n {
        1 => Reply::Never,
        _ => Reply::status(202),
    })
    .await;
    let hasty = PushSettings {
        attempt_timeout: Duration::from_millis(300),
        ..settings(Some(endpoint.roots()))
    };
    let client = client_with(&hasty);
    let target = to(&endpoint.url("/in"));
    assert_eq!(client.push(&target, SET).await.class(), "accepted");
    assert_failed(&client.push(&target, SET).await, FailureClass::Timeout);
    assert_eq!(client.push(&target, SET).await.class(), "accepted");
    let connections: Vec<_> = endpoint.seen().iter().map(|seen| seen.connection).collect();
    assert_eq!(connections, [0, 0, 1]);
}

/// Answers one connection with `head` and an endless body, over plain HTTP.
async fn endless(head: &'static str) -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}/in", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut tcp, _) = listener.accept().await.unwrap();
        let mut request = [0; 1024];
        assert_ne!(tcp.read(&mut request).await.unwrap(), 0);
        tcp.write_all(head.as_bytes()).await.unwrap();
        // This ends when the client closes the connection.
        while tcp.write_all(&[b' '; 4096]).await.is_ok() {}
    });
    url
}

#[tokio::test]
async fn an_endless_body_is_cut() {
    let client = client_with(&settings(None));
    let url = endless("HTTP/1.1 202 Accepted\r\ncontent-length: 1000000000000\r\n\r\n").await;
    assert_eq!(client.push(&to(&url), SET).await, Outcome::Accepted { status: 202 });
    let url = endless("HTTP/1.1 503 Busy\r\nretry-after: 9\r\n\r\n").await;
    let Outcome::Failed { class, retry_after, .. } = client.push(&to(&url), SET).await else {
        panic!("a 503 fails");
    };
    assert_eq!((class, retry_after), (FailureClass::Unavailable, Some(Duration::from_secs(9))));
}

#[tokio::test]
async fn an_endless_head_is_cut() {
    let client = client_with(&settings(None));
    let url = endless("HTTP/1.1 202 Accepted\r\nx: ").await;
    assert_failed(&client.push(&to(&url), SET).await, FailureClass::Connect);
}

/// PUSH-12.
#[tokio::test]
async fn loopback_is_refused_unless_allowed() {
    let endpoint = Endpoint::start(BOTH, |_| Reply::status(202)).await;
    let strict = PushSettings { allow_networks: Vec::new(), ..settings(Some(endpoint.roots())) };
    let client = client_with(&strict);
    for url in [endpoint.url("/in"), endpoint.url_by_address("/in"), "https://[::1]/".to_owned()] {
        assert_failed(&client.push(&to(&url), SET).await, FailureClass::AddressRefused);
    }
    assert_eq!(endpoint.accepted(), 0);
}

/// Pushes until a request went over a connection that had carried an earlier one.
async fn warm_up(client: &PushClient, endpoint: &Endpoint, target: &PushEndpoint) {
    // A connection returns to the pool when its task has run, which may be one push later.
    for _ in 0..100 {
        assert_eq!(client.push(target, SET).await.class(), "accepted");
        let seen = endpoint.seen();
        let (last, earlier) = seen.split_last().unwrap();
        if earlier.iter().any(|one| one.connection == last.connection) {
            return;
        }
    }
    panic!("no connection was used twice");
}

#[tokio::test]
async fn a_connection_is_used_again() {
    for protocols in [H1, H2] {
        let endpoint = Endpoint::start(protocols, |_| Reply::status(202)).await;
        let client = client_for(&endpoint);
        warm_up(&client, &endpoint, &to(&endpoint.url("/in"))).await;
        assert!(endpoint.accepted() < endpoint.seen().len());
    }
}

#[tokio::test]
async fn a_reused_connection_that_is_closed_meanwhile_costs_no_attempt() {
    for protocols in [H1, H2] {
        let endpoint = Endpoint::start(protocols, |_| Reply::status(202)).await;
        let (client, target) = (client_for(&endpoint), to(&endpoint.url("/in")));
        warm_up(&client, &endpoint, &target).await;
        endpoint.close_connections();
        assert_eq!(client.push(&target, SET).await.class(), "accepted");
    }
}

/// PUSH-07: the same bytes are sent again.
#[tokio::test]
async fn a_reused_connection_that_fails_under_a_request_is_replaced_once() {
    let endpoint = Endpoint::start(H1, |n| match n {
        0 | 3.. => Reply::status(202),
        _ => Reply::Nothing,
    })
    .await;
    let (client, target) = (client_for(&endpoint), to(&endpoint.url("/in")));
    assert_eq!(client.push(&target, SET).await.class(), "accepted");

    // The second request fails, and so does the third, which is its only repetition.
    assert_failed(&client.push(&target, SET).await, FailureClass::Connect);
    let seen = endpoint.seen();
    assert_eq!(seen.len(), 3);
    assert_eq!(seen[1].body, seen[2].body);
    assert_ne!(seen[1].connection, seen[2].connection);
}

#[tokio::test]
async fn a_new_connection_that_fails_is_not_replaced() {
    let endpoint = Endpoint::start(BOTH, |_| Reply::Nothing).await;
    let outcome = client_for(&endpoint).push(&to(&endpoint.url("/in")), SET).await;
    assert_failed(&outcome, FailureClass::Connect);
    assert_eq!(endpoint.seen().len(), 1);
}

#[tokio::test]
async fn roots_that_cannot_be_read_stop_the_start() {
    let missing = settings(Some("/nonexistent/roots.pem".into()));
    let error = PushClients::new(&missing).err().unwrap().to_string();
    assert!(error.contains("/nonexistent/roots.pem"), "{error}");
}

/// The connections that the requests of `endpoint` came over, in the order of arrival.
fn connections(endpoint: &Endpoint) -> Vec<usize> {
    endpoint.seen().iter().map(|seen| seen.connection).collect()
}

#[tokio::test]
async fn equal_identities_share_connections_and_different_ones_do_not() {
    let endpoint = Endpoint::start(H2, |_| Reply::status(202)).await;
    let clients = PushClients::new(&settings(None)).unwrap();
    let trusting = || PushIdentity {
        trusted_roots: TrustedRoots::read(&endpoint.roots()).unwrap(),
        ..on_loopback()
    };
    let explicit = PushIdentity { http_version: HttpVersion::Http2, ..trusting() };
    let target = to(&endpoint.url("/in"));
    for identity in [trusting(), trusting(), explicit] {
        assert_eq!(clients.get(&identity).push(&target, SET).await.class(), "accepted");
    }
    assert_eq!(connections(&endpoint), [0, 0, 1]);
    // The default identity does not trust what another one does.
    let outcome = clients.default_client().push(&target, SET).await;
    assert_failed(&outcome, FailureClass::TlsUntrusted);
}

#[tokio::test]
async fn an_identity_speaks_the_version_of_http_that_it_names() {
    let endpoint = Endpoint::start(BOTH, |_| Reply::status(202)).await;
    let clients = PushClients::new(&settings(Some(endpoint.roots()))).unwrap();
    let trusted_roots = TrustedRoots::read(&endpoint.roots()).unwrap();
    for (http_version, version) in [
        (HttpVersion::Negotiated, Version::HTTP_2),
        (HttpVersion::Http1, Version::HTTP_11),
        (HttpVersion::Http2, Version::HTTP_2),
    ] {
        let trusted_roots = trusted_roots.clone();
        let identity = PushIdentity { trusted_roots, http_version, ..on_loopback() };
        let outcome = clients.get(&identity).push(&to(&endpoint.url("/in")), SET).await;
        assert_eq!(outcome.class(), "accepted");
        assert_eq!(endpoint.seen().last().unwrap().version, version);
    }
    let h1 = Endpoint::start(H1, |_| Reply::status(202)).await;
    let identity = PushIdentity {
        trusted_roots: TrustedRoots::read(&h1.roots()).unwrap(),
        http_version: HttpVersion::Http2,
        ..on_loopback()
    };
    let outcome = clients.get(&identity).push(&to(&h1.url("/in")), SET).await;
    assert_failed(&outcome, FailureClass::TlsIncompatible);
}

/// A client certificate that signs itself, and its key, in PEM.
fn client_certificate() -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["tx.example".to_owned()]).unwrap();
    (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

/// RFC 8935 §3.
#[tokio::test]
async fn an_identity_presents_its_client_certificate_and_others_do_not() {
    let (certificate, key) = client_certificate();
    let mut trusted_clients = RootCertStore::empty();
    trusted_clients.add(CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()).unwrap();
    let made = make_certificate(&["localhost"]).unwrap();
    let chain = CertificateDer::pem_slice_iter(made.certificate_pem.as_bytes());
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(
        Arc::new(trusted_clients),
        Arc::clone(&provider),
    );
    let tls = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier.build().unwrap())
        .with_single_cert(
            chain.collect::<Result<_, _>>().unwrap(),
            PrivateKeyDer::from_pem_slice(made.key_pem.as_bytes()).unwrap(),
        )
        .unwrap();
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let target = format!("https://localhost:{}/in", listener.local_addr().unwrap().port());
    let acceptor = TlsAcceptor::from(Arc::new(tls));
    tokio::spawn(async move {
        loop {
            let (tcp, _) = listener.accept().await.unwrap();
            let Ok(mut session) = acceptor.accept(tcp).await else { continue };
            let mut request = [0; 1024];
            let answer = b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
            if session.read(&mut request).await.is_ok_and(|read| read != 0) {
                session.write_all(answer).await.ok();
            }
        }
    });
    let folder = tempfile::tempdir().unwrap();
    let roots = folder.path().join("roots.pem");
    fs::write(&roots, made.authority_pem).unwrap();
    let clients = PushClients::new(&settings(Some(roots.clone()))).unwrap();
    let trusted_roots = TrustedRoots::read(&roots).unwrap();
    let presenting = |(certificate, key): (String, String)| PushIdentity {
        trusted_roots: trusted_roots.clone(),
        client_certificate: Some(
            ClientCertificate::from_pem(certificate.as_bytes(), key.as_bytes()).unwrap(),
        ),
        ..on_loopback()
    };

    let outcome = clients.get(&presenting((certificate, key))).push(&to(&target), SET).await;
    assert_eq!(outcome, Outcome::Accepted { status: 202 });
    for client in [clients.default_client(), &clients.get(&presenting(client_certificate()))] {
        let outcome = client.push(&to(&target), SET).await;
        assert_ne!(outcome.class(), "accepted", "{outcome:?}");
    }
}
