//! Requests that wait behind others of their connection, and requests in another version of HTTP.

use std::{
    fs,
    io::{Read as _, Write as _},
};

use super::*;
use crate::harness::eventually;

/// How much of a connection the daemon reads at most, beyond what its request uses.
const AHEAD_BYTES_MAX: u64 = 96 << 10;

/// Whether no thread of the daemon has anything to do.
fn sleeps(daemon: &Daemon) -> bool {
    let threads = fs::read_dir(format!("/proc/{}/task", daemon.id())).expect("it runs");
    let mut states = threads.filter_map(|thread| {
        // A thread may have ended meanwhile.
        let stat = fs::read_to_string(thread.ok()?.path().join("stat")).ok()?;
        stat.rsplit_once(')').map(|(_, rest)| rest.trim_start().starts_with('S'))
    });
    states.all(|sleeps| sleeps)
}

/// Sends as much as the daemon takes. Returns the connection, and how much that was.
async fn send_all(address: &str, bytes: &[u8]) -> (TcpStream, u64) {
    let mut connection = connect_narrowly(address).await;
    connection.set_write_timeout(Some(Duration::from_secs(1))).expect("not zero");
    let mut sent = 0;
    while let Ok(some) = connection.write(&bytes[sent..])
        && some != 0
    {
        sent += some;
    }
    (connection, u64::try_from(sent).expect("few"))
}

/// One connection is enough for each.
#[actix_web::test]
async fn requests_that_wait_take_no_memory_and_keep_no_thread_busy() {
    let place = Workplace::new();
    place.configure("poll.wait = \"2s\"\n");
    place.create_store();
    let token = token(&place, "rx");
    let (daemon, public, _) = warmed_up(&place);
    let (status, created) = ask(&public, "POST /ssf/streams", Some(&token), "{}");
    assert_eq!(status, 201, "{created}");
    let created: serde_json::Value = serde_json::from_str(&created).expect("JSON");
    let stream = created["stream_id"].as_str().expect("text");
    let before = descriptors(&daemon);

    let document = "GET /ssf/openapi.json HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let poll = format!(
        "POST /ssf/poll/{stream} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\n\
         content-length: 2\r\n\r\n{{}}"
    );
    for (what, first) in [("answers that are not read", document), ("a long poll", &poll)] {
        for behind in [document, "GET / HTTP/1.1\r\n\r\n", "x"] {
            let requests = [first, &document.repeat(200), &behind.repeat(100_000)].concat();
            let (connection, sent) = send_all(&public, requests.as_bytes()).await;
            let case = format!("{behind:?} behind {what}");
            eventually(&case, async || sleeps(&daemon)).await;
            let read = sent.saturating_sub(bytes_on_the_way(&public));
            assert!(read <= AHEAD_BYTES_MAX, "{case}: {read} of {sent} bytes are read");
            assert_eq!(ask(&public, "GET /jwks.json", None, "").0, 200);
            drop(connection);
            eventually("the connection is closed", async || bytes_on_the_way(&public) == 0).await;
        }
    }
    let free = before + FILES_MAX;
    eventually("the descriptors are free", async || descriptors(&daemon) <= free).await;
}

/// A proxy or a Receiver that speaks HTTP/2 agrees on HTTP/1.1 in the TLS handshake. One that does not ask
/// is answered in HTTP/1.1 and costs nothing.
#[actix_web::test]
async fn http_2_without_an_agreement_is_refused() {
    let place = Workplace::new();
    let (daemon, public, _) = warmed_up(&place);
    let before = descriptors(&daemon);
    let mut connection = TcpStream::connect(&public).expect("it listens");
    let settings = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    connection.write_all(settings).expect("it reads");
    let mut answer = Vec::new();
    connection.read_to_end(&mut answer).expect("it is closed");
    assert!(answer.starts_with(b"HTTP/1.1 4"), "{}", String::from_utf8_lossy(&answer));
    drop(connection);
    let free = before + FILES_MAX;
    eventually("the descriptors are free", async || descriptors(&daemon) <= free).await;
}
