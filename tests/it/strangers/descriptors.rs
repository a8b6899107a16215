//! The limit of open files.

use std::{fs, process::Command};

use serde_json::json;

use super::*;
use crate::harness::eventually;

/// The message for a bound that cannot hold.
const LOWERED: &str =
    "a bound is lowered to fit the limit of open files; raise it with LimitNOFILE or ulimit -n";

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
