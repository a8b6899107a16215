//! `ssfd serve` as a process: how it says that it is up, and how it ends.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    os::unix::net::UnixDatagram,
};

use super::{DEADLINE, Daemon, Workplace};

/// The status of `GET path`.
fn get(address: &str, path: &str) -> u16 {
    let mut connection = TcpStream::connect(address).expect("the listener is up");
    connection.set_read_timeout(Some(DEADLINE)).expect("not zero");
    write!(connection, "GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n")
        .expect("it reads");
    let mut response = String::new();
    connection.read_to_string(&mut response).expect("it answers");
    let status = response.split(' ').nth(1).and_then(|status| status.parse().ok());
    status.unwrap_or_else(|| panic!("no response: {response}"))
}

#[track_caller]
fn ends_well(daemon: Daemon) {
    let (code, lines) = daemon.ends();
    assert_eq!(code, Some(0), "{lines:#?}");
    let messages: Vec<_> = lines.iter().filter_map(|line| line["message"].as_str()).collect();
    assert_eq!(messages.last_chunk(), Some(&["stopping", "stopped"]), "{lines:#?}");
}

#[test]
fn sigterm_ends_it_well() {
    let place = Workplace::new();
    let mut daemon = place.serve();
    let (public, internal) = daemon.addresses();
    assert_eq!(get(&internal, "/readyz"), 200);
    assert_eq!(get(&public, "/.well-known/ssf-configuration"), 200);
    daemon.signal("TERM");
    ends_well(daemon);
}

#[test]
fn sigint_ends_it_well() {
    let place = Workplace::new();
    let mut daemon = place.serve();
    daemon.addresses();
    daemon.signal("INT");
    ends_well(daemon);
}

#[test]
fn sighup_does_not_end_it() {
    let place = Workplace::new();
    let mut daemon = place.serve();
    let (_, internal) = daemon.addresses();
    daemon.signal("HUP");
    daemon.logs("SIGHUP: nothing is reloaded; restart instead");
    assert_eq!(get(&internal, "/readyz"), 200);
    daemon.signal("TERM");
    ends_well(daemon);
}

#[test]
fn the_service_manager_hears_of_the_start_and_the_stop() {
    let place = Workplace::new();
    let socket = UnixDatagram::bind(place.path("notify")).expect("a socket");
    socket.set_read_timeout(Some(DEADLINE)).expect("not zero");
    let heard = || {
        let mut buffer = [0; 256];
        let length = socket.recv(&mut buffer).expect("a notification");
        String::from_utf8_lossy(&buffer[..length]).trim().to_owned()
    };
    let mut serve = place.ssfd(&["serve"]);
    serve.env("NOTIFY_SOCKET", place.path("notify"));
    let mut daemon = Daemon::start(serve);
    assert_eq!(heard(), "READY=1");
    let (public, internal) = daemon.addresses();
    assert_eq!(get(&internal, "/healthz"), 200);
    assert_eq!(get(&public, "/.well-known/ssf-configuration"), 200);
    daemon.signal("TERM");
    assert_eq!(heard(), "STOPPING=1");
    ends_well(daemon);
}

#[test]
fn it_serves_what_is_configured() {
    let place = Workplace::new();
    place.configure("providers.default.issuer = \"https://tx.example/t/acme\"\n");
    let mut daemon = place.serve();
    let (public, internal) = daemon.addresses();
    assert_eq!(get(&public, "/.well-known/ssf-configuration/t/acme"), 200);
    assert_eq!(get(&public, "/.well-known/ssf-configuration"), 404);
    // Two listeners, each with its own.
    assert_eq!(get(&public, "/readyz"), 404);
    assert_eq!(get(&internal, "/.well-known/ssf-configuration/t/acme"), 404);
}
