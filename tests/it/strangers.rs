//! Strangers who try to exhaust the daemon through its public listener. The daemon is a process of its own,
//! whose memory and descriptors are measured.

use std::{
    fs,
    io::{ErrorKind, Read as _, Write as _},
    net::TcpStream,
    process::Command,
    time::Duration,
};

use serde_json::json;
use tokio::net::TcpSocket;

use crate::{
    command_line::{Daemon, Workplace, ask},
    harness::eventually,
};

/// The message for a bound that cannot hold.
const LOWERED: &str =
    "a bound is lowered to fit the limit of open files; raise it with LimitNOFILE or ulimit -n";

/// The most memory that the answers may take.
const KIB_MAX: u64 = 64 << 10;

/// Descriptors of files that the store may open after the first count.
const FILES_MAX: usize = 16;

/// Returns the memory that the daemon has allocated, in KiB. The pages of its program are not counted.
fn memory(daemon: &Daemon) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", daemon.id())).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).expect("a field");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

fn descriptors(daemon: &Daemon) -> usize {
    fs::read_dir(format!("/proc/{}/fd", daemon.id())).expect("it runs").count()
}

/// Connects with the smallest receive buffer, so that the system keeps as little as possible of the answers.
async fn connect_narrowly(address: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(1).expect("a size");
    let connection =
        socket.connect(address.parse().expect("an address")).await.expect("it listens");
    let connection = connection.into_std().expect("a socket");
    connection.set_nonblocking(false).expect("a socket");
    connection
}

/// Connects and sends as much of the requests as the daemon reads, without ever reading an answer.
async fn send_and_read_nothing(address: &str, requests: &[u8]) -> TcpStream {
    let mut connection = connect_narrowly(address).await;
    connection.set_write_timeout(Some(Duration::from_secs(1))).expect("not zero");
    match connection.write_all(requests) {
        Ok(()) => {}
        // The daemon reads no more, or has closed the connection.
        Err(error) if error.kind() == ErrorKind::WouldBlock => {}
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
        Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
        Err(error) => panic!("{error}"),
    }
    connection
}

/// Returns a daemon that has served each kind of request once, with its addresses.
fn warmed_up(place: &Workplace) -> (Daemon, String, String) {
    let mut daemon = place.serve();
    let (public, internal) = daemon.addresses();
    for path in ["/ssf/openapi.json", "/.well-known/ssf-configuration", "/jwks.json"] {
        assert_eq!(ask(&public, &format!("GET {path}"), None, "").0, 200);
    }
    (daemon, public, internal)
}

#[actix_web::test]
async fn answers_that_nobody_reads_take_bounded_memory() {
    const DOCUMENT: &str = "GET /ssf/openapi.json HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let place = Workplace::new();
    let (daemon, public, internal) = warmed_up(&place);
    let (memory_before, descriptors_before) = (memory(&daemon), descriptors(&daemon));

    // Many requests on one connection, and one request on each of many.
    let many = DOCUMENT.repeat(30_000);
    let mut connections = vec![send_and_read_nothing(&public, many.as_bytes()).await];
    for _ in 0..400 {
        connections.push(send_and_read_nothing(&public, DOCUMENT.repeat(4).as_bytes()).await);
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
    let token = |receiver: &str| {
        let args = ["tokens", "create", "receiver", "--receiver", receiver, "--audience", "a"];
        place.succeeds(&args).trim().to_owned()
    };
    let (bad, good) = (token("bad"), token("good"));
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

/// Returns how many bytes were sent to a listener and are still in the buffers of the system.
fn bytes_on_the_way(address: &str) -> u64 {
    let (_, port) = address.rsplit_once(':').expect("a port");
    let port: u16 = port.parse().expect("a number");
    let number = |digits| u64::from_str_radix(digits, 16).expect("a number");
    let sockets = fs::read_to_string("/proc/net/tcp").expect("Linux");
    let queued = sockets.lines().skip(1).map(|line| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let is_at = |end: &str| end.ends_with(&format!(":{port:04X}"));
        let (sent, received) = fields[4].split_once(':').expect("two queues");
        match (is_at(fields[1]), is_at(fields[2])) {
            (true, _) => number(received),
            (_, true) => number(sent),
            _ => 0,
        }
    });
    queued.sum()
}

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
    let args = ["tokens", "create", "receiver", "--receiver", "rx", "--audience", "a"];
    let token = place.succeeds(&args).trim().to_owned();
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
        let unknown = if n / KINDS % 2 == 0 { &many } else { &long };
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
    }
    eventually("the daemon has read all bodies", async || bytes_on_the_way(&public) == 0).await;
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

/// Returns the command that serves within a limit of open files, as `ulimit` sets it.
fn serve_within(place: &Workplace, limit: &str) -> Command {
    let ssfd = place.ssfd(&["serve"]);
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", &format!("ulimit {limit}; exec \"$0\" serve")]).arg(ssfd.get_program());
    shell.current_dir(place.path("")).env_clear();
    shell.envs(ssfd.get_envs().filter_map(|(name, value)| Some((name, value?))));
    shell
}

#[test]
fn the_soft_limit_of_open_files_is_raised_to_the_hard_one() {
    let place = Workplace::new();
    let mut daemon = Daemon::start(serve_within(&place, "-S -n 200"));
    daemon.addresses();
    let limits = fs::read_to_string(format!("/proc/{}/limits", daemon.id())).expect("it runs");
    let files = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    let files: Vec<_> = files.expect("a limit").split_whitespace().collect();
    assert_eq!(files[0], files[1], "{limits}");
}

#[test]
fn a_limit_of_open_files_that_is_too_low_to_serve_is_refused() {
    let place = Workplace::new();
    let output = serve_within(&place, "-n 100").output().expect("a shell");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{error}");
    assert!(
        error.contains("the limit of open files is 100") && error.contains("ulimit"),
        "{error}"
    );
}

#[actix_web::test]
async fn strangers_leave_descriptors_to_operators_publishers_and_the_store() {
    let place = Workplace::new();
    place.configure("public.workers = 1\nprocess.actor_threads = 1\nsigner.threads = 1\n");
    place.create_store();
    let publisher = place.prints_json(&["tokens", "create", "publisher", "--json"]);
    let publisher = publisher["token"].as_str().expect("text").to_owned();
    let mut daemon = Daemon::start(serve_within(&place, "-n 400"));
    for key in ["public.connections.max", "internal.connections.max", "push.connections_max"] {
        let line = daemon.logs(LOWERED);
        assert_eq!((&line["key"], &line["limit"]), (&json!(key), &json!(400)), "{line}");
    }
    let (public, internal) = daemon.addresses();
    let event = json!({"type": "caep:session-revoked", "sub_id": {"format": "opaque", "id": "s"}});
    let publishes = || {
        assert_eq!(ask(&internal, "GET /readyz", None, "").0, 200);
        let answer = ask(&internal, "POST /events", Some(&publisher), &event.to_string());
        assert_eq!(answer.0, 202, "{}", answer.1);
    };
    publishes();
    let before = descriptors(&daemon);
    let strangers: Vec<_> =
        (0..300).map(|_| TcpStream::connect(&public).expect("the system takes it")).collect();
    eventually("strangers have all that they may", async || before + 100 < descriptors(&daemon))
        .await;
    for _ in 0..3 {
        publishes();
    }
    assert!(descriptors(&daemon) < before + 200, "{} after {before}", descriptors(&daemon));
    drop(strangers);
    let free = before + FILES_MAX;
    eventually("the descriptors are free", async || descriptors(&daemon) <= free).await;
}
