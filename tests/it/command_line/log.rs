//! The log of `ssfd serve`.

use std::{collections::HashMap, fs::File, net::TcpListener, process::Stdio};

use super::{Daemon, Workplace, ask};
use crate::harness::{
    events::{SESSION_REVOKED, about},
    eventually,
    receiver::Receiver,
    redis::Redis,
    streams::push_to,
    within,
};

#[test]
fn a_log_line_has_a_time_a_level_and_a_message() {
    let place = Workplace::new();
    let line = place.serve().logs("serving");
    assert_eq!(line["level"], "INFO");
    assert_eq!(line["version"], env!("CARGO_PKG_VERSION"));
    assert!(line["timestamp"].as_str().is_some_and(|at| at.ends_with('Z')), "{line}");
}

/// An entry is named, and nothing of it is in the log.
#[actix_web::test]
async fn a_rejected_entry_is_named_and_its_content_is_not_logged() {
    let redis = Redis::start().await;
    let place = Workplace::new();
    place.configure(&format!("ingest.redis.url = {:?}\nlog.level = \"debug\"\n", redis.url()));
    let mut daemon = place.serve();
    let key = "ssf:events:default";
    let mut ids = Vec::new();
    for fields in [["event", "{\"hunter2\": 1}"], ["hunter2", "hunter2"]] {
        let add = ["XADD", key, "*", fields[0], fields[1]];
        let id: String = redis.run(&add).await;
        let line = daemon.logs("entries were rejected");
        assert!(line["entries"].as_str().is_some_and(|entries| entries.contains(&id)), "{line}");
        assert_eq!(line["partition"], key);
        ids.push(id);
    }
    let log = format!("{:?}", daemon.seen());
    assert!(!log.contains("hunter2"), "{log}");
}

/// The process may end before they are written. More of them than one line names.
#[actix_web::test]
async fn every_rejected_entry_that_cannot_be_written_is_named() {
    let redis = Redis::start().await;
    let key = "ssf:events:default";
    let mut ids = Vec::new();
    for n in 0..150 {
        let id: String = redis.run(&["XADD", key, "*", "event", &format!("{{hunter{n}")]).await;
        ids.push(id);
    }
    let () = redis.run(&["CONFIG", "SET", "maxmemory", "1"]).await;
    let place = Workplace::new();
    place.configure(&format!("ingest.redis.url = {:?}\n", redis.url()));
    let mut daemon = place.serve();
    let mut named = String::new();
    while !ids.iter().all(|id| named.contains(&format!("{id} malformed"))) {
        let line = daemon.logs("rejected entries cannot be written yet");
        named += line["entries"].as_str().expect("a text");
        named += ", ";
    }
    daemon.signal("KILL");
    let (_, lines) = daemon.ends();
    assert!(!format!("{lines:?}").contains("hunter"), "{lines:?}");
    // The entry is still where its publisher put it.
    let last = ids.last().expect("there are some");
    let kept: ::redis::streams::StreamRangeReply = redis.run(&["XRANGE", key, last, last]).await;
    assert_eq!(kept.ids.len(), 1);
}

/// One line for each gap, however many entries are gone.
#[actix_web::test]
async fn entries_that_are_gone_are_told_in_one_line() {
    let redis = Redis::start().await;
    let place = Workplace::new();
    place.configure(&format!("ingest.redis.url = {:?}\n", redis.url()));
    let key = "ssf:events:default";
    let message = "entries were trimmed or deleted before they were read";
    for gone in [0, 4] {
        for n in 0..6 {
            redis.publish(key, &about(&format!("s-{n}"))).await;
        }
        if gone != 0 {
            let _: i64 = redis.run(&["XTRIM", key, "MAXLEN", &(6 - gone).to_string()]).await;
        }
        let mut daemon = place.serve();
        daemon.addresses();
        eventually("all is read", async || lag(&redis, key).await == Some(0)).await;
        daemon.signal("TERM");
        let (_, lines) = tokio::task::spawn_blocking(|| daemon.ends()).await.expect("no panic");
        let told: Vec<_> = lines.iter().filter(|line| line["message"] == message).collect();
        assert_eq!(told.len(), usize::from(gone != 0), "{lines:#?}");
        for line in told {
            assert_eq!((&line["level"], &line["partition"]), (&"WARN".into(), &key.into()));
            assert_eq!(line["missing"], gone, "{line}");
        }
    }
}

/// How many entries the reader has not read, as the server shows it.
async fn lag(redis: &Redis, key: &str) -> Option<i64> {
    let groups: Vec<HashMap<String, redis::Value>> =
        redis.try_run(&["XINFO", "GROUPS", key]).await.ok()?;
    redis::from_redis_value(groups.into_iter().next()?.remove("lag")?).ok()
}

/// An output that takes no lines.
#[derive(Debug, Clone, Copy)]
enum Broken {
    /// The disk is full.
    Full,
    /// A pipe whose reader is gone.
    Closed,
    /// A pipe that nobody reads.
    Unread,
}

/// Cases 6: the daemon serves, delivers and stops in order, and counts the lines.
async fn serves_without_a_log(broken: Broken) {
    let place = Workplace::new();
    let [public, internal] = [(); 2].map(|()| {
        let bound = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        bound.local_addr().expect("it is bound").to_string()
    });
    // Only a daemon creates the store.
    place.serve().addresses();
    let made = place.prints_json(&["tokens", "create", "--json", "publisher"]);
    let publisher = made["token"].as_str().expect("a token").to_owned();
    let manager = ["receiver", "--receiver", "rx", "--audience", "rx"];
    let made = place.prints_json(&[&["tokens", "create", "--json"], &manager[..]].concat());
    let manager = made["token"].as_str().expect("a token").to_owned();
    let mut serve = place.ssfd(&["serve"]);
    serve.env("SSFD_PUBLIC__LISTEN", &public).env("SSFD_INTERNAL__LISTEN", &internal);
    serve.env("SSFD_LOG__LEVEL", "trace").env("SSFD_LOG__QUEUE_MAX", "10");
    serve.env("SSFD_PUSH__ALLOW_NETWORKS", "127.0.0.0/8");
    serve.env("SSFD_PROVIDERS__DEFAULT__INSECURE_ENDPOINTS", "true");
    let (reader, writer) = std::io::pipe().expect("a pipe");
    let (output, _kept) = match broken {
        Broken::Full => {
            let full = File::options().write(true).open("/dev/full").expect("it opens");
            (Stdio::from(full), None)
        }
        Broken::Closed => {
            drop(reader);
            (Stdio::from(writer), None)
        }
        Broken::Unread => (Stdio::from(writer), Some(reader)),
    };
    let daemon = Daemon::start_unheard(serve, output);
    let is_up = async || std::net::TcpStream::connect(&internal).is_ok();
    eventually("the daemon listens", is_up).await;

    let mut receiver = Receiver::accepting().await;
    let stream = serde_json::json!({
        "events_requested": [SESSION_REVOKED],
        "delivery": push_to(&receiver.url("/in")),
    });
    let (status, body) = ask(&public, "POST /ssf/streams", Some(&manager), &stream.to_string());
    assert_eq!(status, 201, "{broken:?}: {body}");
    for n in 0..100 {
        let event = about(&format!("s-{n}")).to_string();
        let (status, body) = ask(&internal, "POST /events", Some(&publisher), &event);
        assert_eq!(status, 202, "{broken:?}: {body}");
    }
    receiver.next_few(100).await;
    eventually("lost lines are counted", async || {
        let (_, metrics) = ask(&internal, "GET /metrics", None, "");
        let lines = metrics.lines().filter(|line| line.starts_with("ssfd_log_lines_lost_total{"));
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum::<u64>() > 0
    })
    .await;
    assert_eq!(ask(&internal, "GET /readyz", None, "").0, 200, "{broken:?}");
    daemon.signal("TERM");
    let ended = tokio::task::spawn_blocking(move || daemon.ends().0);
    assert_eq!(within("the daemon ends", ended).await.expect("no panic"), Some(0), "{broken:?}");
}

#[actix_web::test]
async fn a_log_on_a_full_disk_stops_nothing() {
    serves_without_a_log(Broken::Full).await;
}

#[actix_web::test]
async fn a_log_whose_reader_is_gone_stops_nothing() {
    serves_without_a_log(Broken::Closed).await;
}

#[actix_web::test]
async fn a_log_that_nobody_reads_stops_nothing() {
    serves_without_a_log(Broken::Unread).await;
}
