//! The bounds of a source: overload, observing, the allow-list, the cap, and gates.

use std::time::Duration;

use serde_json::json;
use ssfd::clock;

use super::{DISABLED, ENABLED, SECRET, Stand, by_bearer, logout};
use crate::harness::{eventually, http_client::get};

#[actix_web::test]
async fn overload_is_answered_503_before_the_body_is_read() {
    let members = by_bearer(json!({}));
    let stand = Stand::with("bounds-overload", members, |config| {
        config.store.backlog_max = 2;
        config.store.backlog_interval = Duration::from_millis(20);
    })
    .await;
    stand.send(logout("1", "kim")).await.expect(200);
    let refused = async || stand.send(logout("3", "max")).await.status == 503;
    eventually("the backlog is noticed", refused).await;
    // Not even the credential is looked at.
    let answer = stand.call().body("{}").send().await.expect(503);
    assert_eq!(answer.headers["retry-after"], "20");
    assert!(0 < stand.requests("overload").await);
    let count = stand.users().await.len();
    stand.setup.take(count).await;
    let taken = async || stand.send(logout("3", "max")).await.status == 200;
    eventually("the backlog has shrunk", taken).await;
}

#[actix_web::test]
async fn an_observing_source_publishes_nothing() {
    let stand = Stand::new("bounds-observe", by_bearer(json!({"mode": "observe"}))).await;
    stand.send(json!([logout("1", "kim"), {"type": "REFUSED"}])).await.expect(200);
    assert!(stand.claims().await.is_empty());
    let counts = [stand.records("observed").await, stand.records("rejected").await];
    assert_eq!(counts, [1, 1]);
    // Once it publishes, the same record is no duplicate.
    let mut stand = stand;
    let provider = stand.setup.daemon.config().providers.values_mut().next().expect("one");
    provider.sources.values_mut().next().expect("a source").0.remove("mode");
    stand.setup.daemon.restart().await;
    stand.send(logout("1", "kim")).await.expect(200);
    assert_eq!(stand.users().await, ["kim"]);
}

#[actix_web::test]
async fn a_source_emits_only_what_it_may() {
    let rules = json!([{
        "name": "any",
        "emit": {"from": "/emit"},
        "emits": ["risc:account-enabled", "risc:account-disabled"],
        "subject": {"opaque": "{/user}"},
    }]);
    let members = json!({
        "rules": rules, "may_emit": ["risc:account-enabled", "risc:account-disabled"],
    });
    let stand = Stand::new("bounds-may-emit", by_bearer(members)).await;
    let record = |id: &str, emit: &str| json!({"id": id, "user": "kim", "emit": emit});
    stand.send(record("1", "risc:account-enabled")).await.expect(200);
    for (id, other) in [("2", "risc:account-purged"), ("3", "ssf:verification"), ("4", "x")] {
        stand.send(record(id, other)).await.expect(200);
    }
    assert_eq!(stand.users().await.len(), 1);
    assert_eq!(stand.records("rejected").await, 3);
}

#[actix_web::test]
async fn events_beyond_the_cap_are_held_released_and_discarded() {
    let members = json!({"events_per_minute_max": 2, "held_max": 5, "answer_body": "counts"});
    let mut stand = Stand::new("bounds-cap", by_bearer(members)).await;
    let batch = |ids: &[&str]| {
        json!(ids.iter().map(|id| logout(id, &format!("u-{id}"))).collect::<Vec<_>>())
    };
    let answer = stand.send(batch(&["1", "2", "3", "4"])).await.expect(200).json();
    assert_eq!((&answer["accepted"], &answer["held"]), (&json!(2), &json!(2)));
    assert_eq!(stand.users().await, ["u-1", "u-2"]);
    assert_eq!(stand.held().await, 2);
    // An operator is told, and nobody is hindered.
    let ready = stand.setup.daemon.readiness().await.expect(200).json();
    let degraded = ready["degraded"].to_string();
    assert!(degraded.contains("bounds-cap/kc holds 2 events"), "{ready}");

    // A repeated request holds the same events once.
    stand.send(batch(&["3", "4"])).await.expect(200);
    assert_eq!(held_ids(&stand).await.len(), 2);

    // Beyond the bound nothing is taken at all.
    stand.send(batch(&["5", "6", "7", "8"])).await.expect(503);
    assert_eq!(stand.requests("held_full").await, 1);
    assert_eq!(held_ids(&stand).await.len(), 2);

    // They outlive a restart, and an event about a held subject is held behind it.
    stand.setup.daemon.restart().await;
    let answer = stand.send(json!([logout("9", "u-3"), logout("10", "new")])).await.expect(200);
    let answer = answer.json();
    assert_eq!((&answer["accepted"], &answer["held"]), (&json!(1), &json!(1)), "{answer}");
    assert_eq!(stand.users().await, ["u-1", "u-2", "new"]);

    let token = stand.setup.daemon.operator_token().await;
    let path = format!("/sources/{}/kc/held", stand.setup.daemon.provider());
    let admin = |method: hyper::Method, below: &str| {
        stand.setup.daemon.admin(&token, method, &format!("{path}{below}"))
    };
    let listed = admin(hyper::Method::GET, "").send().await.expect(200).json();
    let ids: Vec<_> = listed["held"].as_array().expect("a list").clone();
    assert_eq!(ids.len(), 3, "{listed}");
    let first = json!({"ids": [ids[1]["id"]]});
    let done = admin(hyper::Method::POST, "/discard").json(&first).send().await.expect(200).json();
    assert_eq!((&done["handled"], &done["left"]), (&json!(1), &json!(2)));
    let done = admin(hyper::Method::POST, "/release").json(&json!({})).send().await.expect(200);
    assert_eq!(done.json()["left"], 0);
    // In the order in which they came.
    assert_eq!(stand.users().await, ["u-1", "u-2", "new", "u-3", "u-3"]);
    assert_eq!(stand.held().await, 0);
    let ready = stand.setup.daemon.readiness().await.expect(200).text();
    assert!(!ready.contains("holds"), "{ready}");
}

async fn held_ids(stand: &Stand) -> Vec<String> {
    use ssfd::store::records::held_event::HeldEventStore as _;
    let provider = stand.setup.daemon.provider().parse().expect("a name");
    let source = super::SOURCE.parse().expect("a name");
    let held = stand.setup.daemon.store().held_events(&provider, &source, clock::now()).await;
    held.expect("readable").into_iter().map(|event| event.id).collect()
}

#[actix_web::test]
async fn a_gate_lets_an_event_pass_if_its_value_has_changed() {
    let mut stand = Stand::new("bounds-gate", by_bearer(json!({}))).await;
    let update = |id: &str, user: &str, enabled: serde_json::Value| json!({"type": "UPDATE", "id": id, "user": user, "enabled": enabled});
    // At first sight only a disabled account gives an event. Several records of one request see one
    // another.
    stand
        .send(json!([
            update("1", "kim", json!(true)),
            update("2", "lee", json!(false)),
            update("3", "kim", json!(true)),
            update("4", "kim", json!(false)),
        ]))
        .await
        .expect(200);
    stand.setup.daemon.restart().await;
    stand.send(update("5", "kim", json!(false))).await.expect(200);
    stand.send(update("6", "kim", json!(true))).await.expect(200);
    stand.send(update("7", "lee", json!(true))).await.expect(200);
    // A repeated request changes nothing.
    stand.send(update("6", "kim", json!(true))).await.expect(200);
    let claims = stand.claims().await;
    let seen: Vec<_> = claims
        .iter()
        .map(|claims| {
            let events = claims["events"].as_object().expect("events");
            let kind = events.keys().next().expect("a type").as_str();
            (claims["sub_id"]["id"].as_str().expect("an id"), kind)
        })
        .collect();
    assert_eq!(seen, [("lee", DISABLED), ("kim", DISABLED), ("kim", ENABLED), ("lee", ENABLED)]);
    // The counters are those of the process, which both daemons share.
    assert_eq!(stand.records("unchanged").await, 4);
}

/// Senders that repeat a request do so after later ones, so the first of two changes may come last.
#[actix_web::test]
async fn a_gate_is_not_moved_by_an_older_record() {
    let mut stand = Stand::new("bounds-older", by_bearer(json!({}))).await;
    let now = clock::now().as_millis();
    let update = |id: &str, user: &str, enabled: bool, age: i64| json!({"type": "UPDATE", "id": id, "user": user, "enabled": enabled, "time": now - age});
    stand.send(update("1", "kim", true, 1000)).await.expect(200);
    stand.send(update("2", "lee", false, 3000)).await.expect(200);
    stand.setup.daemon.restart().await;
    stand.send(update("3", "kim", false, 2000)).await.expect(200);
    stand.send(update("4", "lee", false, 1000)).await.expect(200);
    stand.send(update("5", "lee", true, 2000)).await.expect(200);
    stand.send(update("6", "kim", false, 0)).await.expect(200);
    assert_eq!(stand.users().await, ["lee", "kim"]);
    assert_eq!(stand.records("unchanged").await, 4);
}

#[actix_web::test]
async fn a_time_ahead_is_replaced_and_an_old_record_is_rejected() {
    let stand = Stand::new("bounds-time", by_bearer(json!({"max_age": "1h"}))).await;
    let now = clock::now();
    let at = |id: &str, user: &str, millis: i64| {
        let mut record = logout(id, user);
        record["time"] = millis.into();
        record
    };
    let hour = 3_600_000;
    let batch = json!([
        at("1", "past", now.as_millis() - hour / 2),
        at("2", "old", now.as_millis() - hour - 60_000),
        at("3", "ahead", now.as_millis() + hour),
    ]);
    stand.send(batch).await.expect(200);
    assert_eq!(stand.users().await, ["past", "ahead"]);
    let claims = stand.claims().await;
    let time = |n: usize| {
        let events = claims[n]["events"].as_object().expect("events");
        events.values().next().expect("one")["event_timestamp"].as_i64().expect("seconds")
    };
    assert_eq!(time(0), (now.as_millis() - hour / 2) / 1000);
    assert!((now.as_secs()..now.as_secs() + 60).contains(&time(1)), "{}", time(1));
    assert_eq!([stand.records("rejected").await, stand.records("time_ahead").await], [1, 1]);
}

/// A stranger at one address cannot try secrets without end, and the sender at the same address is served.
#[actix_web::test]
async fn refused_credentials_are_limited_by_address() {
    let stand = Stand::with("bounds-rates", by_bearer(json!({})), |config| {
        config.public.rates.refused_per_second_max = 2;
    })
    .await;
    let mut seen = Vec::new();
    for _ in 0..20 {
        let answer = stand.call().bearer("wrong").body("{}").send().await;
        seen.push(answer.status.as_u16());
    }
    assert!(seen.contains(&401) && seen.contains(&429), "{seen:?}");
    stand.send(logout("1", "kim")).await.expect(200);
}

/// `event_id_retention` outlives the store's own.
#[actix_web::test]
async fn an_id_is_remembered_for_the_time_of_its_source() {
    let members = by_bearer(json!({"event_id_retention": "4days"}));
    let stand = Stand::with("bounds-ids", members, |config| {
        config.store.event_id_retention = Duration::ZERO;
        config.store.expiry_interval = Duration::from_millis(20);
    })
    .await;
    stand.send(logout("1", "kim")).await.expect(200);
    let publisher = &stand.setup.publisher;
    let publish = async || {
        let mut event = crate::harness::events::about("other");
        event["id"] = "plain".into();
        let url = stand.setup.daemon.internal_url("/events");
        let call = crate::harness::http_client::post(&url).bearer(publisher).json(&event);
        call.send().await.expect(202).json()["events"][0]["status"].clone()
    };
    publish().await;
    // Once an ordinary id is forgotten, the source's is not.
    eventually("ids are forgotten", async || publish().await == "accepted").await;
    stand.send(logout("1", "kim")).await.expect(200);
    assert_eq!(stand.records("duplicate").await, 1);
}

#[actix_web::test]
async fn all_series_of_a_source_begin_at_zero() {
    let stand = Stand::new("bounds-metrics", by_bearer(json!({}))).await;
    let metrics = get(&stand.setup.daemon.internal_url("/metrics")).send().await.expect(200).text();
    for (metric, label, value) in [
        ("requests_total", "outcome", "accepted"),
        ("requests_total", "outcome", "overload"),
        ("records_total", "outcome", "rejected"),
        ("auth_failures_total", "reason", "wrong"),
    ] {
        let series = format!(
            r#"ssfd_source_{metric}{{provider="bounds-metrics",source="kc",{label}="{value}"}} 0"#
        );
        assert!(metrics.contains(&series), "{series}");
    }
    assert!(metrics.contains(r#"ssfd_source_held{provider="bounds-metrics",source="kc"} 0"#));
    stand.call().bearer(&SECRET[1..]).send().await.expect(401);
    assert_eq!(stand.refusals("wrong").await, 1);
}
