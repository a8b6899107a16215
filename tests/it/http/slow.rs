//! Slow clients.

use std::time::Duration;

use serde_json::json;
use ssfd::config::Config;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::harness::{
    daemon::{Daemon, PROVIDER},
    within,
};

const SOON: Duration = Duration::from_millis(50);

/// Sets short timeouts, but a time for heads that the requests of these tests keep.
fn quick(config: &mut Config) {
    for connections in [&mut config.public.connections, &mut config.internal.connections] {
        connections.head_timeout = Duration::from_secs(2);
        connections.body_timeout = SOON;
        connections.idle_timeout = SOON;
    }
}

async fn connect(url: &str) -> TcpStream {
    let url = url::Url::parse(url).expect("an URL");
    let address = (url.host_str().expect("a host"), url.port().expect("a port"));
    TcpStream::connect(address).await.expect("it listens")
}

/// Reads until the daemon closes the connection, which this end keeps open.
async fn answered_and_closed(connection: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let read = within("it is closed", connection.read_to_end(&mut answer)).await;
    read.expect("closed in good order");
    String::from_utf8(answer).expect("text")
}

/// Reads the next answer of a connection that stays open.
async fn answered(connection: &mut TcpStream) -> String {
    let mut answer = vec![0; 4096];
    let read = within("it is answered", connection.read(&mut answer)).await.expect("an answer");
    answer.truncate(read);
    String::from_utf8(answer).expect("text")
}

#[actix_web::test]
async fn a_head_that_does_not_arrive_is_answered_408() {
    let daemon = Daemon::with(|config| {
        config.public.connections.head_timeout = SOON;
        config.internal.connections.head_timeout = SOON;
    })
    .await;
    for url in [daemon.public_url("/"), daemon.internal_url("/")] {
        for begun in ["GET / HT", "GET / HTTP/1.1\r\nhost: localhost\r\nx-slow: "] {
            let mut connection = connect(&url).await;
            connection.write_all(begun.as_bytes()).await.expect("it reads");
            let answer = answered_and_closed(&mut connection).await;
            assert!(answer.starts_with("HTTP/1.1 408 "), "{begun}: {answer}");
        }
    }
}

/// The request has a credential, because without one the daemon does not wait for the body.
#[actix_web::test]
async fn a_body_that_does_not_arrive_is_answered_408() {
    let daemon = Daemon::with(quick).await;
    let receiver = daemon.client("rx").await.token;
    let publisher = daemon.publisher_token().await;
    for (url, token) in [
        (daemon.provider_url(PROVIDER, "/ssf/streams"), receiver),
        (daemon.internal_url("/events"), publisher),
    ] {
        let path = url::Url::parse(&url).expect("an URL").path().to_owned();
        for (head, begun) in [
            ("content-length: 100", "{\"description\": "),
            ("transfer-encoding: chunked", "2\r\n{}\r\n"),
        ] {
            let mut connection = connect(&url).await;
            let request = format!(
                "POST {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\n\
                 {head}\r\n\r\n{begun}"
            );
            connection.write_all(request.as_bytes()).await.expect("it reads");
            let answer = answered_and_closed(&mut connection).await;
            assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
            assert!(answer.contains("application/problem+json"), "{answer}");
            assert!(answer.contains("the body did not arrive within 50ms"), "{answer}");
        }
    }
    // The request had no effect.
    assert_eq!(daemon.client("rx").await.list().await, json!([]));
}

/// The daemon does not read the body of a request that it refuses by the head.
#[actix_web::test]
async fn a_refused_request_does_not_hold_its_connection() {
    let daemon = Daemon::with(quick).await;
    for head in ["content-length: 100", "transfer-encoding: chunked"] {
        let mut connection = connect(&daemon.public_url("/")).await;
        let request =
            format!("POST /t/acme/ssf/streams HTTP/1.1\r\nhost: localhost\r\n{head}\r\n\r\n2\r\n");
        connection.write_all(request.as_bytes()).await.expect("it reads");
        let answer = answered_and_closed(&mut connection).await;
        assert!(answer.starts_with("HTTP/1.1 401 "), "{head}: {answer}");
    }
}

/// A first request does not keep the connection open for good.
#[actix_web::test]
async fn a_later_head_that_does_not_arrive_closes_the_connection() {
    let daemon = Daemon::with(quick).await;
    let mut connection = connect(&daemon.public_url("/")).await;
    let request = "GET /t/acme/jwks.json HTTP/1.1\r\nhost: localhost\r\n\r\nGET /t/ac";
    connection.write_all(request.as_bytes()).await.expect("it reads");
    let answer = answered_and_closed(&mut connection).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

/// Only its own deadlines bound a request under way.
#[actix_web::test]
async fn a_long_poll_may_last_longer_than_an_idle_connection() {
    let daemon = Daemon::with(|config| {
        quick(config);
        config.poll.wait = Duration::from_secs(5);
    })
    .await;
    let client = daemon.client("rx").await;
    let id = client.new_stream().await;
    let polled = client.send("POST", &format!("/ssf/poll/{id}"), &json!({})).await.expect(200);
    assert_eq!(polled.json(), json!({"sets": {}}));
}

#[actix_web::test]
async fn a_connection_without_a_request_is_closed() {
    let daemon = Daemon::with(quick).await;
    let mut connection = connect(&daemon.internal_url("/")).await;
    let request = "GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n";
    connection.write_all(request.as_bytes()).await.expect("it reads");
    let answer = answered_and_closed(&mut connection).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

#[actix_web::test]
async fn a_connection_beyond_the_bound_waits_until_another_is_closed() {
    let daemon = Daemon::with(|config| config.internal.connections.max = 1).await;
    let url = daemon.internal_url("/");
    let request = "GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n".as_bytes();
    let mut first = connect(&url).await;
    first.write_all(request).await.expect("it reads");
    assert!(answered(&mut first).await.starts_with("HTTP/1.1 200 "));
    let mut second = connect(&url).await;
    second.write_all(request).await.expect("the system takes it");
    // The one thread of this listener has handled other requests since.
    for _ in 0..20 {
        first.write_all(request).await.expect("it reads");
        assert!(answered(&mut first).await.starts_with("HTTP/1.1 200 "));
    }
    let mut early = [0; 1];
    let waits = tokio::select! {
        biased;
        _ = second.read(&mut early) => false,
        () = tokio::task::yield_now() => true,
    };
    assert!(waits, "it was answered");
    drop(first);
    assert!(answered(&mut second).await.contains("HTTP/1.1 200 "));
}
