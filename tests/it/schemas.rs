//! The checks of events against their type's definition, over HTTP and by Redis.

use redis::streams::StreamRangeReply;
use serde_json::{Value, json};
use ssfd::{
    config::ProviderSettings,
    domain::{
        grant::{Holder, Scope},
        provider::EventChecks,
    },
};

use crate::harness::{
    daemon::{Daemon, provider},
    events::{SESSION_REVOKED, about_with},
    eventually,
    redis::Redis,
    streams::by_poll,
    waiting::waiting_sets,
};

/// One provider with one stream. The provider's name is unique, because all tests share the
/// metrics.
struct Trial {
    name: &'static str,
    redis: Redis,
    daemon: Daemon,
    publisher: String,
    stream: String,
}

impl Trial {
    async fn of(name: &'static str, settings: impl FnOnce(&mut ProviderSettings)) -> Self {
        let redis = Redis::start().await;
        let mut own = provider(&format!("https://tx.example/{name}"));
        settings(&mut own);
        let daemon = Daemon::with(|config| {
            config.ingest.redis.url = Some(redis.url());
            config.providers.insert(name.parse().expect("a name"), own);
        })
        .await;
        let token = daemon.receiver_token_at(name, "rx", &[Scope::Manage]).await;
        let stream = daemon.create_stream_at(name, &token, by_poll()).await;
        let holder = Holder::Publisher { provider: name.parse().expect("a name") };
        let publisher = daemon.token(holder).await;
        Self { name, redis, daemon, publisher, stream }
    }

    /// Publishes the payloads over HTTP and then by Redis. Returns the answers over HTTP and the
    /// entries that were rejected from Redis.
    async fn publish(&self, payloads: &[Value]) -> (Vec<Value>, Vec<(String, String)>) {
        let event = |id: String, payload: &Value| about_with(&id, json!({"event": payload}));
        let numbered = || payloads.iter().enumerate();
        let events = numbered().map(|(n, payload)| event(format!("http-{n}"), payload)).collect();
        let answer = self.daemon.publish(&self.publisher, &Value::Array(events)).await.json();
        let answers = answer["events"].as_array().expect("an answer for each").clone();

        let key = format!("ssf:events:{}", self.name);
        for (n, payload) in numbered() {
            self.redis.publish(&key, &event(format!("redis-{n}"), payload)).await;
        }
        // Entries are read in order, so all are read when this one has arrived.
        self.redis.publish(&key, &event("last".into(), &fine())).await;
        eventually("the last event arrives", async || {
            self.arrived().await.iter().any(|(subject, _)| subject == "last")
        })
        .await;
        let key = format!("{key}:rejected");
        let rejected: StreamRangeReply = self.redis.run(&["XRANGE", &key, "-", "+"]).await;
        let rejected = rejected.ids.iter().map(|entry| {
            let text = |field| entry.get(field).expect("the field is there");
            (text("reason"), text("detail"))
        });
        (answers, rejected.collect())
    }

    /// Returns subjects and payloads of the unsettled SETs.
    async fn arrived(&self) -> Vec<(String, Value)> {
        let id = self.stream.parse().expect("the daemon made this id");
        let waiting = waiting_sets(self.daemon.store(), &id).await;
        let claims = waiting.into_iter().map(|set| {
            let claims: Value = serde_json::from_str(&set.claims).expect("claims are JSON");
            let subject = claims["sub_id"]["id"].as_str().expect("an opaque subject").to_owned();
            (subject, claims["events"][SESSION_REVOKED].clone())
        });
        claims.collect()
    }

    async fn subjects(&self) -> Vec<String> {
        self.arrived().await.into_iter().map(|(subject, _)| subject).collect()
    }

    async fn counted(&self, severity: &str) -> f64 {
        let labels = format!(r#"provider="{}",severity="{severity}""#, self.name);
        self.daemon.metric(&format!("ssfd_events_findings_total{{{labels}}}")).await
    }
}

fn fine() -> Value {
    json!({"reason_admin": {"en": "rule 12"}})
}

/// SSF §3.1.1 leaves this member to CAEP, and it should not be sent.
fn doubtful() -> Value {
    json!({"reason_admin": {"en": "rule 12"}, "subject": {"format": "opaque", "id": "u-1"}})
}

/// CAEP-03.
fn broken() -> Value {
    json!({"reason_admin": "rule 12"})
}

const ALL: [&str; 7] = ["http-0", "http-1", "http-2", "redis-0", "redis-1", "redis-2", "last"];

/// CAEP-01, CAEP-03 (CAEP §2): before signing.
#[actix_web::test]
async fn a_strict_provider_rejects_a_broken_must_and_counts_a_broken_should() {
    let trial = Trial::of("strict", |_| {}).await;

    let (answers, rejected) = trial.publish(&[fine(), doubtful(), broken()]).await;

    let status: Vec<_> = answers.iter().map(|answer| answer["status"].clone()).collect();
    assert_eq!(status, ["accepted", "accepted", "rejected"]);
    let detail = answers[2]["detail"].as_str().expect("a reason").to_owned();
    assert!(detail.starts_with("`reason_admin` must be an object"), "{detail}");
    assert!(detail.ends_with("(CAEP §2)"), "{detail}");
    assert_eq!(answers[2]["reason"], "schema");
    assert_eq!(rejected, [("schema".to_owned(), detail)]);
    assert_eq!(trial.subjects().await, ["http-0", "http-1", "redis-0", "redis-1", "last"]);
    assert_eq!((trial.counted("must").await, trial.counted("should").await), (2.0, 2.0));
    let schema = r#"ssfd_events_rejected_total{provider="strict",reason="schema"}"#;
    assert!((trial.daemon.metric(schema).await - 2.0).abs() < f64::EPSILON);
}

#[actix_web::test]
async fn a_provider_that_lints_delivers_everything_and_counts() {
    let trial = Trial::of("lint", |settings| settings.event_checks = EventChecks::Lint).await;

    let (answers, rejected) = trial.publish(&[fine(), doubtful(), broken()]).await;

    assert!(answers.iter().all(|answer| answer["status"] == "accepted"), "{answers:?}");
    assert_eq!(rejected, []);
    assert_eq!(trial.subjects().await, ALL);
    assert_eq!((trial.counted("must").await, trial.counted("should").await), (2.0, 2.0));
}

#[actix_web::test]
async fn a_provider_with_checks_off_delivers_everything_uncounted() {
    let trial = Trial::of("off", |settings| settings.event_checks = EventChecks::Off).await;

    let (_, rejected) = trial.publish(&[fine(), doubtful(), broken()]).await;

    assert_eq!(rejected, []);
    assert_eq!(trial.subjects().await, ALL);
    assert_eq!((trial.counted("must").await, trial.counted("should").await), (0.0, 0.0));
}
