//! An installation moves its store from SQLite to Redis.

use std::collections::BTreeMap;

use rusqlite::Connection;
use serde_json::{Value, json};

use crate::{
    command_line::{Daemon, Workplace, ask},
    harness::{
        events::{SESSION_REVOKED, about},
        eventually,
        receiver::{Receiver, claims, subject},
        redis::Redis,
        streams::push_to,
    },
};

const EVENTS_KEY: &str = "ssf:events:default";

/// A Receiver with a stream.
struct StreamOwner {
    token: String,
    stream: String,
}

impl StreamOwner {
    fn new(place: &Workplace, public: &str, delivery: Value) -> Self {
        let create = ["tokens", "create", "receiver", "--receiver", "rx", "--audience", "rx"];
        let token = place.succeeds(&create).trim().to_owned();
        let body = json!({"events_requested": [SESSION_REVOKED], "delivery": delivery});
        let (status, answer) = ask(public, "POST /ssf/streams", Some(&token), &body.to_string());
        assert_eq!(status, 201, "{answer}");
        let stream: Value = serde_json::from_str(&answer).expect("JSON");
        Self { token, stream: stream["stream_id"].as_str().expect("an id").to_owned() }
    }

    fn set_status(&self, public: &str, status: &str) {
        let body = json!({"stream_id": self.stream, "status": status}).to_string();
        let (code, answer) = ask(public, "POST /ssf/status", Some(&self.token), &body);
        assert_eq!(code, 200, "{answer}");
    }
}

fn stop(daemon: Daemon) {
    daemon.signal("TERM");
    let (code, lines) = daemon.ends();
    assert_eq!(code, Some(0), "{lines:#?}");
}

/// The `jti`s about each subject, in their order.
type JtisBySubject = BTreeMap<String, Vec<String>>;

fn add(order: &mut JtisBySubject, claims: &Value) {
    let jti = claims["jti"].as_str().expect("a jti").to_owned();
    order.entry(subject(claims)).or_default().push(jti);
}

/// Reads the claims of the unsettled SETs from SQLite.
fn waiting(place: &Workplace) -> Vec<Value> {
    let db = Connection::open(place.path("ssfd.db")).expect("opens");
    let mut select = db
        .prepare("SELECT claims FROM outbox WHERE settled_at IS NULL AND control = 0 ORDER BY seq")
        .expect("valid");
    let claims = select.query_map([], |row| row.get::<_, String>(0)).expect("runs");
    claims.map(|claims| serde_json::from_str(&claims.expect("text")).expect("JSON")).collect()
}

#[actix_web::test]
async fn sets_that_were_held_in_sqlite_are_delivered_from_redis() {
    const HELD: usize = 40;
    let redis = Redis::start().await;
    let place = Workplace::new();
    let common = format!(
        "ingest.redis.url = {:?}\npush.allow_networks = [\"127.0.0.0/8\"]\n\
         store.redis.urls = [{:?}]\nstore.redis.checks = \"warn\"\n\
         [providers.default]\ninsecure_endpoints = true\n",
        redis.url(),
        redis.url()
    );
    place.configure(&common);
    let mut receiver = Receiver::accepting().await;
    let mut daemon = place.serve();
    let (public, _) = daemon.addresses();
    let owner = StreamOwner::new(&place, &public, push_to(&receiver.url("/in")));
    owner.set_status(&public, "paused");
    for n in 0..HELD {
        redis.publish(EVENTS_KEY, &about(&format!("s-{}", n % 7))).await;
    }
    eventually("all are held", async || waiting(&place).len() == HELD).await;
    stop(daemon);
    let held = waiting(&place);
    // The entry is read by the daemon that starts on the copy.
    redis.publish(EVENTS_KEY, &about("later")).await;

    let to = redis.url();
    let copied = place.prints_json(&["store", "copy", "--from", "config", "--to", &to, "--json"]);
    assert_eq!(copied["kinds"]["sets_waiting"]["source"], HELD, "{copied}");
    assert_eq!(copied["kinds"]["positions"]["source"], 1, "{copied}");
    place.configure(&format!("store.backend = \"redis\"\n{common}"));
    let mut daemon = place.serve();
    let (public, _) = daemon.addresses();
    owner.set_status(&public, "enabled");
    let served = ["store", "verify", "--from", "sqlite:ssfd.db", "--to", "config"];
    place.fails(&served, &["config: ssfd serves from it: "]);

    let (mut expected, mut arrived) = (JtisBySubject::new(), JtisBySubject::new());
    for claims in &held {
        add(&mut expected, claims);
    }
    for seen in receiver.next_few(HELD + 1).await {
        add(&mut arrived, &claims(seen.jws()));
    }
    assert_eq!(arrived.remove("later").map(|jtis| jtis.len()), Some(1));
    assert_eq!(arrived, expected);
    stop(daemon);
    assert!(receiver.rest().is_empty(), "no SET arrives twice");

    // A daemon has changed the copy since, so a second copy needs `--replace`.
    let again = ["store", "copy", "--from", "sqlite:ssfd.db", "--to", "config"];
    place.fails(&again, &["served from since", "--replace"]);
}
