//! `ssfd serve` as a process: how it reports that it is ready, and how it ends.

use std::os::unix::net::UnixDatagram;

use super::{Daemon, Workplace, ask};
use crate::harness::DEADLINE;

fn get(address: &str, path: &str) -> u16 {
    ask(address, &format!("GET {path}"), None, "").0
}

#[track_caller]
fn ends_in_order(daemon: Daemon) {
    let (code, lines) = daemon.ends();
    assert_eq!(code, Some(0), "{lines:#?}");
    let messages: Vec<_> = lines.iter().filter_map(|line| line["message"].as_str()).collect();
    assert_eq!(messages.last_chunk(), Some(&["stopping", "stopped"]), "{lines:#?}");
}

#[test]
fn sigterm_ends_the_daemon_in_order() {
    let place = Workplace::new();
    let mut daemon = place.serve();
    let (public, internal) = daemon.addresses();
    assert_eq!(get(&internal, "/readyz"), 200);
    assert_eq!(get(&public, "/.well-known/ssf-configuration"), 200);
    daemon.signal("TERM");
    ends_in_order(daemon);
}

/// P8 of the design: no caller meets a closed port. A second signal ends the wait.
#[test]
fn sigterm_takes_readiness_away_while_everything_is_served() {
    let place = Workplace::new();
    let mut serve = place.ssfd(&["serve"]);
    serve.env("SSFD_PROCESS__LAME_DUCK", "1h");
    let mut daemon = Daemon::start(serve);
    let (public, internal) = daemon.addresses();
    daemon.signal("TERM");
    daemon.logs("stopping");
    let (status, body) = ask(&internal, "GET /readyz", None, "");
    assert_eq!((status, body.contains("stopping")), (503, true), "{body}");
    for _ in 0..3 {
        assert_eq!(get(&public, "/.well-known/ssf-configuration"), 200);
        assert_eq!(get(&internal, "/healthz"), 200);
    }
    assert_eq!(ask(&public, "POST /ssf/streams", None, "{}").0, 401);
    daemon.signal("TERM");
    ends_in_order(daemon);
}

/// The time of the lame duck is for load balancers, and not for a person at a terminal.
#[test]
fn sigint_ends_the_daemon_in_order() {
    let place = Workplace::new();
    let mut serve = place.ssfd(&["serve"]);
    serve.env("SSFD_PROCESS__LAME_DUCK", "1h");
    let mut daemon = Daemon::start(serve);
    daemon.addresses();
    daemon.signal("INT");
    ends_in_order(daemon);
}

#[test]
fn sighup_does_not_end_the_daemon() {
    let place = Workplace::new();
    let mut daemon = place.serve();
    let (_, internal) = daemon.addresses();
    daemon.signal("HUP");
    daemon.logs("SIGHUP: nothing is reloaded; restart instead");
    assert_eq!(get(&internal, "/readyz"), 200);
    daemon.signal("TERM");
    ends_in_order(daemon);
}

#[test]
fn the_service_manager_is_notified_of_start_and_stop() {
    let place = Workplace::new();
    let socket = UnixDatagram::bind(place.path("notify")).expect("a socket");
    socket.set_read_timeout(Some(DEADLINE)).expect("not zero");
    let notification = || {
        let mut buffer = [0; 256];
        let length = socket.recv(&mut buffer).expect("a notification");
        String::from_utf8_lossy(&buffer[..length]).trim().to_owned()
    };
    let mut serve = place.ssfd(&["serve"]);
    serve.env("NOTIFY_SOCKET", place.path("notify"));
    let mut daemon = Daemon::start(serve);
    assert_eq!(notification(), "READY=1");
    let (public, internal) = daemon.addresses();
    assert_eq!(get(&internal, "/healthz"), 200);
    assert_eq!(get(&public, "/.well-known/ssf-configuration"), 200);
    daemon.signal("TERM");
    assert_eq!(notification(), "STOPPING=1");
    ends_in_order(daemon);
}

#[test]
fn each_listener_serves_its_own_paths_of_the_configured_issuer() {
    let place = Workplace::new();
    place.configure("providers.default.issuer = \"https://tx.example/t/acme\"\n");
    let mut daemon = place.serve();
    let (public, internal) = daemon.addresses();
    assert_eq!(get(&public, "/.well-known/ssf-configuration/t/acme"), 200);
    assert_eq!(get(&public, "/.well-known/ssf-configuration"), 404);
    // The paths of one listener are not found on the other.
    assert_eq!(get(&public, "/readyz"), 404);
    assert_eq!(get(&internal, "/.well-known/ssf-configuration/t/acme"), 404);
}

/// A running daemon sees the changes of `ssfd tokens` at once.
#[test]
fn a_token_is_valid_from_its_creation_until_its_revocation() {
    let place = Workplace::new();
    let mut daemon = place.serve();
    let (public, _) = daemon.addresses();
    let create = ["tokens", "create", "receiver", "--receiver", "rx", "--audience", "a", "--json"];
    let made = place.prints_json(&create);
    let (id, token) = (made["id"].as_str().expect("text"), made["token"].as_str().expect("text"));
    let status = || ask(&public, "GET /ssf/streams", Some(token), "").0;
    assert_eq!(status(), 200);
    place.succeeds(&["tokens", "revoke", id]);
    assert_eq!(status(), 401);
}
