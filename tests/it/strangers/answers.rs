//! Answers that nobody reads.

use std::fs;

use serde_json::json;

use super::*;
use crate::harness::eventually;

#[actix_web::test]
async fn answers_that_nobody_reads_take_bounded_memory() {
    const DOCUMENT: &str = "GET /ssf/openapi.json HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let place = Workplace::new();
    place.configure("public.rates.address_per_second_max = 0\n");
    let (daemon, public, internal) = warmed_up(&place);
    let (memory_before, descriptors_before) = (memory(&daemon), descriptors(&daemon));

    // Very many requests on one connection, and many on each of many.
    let (many, some) = (DOCUMENT.repeat(30_000), DOCUMENT.repeat(1000));
    let mut connections = vec![send_and_read_nothing(&public, many.as_bytes()).await];
    for _ in 0..400 {
        connections.push(send_and_read_nothing(&public, some.as_bytes()).await);
    }
    eventually("the daemon has them all", async || {
        descriptors_before + connections.len() <= descriptors(&daemon)
    })
    .await;
    assert_eq!(ask(&public, "GET /jwks.json", None, "").0, 200);
    assert_eq!(ask(&internal, "GET /readyz", None, "").0, 200);
    let grown = memory(&daemon).saturating_sub(memory_before);
    assert!(grown <= KIB_MAX, "{grown} KiB");

    drop(connections);
    let free = descriptors_before + FILES_MAX;
    eventually("the descriptors are free", async || descriptors(&daemon) <= free).await;
}

/// Returns the most that Linux keeps of what a process has sent and the other end has not taken.
fn send_buffer_bytes_max() -> usize {
    let sizes = fs::read_to_string("/proc/sys/net/ipv4/tcp_wmem").expect("Linux");
    let largest = sizes.split_whitespace().last().expect("three sizes");
    largest.parse().expect("a number")
}

/// A Receiver with a good credential, whose answers are large and not read.
#[actix_web::test]
async fn answers_that_a_receiver_does_not_read_take_bounded_memory() {
    const UNREAD_MAX: usize = 8 << 20;
    let place = Workplace::new();
    place.configure(&format!("public.unread_bytes_max = {UNREAD_MAX}\npublic.workers = 1\n"));
    place.create_store();
    let (bad, good) = (token(&place, "bad"), token(&place, "good"));
    let (daemon, public, _) = warmed_up(&place);
    let requested: Vec<_> = (0..256).map(|n| format!("urn:x:{n}:{}", "y".repeat(490))).collect();
    let body = json!({"events_requested": requested}).to_string();
    for _ in 0..20 {
        assert_eq!(ask(&public, "POST /ssf/streams", Some(&bad), &body).0, 201);
    }
    let list = |token: &str| ask(&public, "GET /ssf/streams", Some(token), "");
    let (_, answer) = list(&bad);
    assert!(UNREAD_MAX / 4 < answer.len() && answer.len() < UNREAD_MAX, "{}", answer.len());
    // The system takes the first answers of a connection, and the daemon has to keep a later one.
    let pipelined = 2 + send_buffer_bytes_max() / answer.len();
    let (memory_before, descriptors_before) = (memory(&daemon), descriptors(&daemon));

    let request = format!(
        "GET /ssf/streams HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {bad}\r\n\r\n"
    );
    let requests = request.repeat(pipelined);
    let mut connections = Vec::new();
    for _ in 0..100 {
        connections.push(send_and_read_nothing(&public, requests.as_bytes()).await);
    }
    eventually("the Receiver is refused", async || list(&bad).0 == 429).await;
    assert_eq!(list(&good).0, 200);
    let grown = memory(&daemon).saturating_sub(memory_before);
    assert!(grown <= KIB_MAX, "{grown} KiB");

    drop(connections);
    eventually("the Receiver is answered again", async || list(&bad).0 == 200).await;
    let free = descriptors_before + FILES_MAX;
    eventually("the descriptors are free", async || descriptors(&daemon) <= free).await;
}
