//! Strangers who try to exhaust the daemon through its public listener. The daemon is a process of its own,
//! whose memory and descriptors are measured.

mod answers;
mod bodies;
mod descriptors;
mod requests;

use std::{
    fs,
    io::{ErrorKind, Write as _},
    net::TcpStream,
    time::Duration,
};

use tokio::net::TcpSocket;

use crate::command_line::{Daemon, Workplace, ask};

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

/// Makes a token of a Receiver.
fn token(place: &Workplace, receiver: &str) -> String {
    let args = ["tokens", "create", "receiver", "--receiver", receiver, "--audience", "a"];
    place.succeeds(&args).trim().to_owned()
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
