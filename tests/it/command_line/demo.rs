//! `ssfd demo`, run as a process.

use std::{collections::BTreeSet, fs, path::Path, process::Command};

use redis::{ConnectionLike as _, InfoDict};
use serde_json::Value;

use super::{Daemon, Workplace, run};
use crate::harness::{events::about, http_client::post, redis::Redis};

/// Two verification SETs, and twelve events and a webhook by push and by poll each.
const SETS: usize = 28;

impl Workplace {
    /// Returns the command `ssfd demo`, with the PATH of the tests and a temporary folder of its
    /// own.
    fn demo(&self, args: &[&str]) -> Command {
        let mut command = self.ssfd(&[&["demo"], args].concat());
        command.env("PATH", std::env::var_os("PATH").expect("a PATH"));
        fs::create_dir_all(self.path("tmp")).expect("a folder");
        command.env("TMPDIR", self.path("tmp"));
        command
    }

    #[track_caller]
    fn assert_nothing_is_left(&self) {
        let left: Vec<_> = fs::read_dir(self.path("tmp")).expect("a folder").collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

/// Asserts that each SET arrived verified, once by each method, and that no other SET arrived.
#[track_caller]
fn assert_all_arrived(lines: &[Value]) {
    let (summary, arrivals) = lines.split_last().expect("a summary");
    assert_eq!(summary["summary"]["ok"], true, "{summary}");
    assert_eq!(summary["summary"]["arrived"], SETS, "{summary}");
    let mut seen = BTreeSet::new();
    for arrival in arrivals.iter().filter(|arrival| arrival["duplicate"] == false) {
        assert_eq!(arrival["verified"], true, "{arrival}");
        assert_eq!(arrival["signed_by"]["alg"], "RS256", "{arrival}");
        assert!(arrival["after_ms"].is_f64(), "{arrival}");
        let text = |member: &str| arrival[member].as_str().expect("a text").to_owned();
        seen.insert((text("event"), text("method"), text("stream_id"), text("jti")));
    }
    assert_eq!(seen.len(), SETS, "{seen:?}");
    let by = |method: &str| -> BTreeSet<&str> {
        seen.iter().filter(|set| set.1 == method).map(|set| set.0.as_str()).collect()
    };
    assert_eq!(by("push"), by("poll"));
    assert_eq!(by("push").iter().filter(|event| event.starts_with("caep:")).count(), 8);
    assert!(by("push").contains("ssf:verification"));
}

#[track_caller]
fn json_lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).expect(line)).collect()
}

#[test]
fn every_set_arrives_and_is_verified_without_redis() {
    let place = Workplace::new();
    let ended = run(place.demo(&["--no-redis", "--json"]));
    assert!(ended.status.success(), "{}{}", ended.stdout, ended.stderr);
    assert_all_arrived(&json_lines(&ended.stdout));
    assert_eq!(ended.stderr, "", "a successful demo logs nothing");
    place.assert_nothing_is_left();
}

/// Compares the steps that the demo prints with the table of the page that explains them. A `…` in the
/// table stands for the rest of a line.
#[track_caller]
fn is_explained(stdout: &str) {
    let page = include_str!("../../../docs/start/demo.md");
    let (table, _) = page.split_once("## Variations").expect("the section behind the table");
    let rows = table.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` |"));
    let explained: Vec<_> = rows.map(|(step, _)| step.trim_end_matches(" …")).collect();
    let steps: Vec<_> = stdout.lines().filter_map(|line| line.strip_prefix("  ")).collect();
    assert_eq!(steps.len(), explained.len(), "{steps:#?} and {explained:#?}");
    for (step, explained) in steps.iter().zip(explained) {
        assert!(step.starts_with(explained), "`{step}` is explained as `{explained}`");
    }
}

#[test]
fn a_redis_server_in_the_path_is_started_and_used() {
    let place = Workplace::new();
    let ended = run(place.demo(&[]));
    assert!(ended.status.success(), "{}{}", ended.stdout, ended.stderr);
    for line in [
        // The test fails here if there is no redis-server program.
        "started redis-server on a socket",
        "publishes 12 events by XADD ssf:events:demo",
        "caep:session-revoked ",
        "RS256 verified",
        "as Keycloak does, and posts it to https://localhost:",
        "All 28 SETs arrived",
    ] {
        assert!(ended.stdout.contains(line), "no `{line}` in {}", ended.stdout);
    }
    is_explained(&ended.stdout);
    place.assert_nothing_is_left();
}

#[test]
fn without_a_redis_server_in_the_path_events_go_over_http() {
    let place = Workplace::new();
    let mut demo = place.demo(&[]);
    demo.env("PATH", place.path("keys"));
    let ended = run(demo);
    assert!(ended.status.success(), "{}{}", ended.stdout, ended.stderr);
    assert!(ended.stdout.contains("found no redis-server"), "{}", ended.stdout);
    assert!(ended.stdout.contains("publishes 12 events by POST http://"), "{}", ended.stdout);
}

#[tokio::test]
async fn a_given_redis_keeps_only_the_keys_that_it_had() {
    let (place, redis) = (Workplace::new(), Redis::start().await);
    redis.publish("ssf:events:demo", &Value::from("somebody else's")).await;
    let ended = run(place.demo(&["--redis", &redis.url(), "--json"]));
    assert!(ended.status.success(), "{}{}", ended.stdout, ended.stderr);
    assert_all_arrived(&json_lines(&ended.stdout));
    assert_eq!(redis.run::<Vec<String>>(&["KEYS", "*"]).await, ["ssf:events:demo"]);
    assert_eq!(redis.run::<usize>(&["XLEN", "ssf:events:demo"]).await, 1);
    let commands: String = redis.run(&["INFO", "commandstats"]).await;
    // One by this test, and one for each event.
    assert!(commands.contains("cmdstat_xadd:calls=13,"), "{commands}");
}

#[test]
fn a_redis_that_cannot_be_reached_is_named() {
    let place = Workplace::new();
    let ended = run(place.demo(&["--redis", "redis://:s3cret@127.0.0.1:1"]));
    assert_eq!(ended.status.code(), Some(1), "{}", ended.stdout);
    assert!(
        ended.stderr.contains("cannot reach the Redis server at 127.0.0.1:1: "),
        "{}",
        ended.stderr
    );
    assert!(!ended.stderr.contains("s3cret"), "{}", ended.stderr);
    place.assert_nothing_is_left();
}

#[test]
fn the_demo_gives_up_after_its_timeout() {
    let place = Workplace::new();
    let ended = run(place.demo(&["--no-redis", "--timeout", "0s"]));
    assert_eq!(ended.status.code(), Some(1), "{}", ended.stdout);
    assert!(ended.stderr.contains("not created within 0s"), "{}", ended.stderr);
    place.assert_nothing_is_left();
}

/// Returns whether a process runs, which Linux shows in `/proc`.
fn is_running(pid: &str) -> bool {
    Path::new("/proc").join(pid).exists()
}

#[tokio::test]
async fn stay_keeps_the_demo_running_until_a_signal_and_then_removes_everything() {
    let place = Workplace::new();
    let mut demo = Daemon::start_printing(place.demo(&["--stay", "--json"]));
    let stay = loop {
        let line = demo.next_line().expect("the demo goes on after the summary");
        if line["stay"].is_object() {
            break line["stay"].clone();
        }
    };
    let value = |name: &str| stay["places"][name].as_str().expect("a text").to_owned();
    let folder = Path::new(&value("trusted roots")).parent().expect("a folder").to_owned();
    let socket = format!("redis+unix://{}", folder.join("redis.sock").display());
    let mut redis = redis::Client::open(socket).expect("a URL").get_connection().expect("it runs");
    let info = redis.req_command(&redis::cmd("INFO")).expect("it answers");
    let info: InfoDict = redis::from_redis_value(info).expect("the format of INFO");
    let pid: String = info.get("process_id").expect("a process id");
    assert!(is_running(&pid));

    let events = format!("{}events", value("internal listener"));
    let token = value("publisher's token");
    post(&events).bearer(&token).json(&about("by-hand")).send().await.expect(202);
    let arrival = demo.next_line().expect("the push Receiver shows it");
    assert_eq!(arrival["claims"]["sub_id"]["id"], "by-hand", "{arrival}");
    assert_eq!((&arrival["method"], &arrival["verified"]), (&"push".into(), &true.into()));

    demo.signal("TERM");
    let (code, lines) = demo.ends();
    assert_eq!(code, Some(0), "{lines:?}");
    assert!(!is_running(&pid), "redis-server still runs");
    place.assert_nothing_is_left();
}
