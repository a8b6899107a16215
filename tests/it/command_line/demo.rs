//! `ssfd demo`.

use std::{collections::BTreeSet, fs, path::Path, process::Command};

use redis::{ConnectionLike as _, InfoDict};
use serde_json::Value;

use super::{Daemon, Workplace, run};
use crate::harness::{events::about, http_client::post, redis::Redis};

/// Two verification SETs, and twelve events by push and by poll.
const SETS: usize = 26;

impl Workplace {
    /// `ssfd demo`, which finds programs in the PATH of the tests, and makes its folder in ours.
    fn demo(&self, args: &[&str]) -> Command {
        let mut command = self.ssfd(&[&["demo"], args].concat());
        command.env("PATH", std::env::var_os("PATH").expect("a PATH"));
        fs::create_dir_all(self.path("tmp")).expect("a folder");
        command.env("TMPDIR", self.path("tmp"));
        command
    }

    #[track_caller]
    fn has_nothing_left(&self) {
        let left: Vec<_> = fs::read_dir(self.path("tmp")).expect("a folder").collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

/// Each SET once by each way that it had to come, verified, and no other.
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
    assert_eq!(ended.stderr, "", "a demo that goes well logs nothing");
    place.has_nothing_left();
}

#[test]
fn a_redis_server_in_the_path_is_started_and_used() {
    let place = Workplace::new();
    let ended = run(place.demo(&[]));
    assert!(ended.status.success(), "{}{}", ended.stdout, ended.stderr);
    for told in [
        // Without the program this is where the test fails.
        "started redis-server on a socket",
        "publishes 12 events by XADD ssf:events:demo",
        "caep:session-revoked ",
        "RS256 verified",
        "All 26 SETs arrived",
    ] {
        assert!(ended.stdout.contains(told), "no `{told}` in {}", ended.stdout);
    }
    place.has_nothing_left();
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
async fn a_given_redis_is_left_as_it_was() {
    let (place, redis) = (Workplace::new(), Redis::start().await);
    redis.publish("ssf:events:demo", &Value::from("somebody else's")).await;
    let ended = run(place.demo(&["--redis", &redis.url(), "--json"]));
    assert!(ended.status.success(), "{}{}", ended.stdout, ended.stderr);
    assert_all_arrived(&json_lines(&ended.stdout));
    assert_eq!(redis.run::<Vec<String>>(&["KEYS", "*"]).await, ["ssf:events:demo"]);
    assert_eq!(redis.run::<usize>(&["XLEN", "ssf:events:demo"]).await, 1);
    let commands: String = redis.run(&["INFO", "commandstats"]).await;
    // Ours, and one for each event.
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
    place.has_nothing_left();
}

#[test]
fn what_takes_too_long_is_given_up() {
    let place = Workplace::new();
    let ended = run(place.demo(&["--no-redis", "--timeout", "0s"]));
    assert_eq!(ended.status.code(), Some(1), "{}", ended.stdout);
    assert!(ended.stderr.contains("not registered within 0s"), "{}", ended.stderr);
    place.has_nothing_left();
}

/// Linux shows processes in `/proc`.
fn runs(pid: &str) -> bool {
    Path::new("/proc").join(pid).exists()
}

#[tokio::test]
async fn it_stays_until_it_is_told_to_end_and_then_nothing_is_left() {
    let place = Workplace::new();
    let mut demo = Daemon::start_printing(place.demo(&["--stay", "--json"]));
    let stay = loop {
        let line = demo.next_line().expect("it goes on after the summary");
        if line["stay"].is_object() {
            break line["stay"].clone();
        }
    };
    let said = |name: &str| stay["places"][name].as_str().expect("a text").to_owned();
    let folder = Path::new(&said("trusted roots")).parent().expect("a folder").to_owned();
    let socket = format!("redis+unix://{}", folder.join("redis.sock").display());
    let mut redis = redis::Client::open(socket).expect("a URL").get_connection().expect("it runs");
    let info = redis.req_command(&redis::cmd("INFO")).expect("it answers");
    let info: InfoDict = redis::from_redis_value(info).expect("its own form");
    let pid: String = info.get("process_id").expect("it says so");
    assert!(runs(&pid));

    let events = format!("{}events", said("internal listener"));
    let token = said("publisher's token");
    post(&events).bearer(&token).json(&about("by-hand")).send().await.expect(202);
    let arrival = demo.next_line().expect("the push Receiver shows it");
    assert_eq!(arrival["claims"]["sub_id"]["id"], "by-hand", "{arrival}");
    assert_eq!((&arrival["method"], &arrival["verified"]), (&"push".into(), &true.into()));

    demo.signal("TERM");
    let (code, lines) = demo.ends();
    assert_eq!(code, Some(0), "{lines:?}");
    assert!(!runs(&pid), "redis-server is left");
    place.has_nothing_left();
}
