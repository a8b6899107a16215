//! Bodies that wait, and bodies that do not end.

use std::io::{Read as _, Write as _};

use serde_json::json;

use super::*;
use crate::harness::eventually;

/// The parsed form of a body may be many times as large as its text. While changes wait for the store, here
/// for another process that writes to its file, the daemon keeps only the members that they need.
#[actix_web::test]
async fn bodies_of_changes_that_wait_take_bounded_memory() {
    const CHANGES: usize = 64;
    const KINDS: usize = 8;
    /// The memory for what was read last and for all that waits. The bodies of one kind of change alone would
    /// take 70 MiB more.
    const WAITING_KIB_MAX: u64 = 80 << 10;

    let place = Workplace::new();
    place.configure(
        "store.sqlite.busy_timeout = \"10m\"\npublic.workers = 1\n\
         [providers.default]\nstreams_per_receiver_max = 100\n",
    );
    place.create_store();
    let token = token(&place, "rx");
    let (daemon, public, _) = warmed_up(&place);
    let stream = || {
        let (status, created) = ask(&public, "POST /ssf/streams", Some(&token), "{}");
        assert_eq!(status, 201, "{created}");
        let created: serde_json::Value = serde_json::from_str(&created).expect("JSON");
        created["stream_id"].as_str().expect("text").to_owned()
    };
    let subject = json!({"format": "email", "email": "kim@example.com"});
    let changes: Vec<_> = (0..CHANGES)
        .map(|n| {
            let id = stream();
            match n % KINDS {
                0 => ("POST /ssf/streams", json!({"description": "new"})),
                1 => ("PATCH /ssf/streams", json!({"stream_id": id, "description": "a"})),
                2 => ("PUT /ssf/streams", json!({"stream_id": id, "description": "b"})),
                3 => ("POST /ssf/status", json!({"stream_id": id, "status": "paused"})),
                4 => ("POST /ssf/status", json!({"stream_id": id, "status": "disabled"})),
                5 => ("POST /ssf/verify", json!({"stream_id": id, "state": "s"})),
                6 => ("POST /ssf/subjects/add", json!({"stream_id": id, "subject": subject})),
                _ => ("POST /ssf/subjects/remove", json!({"stream_id": id, "subject": subject})),
            }
        })
        .collect();
    let before = memory(&daemon);

    let other = rusqlite::Connection::open(place.path("ssfd.db")).expect("the store's file");
    other.execute_batch("BEGIN IMMEDIATE").expect("nobody else writes");
    // Half of the bodies have as many values as they may, and the others have one long value.
    let many = format!("[{}0]", format!(r#"{{"a":"{}"}},"#, "y".repeat(30)).repeat(24_000));
    let long = format!(r#""{}""#, "y".repeat(1_000_000));
    let mut waiting = Vec::new();
    for (n, (request, members)) in changes.iter().enumerate() {
        let unknown = if (n / KINDS).is_multiple_of(2) { &many } else { &long };
        let body = members.to_string().replacen('{', &format!(r#"{{"unknown":{unknown},"#), 1);
        let mut connection = TcpStream::connect(&public).expect("it listens");
        write!(
            connection,
            "{request} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
             authorization: Bearer {token}\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
        .expect("it reads");
        waiting.push((request, connection));
        eventually("the daemon has read the body", async || bytes_on_the_way(&public) == 0).await;
    }
    // The listener has one thread, which has parsed them all when it answers this.
    assert_eq!(ask(&public, "GET /jwks.json", None, "").0, 200);
    for (request, connection) in &waiting {
        connection.set_nonblocking(true).expect("a socket");
        let answered = connection.peek(&mut [0]).map_err(|error| error.kind());
        assert_eq!(answered, Err(ErrorKind::WouldBlock), "{request} waits");
        connection.set_nonblocking(false).expect("a socket");
    }
    let grown = memory(&daemon).saturating_sub(before);
    assert!(grown <= WAITING_KIB_MAX, "{grown} KiB");

    other.execute_batch("ROLLBACK").expect("the transaction is open");
    for (request, mut connection) in waiting {
        let mut answer = String::new();
        connection.read_to_string(&mut answer).expect("it is answered");
        assert!(answer.starts_with("HTTP/1.1 2"), "{request}: {answer}");
    }
}

/// A Receiver that begins bodies on many connections, and ends none of them.
#[actix_web::test]
async fn bodies_that_do_not_end_take_bounded_memory() {
    const BYTES: usize = 1_000_000;
    let place = Workplace::new();
    place.configure(&format!("public.unread_bytes_max = {}\n", 8 * BYTES));
    place.create_store();
    let (bad, good) = (token(&place, "bad"), token(&place, "good"));
    let (daemon, public, _) = warmed_up(&place);
    let list = |token: &str| ask(&public, "GET /ssf/streams", Some(token), "").0;
    let (memory_before, descriptors_before) = (memory(&daemon), descriptors(&daemon));

    let begun = format!(
        "POST /ssf/streams HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {bad}\r\n\
         content-length: {BYTES}\r\n\r\n{{\"description\":\"{}",
        "x".repeat(BYTES * 9 / 10)
    );
    let mut connections = Vec::new();
    for _ in 0..100 {
        connections.push(send_and_read_nothing(&public, begun.as_bytes()).await);
    }
    let is_refused = |connection: &TcpStream| {
        let mut head = [0; 12];
        connection.set_nonblocking(true).expect("a socket");
        connection.peek(&mut head).is_ok() && head == *b"HTTP/1.1 429"
    };
    let refused = || connections.iter().filter(|connection| is_refused(connection)).count();
    eventually("most bodies are refused", async || 90 <= refused()).await;
    assert_eq!(list(&good), 200);
    let grown = memory(&daemon).saturating_sub(memory_before);
    assert!(grown <= KIB_MAX, "{grown} KiB");

    drop(connections);
    assert_eq!(list(&bad), 200);
    let free = descriptors_before + FILES_MAX;
    eventually("the descriptors are free", async || descriptors(&daemon) <= free).await;
}
