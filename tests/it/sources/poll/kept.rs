//! The position, and what operators see of a poll.

use serde_json::json;
use ssfd::store::records::poll_position::PollPositionStore as _;

use super::{polling, providers::Provider};
use crate::{
    harness::{eventually, http_client::get},
    sources::{SOURCE, Stand},
};

/// A source that has never reached its provider begins where it began first.
#[actix_web::test]
async fn the_start_is_kept_before_the_first_answer() {
    let provider = Provider::by_time().await;
    provider.answer_always(Some(crate::scripted_server::Reply::status(500)));
    let table = polling(&provider, json!({"start": "now", "overlap": "0s"}));
    let mut stand = Stand::polls("poll-kept-start", &table).await;
    let failed = async || stand.rounds("status").await != 0;
    eventually("the provider is asked", failed).await;
    let name = stand.setup.daemon.provider().parse().expect("a name");
    let source = SOURCE.parse().expect("a name");
    let position = async |stand: &Stand| {
        let all =
            stand.setup.daemon.store().poll_positions(&name, &source).await.expect("readable");
        assert_eq!(all.len(), 1);
        all[0].clone()
    };
    let before = position(&stand).await;
    assert_eq!(before.url, provider.url("/events"));
    stand.setup.daemon.restart().await;
    let served = provider.show(&[0], "u");
    provider.answer_always(None);
    stand.has_users(&served).await;
    stand.rounds_pass(1).await;
    let after = position(&stand).await;
    assert_eq!((after.newest, after.next), (served[0].at.as_millis(), None));
    assert!(before.newest < after.newest);
}

#[actix_web::test]
async fn operators_see_the_position_the_last_round_and_the_last_error() {
    let provider = Provider::by_time().await;
    let stand = Stand::polls("poll-seen", &polling(&provider, json!({}))).await;
    let served = provider.show(&[0], "u");
    stand.has_users(&served).await;
    stand.rounds_pass(1).await;
    let operator = stand.setup.daemon.operator_token().await;
    let url = stand.setup.daemon.internal_url("/admin/v1/sources/poll-seen/kc");
    let show = async || {
        let answer = get(&url).bearer(&operator).send().await.expect(200).json();
        answer["polls"].as_array().expect("a list").clone()
    };
    let polls = show().await;
    assert_eq!(polls.len(), 1);
    assert_eq!(polls[0]["url"], provider.url("/events"));
    assert_eq!(polls[0]["newest"], served[0].at.as_secs());
    assert_eq!((&polls[0]["polls_here"], &polls[0]["failures"]), (&json!(true), &json!(0)));
    assert_eq!(polls[0]["last_round"]["outcome"], "complete");
    assert_eq!(polls[0].get("last_error"), None);

    provider.answer_next([crate::scripted_server::Reply::status(403)]);
    provider.gave_all().await;
    stand.rounds_pass(1).await;
    let polls = show().await;
    let error = polls[0]["last_error"]["error"].as_str().expect("an error");
    assert!(error.contains("status 403") && error.contains("`poll.auth`"), "{error}");
    assert_eq!(polls[0]["failures"], 0);
    let lag = format!(
        r#"ssfd_source_poll_lag_seconds{{provider="poll-seen",source="kc",url="{}"}}"#,
        provider.url("/events")
    );
    let current = async || stand.setup.daemon.metric(&lag).await < 60.0;
    eventually("the lag is small", current).await;
}

/// A poll waits where the cap of a minute would hold events, so that a backlog asks nobody to release it.
#[actix_web::test]
async fn a_backlog_is_taken_in_minute_by_minute_and_not_held() {
    let provider = Provider::by_time().await;
    let served = provider.show(&[9_000, 8_000, 7_000, 6_000, 5_000, 4_000, 3_000], "u");
    let mut table = polling(&provider, json!({}));
    table["events_per_minute_max"] = 5.into();
    let stand = Stand::polls("poll-cap", &table).await;
    stand.has_users(&served[..5]).await;
    let degraded = stand.setup.daemon.readiness().await.expect(200).json()["degraded"].to_string();
    assert_eq!(degraded, "null");
    assert_eq!((stand.held().await, stand.records("held").await), (0, 0));
    assert_eq!(stand.users().await.len(), 5, "the others wait");
}

/// A source may be polled and get webhooks. Each record gives one SET, whichever way it comes first.
#[actix_web::test]
async fn a_source_that_is_polled_may_get_webhooks_too() {
    let provider = Provider::by_time().await;
    let mut table = polling(&provider, json!({}));
    table["auth"] = json!({"scheme": "bearer", "secret_files": ["SECRET"]});
    let stand = Stand::polls("poll-both", &table).await;
    let mut served = provider.show(&[0], "polled");
    stand.has_users(&served).await;
    stand.send(served[0].record()).await.expect(200);
    // The provider sends before its API shows the record.
    let at = ssfd::clock::now();
    let record = json!({
        "type": "LOGOUT", "id": "sent", "user": "sent", "session": "s", "time": at.as_millis(),
    });
    stand.send(&record).await.expect(200);
    served.push(provider.show_record(at, "sent", record));
    let known = async || stand.polled("known").await == 1;
    eventually("the sent record is polled", known).await;
    stand.rounds_pass(1).await;
    stand.has_users(&served).await;
    assert_eq!((stand.polled("new").await, stand.records("duplicate").await), (1, 2));
}

/// A round whose records cannot be held begins anew, and nothing is lost.
#[actix_web::test]
async fn rejected_and_dropped_records_hold_nothing_up_and_are_kept_once() {
    let provider = Provider::by_time().await;
    let at = ssfd::clock::now();
    for (n, kind) in ["REFUSED", "NOISE", "ODD", "UNKNOWN"].into_iter().enumerate() {
        let record = json!({"type": kind, "id": n.to_string(), "time": at.as_millis()});
        provider.show_record(at, "nobody", record);
    }
    let served = provider.show(&[0], "u");
    let stand = Stand::polls("poll-rejected", &polling(&provider, json!({}))).await;
    stand.has_users(&served).await;
    stand.rounds_pass(1).await;
    let counts = (stand.records("rejected").await, stand.records("alarm").await);
    assert_eq!((counts, stand.records("dropped").await), ((1, 1), 2));
}
