//! The ways of paging, each at a provider that pages so.

use std::time::Duration;

use serde_json::{Value, json};
use ssfd::{clock, domain::time::Timestamp};

use super::{
    polling,
    providers::{Provider, Request, json_reply},
};
use crate::{harness::eventually, scripted_server::Reply, sources::Stand};

fn since(request: &Request<'_>) -> Timestamp {
    Timestamp::from_millis(request.number("since").expect("a time"))
}

/// A provider whose list is inside a document, with a cursor beside it: the number of records that were read.
async fn by_cursor() -> Provider {
    Provider::start(|state, request| {
        let cursor = request.number("cursor").map(|n| usize::try_from(n).expect("not negative"));
        let max = cursor.map_or(1, |_| 2);
        let number = cursor.unwrap_or_else(|| state.first_since(since(request)));
        let (records, end) = state.behind(number, max);
        let next = if records.is_empty() { Value::Null } else { json!(end) };
        json_reply(&json!({"data": {"records": records}, "next": next}), &[])
    })
    .await
}

/// A provider whose `Link` header leads on, also from its end.
async fn by_link() -> Provider {
    Provider::start(|state, request| {
        let after = request.number("after").map(|n| usize::try_from(n).expect("not negative"));
        let number = after.unwrap_or_else(|| state.first_since(since(request)));
        let (records, end) = state.behind(number, 2);
        let host = request.header("host").expect("a host");
        let link = format!(
            "<http://{host}/logs?x>; rel=\"self\", <http://{host}/logs?after={end}>; rel=\"next\""
        );
        json_reply(&records.into(), &[("link", &link)])
    })
    .await
}

/// Returns a table for each way of paging, with its provider.
async fn ways() -> Vec<(&'static str, Provider, Value)> {
    let (time, link, cursor) = (Provider::by_time().await, by_link().await, by_cursor().await);
    let of_link = json!({"urls": link.url("/logs?since={since}"), "paging": "link", "auth": null});
    let of_cursor = json!({
        "urls": cursor.url("/c?cursor={cursor}"), "start_urls": cursor.url("/c?since={since}"),
        "paging": "cursor", "records": "/data/records", "cursor": "/next", "auth": null,
    });
    let tables = [polling(&time, json!({})), polling(&link, of_link), polling(&cursor, of_cursor)];
    let named = ["time", "link", "cursor"].into_iter().zip([time, link, cursor]).zip(tables);
    named.map(|((name, provider), table)| (name, provider, table)).collect()
}

/// Several pages, new records, and the daemon is stopped meanwhile.
#[actix_web::test]
async fn each_record_gives_one_set_over_restarts() {
    for (way, provider, table) in ways().await {
        let mut served = provider.show(&[9_000, 8_000, 7_000, 6_000, 5_000, 4_000, 3_000], "a");
        let mut stand = Stand::polls(&format!("poll-way-{way}"), &table).await;
        stand.has_users(&served).await;
        served.extend(provider.show(&[0, 0, 0], "b"));
        stand.has_users(&served).await;
        stand.setup.daemon.stop().await;
        served.extend(provider.show(&[0, 0, 0, 0, 0], "c"));
        stand.setup.daemon.start_again().await;
        stand.has_users(&served).await;
        stand.rounds_pass(1).await;
        stand.has_users(&served).await;
        assert_eq!(stand.polled("new").await, served.len() as u64, "{way}");
    }
}

/// A provider that gives fewer records than it is asked for, many of them at one time.
#[actix_web::test]
async fn a_provider_with_smaller_pages_is_read_to_its_end() {
    let provider = Provider::by_time().await;
    provider.change(|state| state.page_max = Some(2));
    let mut served = provider.show(&[9_000, 8_000, 8_000, 8_000, 8_000, 7_000, 6_000], "a");
    let stand = Stand::polls("poll-small", &polling(&provider, json!({}))).await;
    stand.has_users(&served).await;
    served.extend(provider.show(&[1_000, 1_000, 1_000, 0], "b"));
    stand.has_users(&served).await;
}

/// A source that begins now leaves out the past, and one that begins with an age takes it in.
#[actix_web::test]
async fn a_source_begins_where_it_is_told() {
    for (way, provider, table) in ways().await {
        let hour = 3_600_000;
        provider.show(&[5 * hour, 3 * hour], "old");
        for (start, ages) in [("now", &[][..]), ("2h", &[hour]), ("4h", &[hour])] {
            let mut table = table.clone();
            table["poll"]["start"] = start.into();
            let mut expected = provider.show(ages, start);
            if start == "4h" {
                expected = provider.show(&[], "none");
            }
            let stand = Stand::polls(&format!("poll-start-{way}-{start}"), &table).await;
            stand.rounds_pass(1).await;
            if start == "now" {
                expected = provider.show(&[0], "first");
            }
            let users = async || !stand.users().await.is_empty();
            eventually("the first event arrives", users).await;
            stand.rounds_pass(1).await;
            let has = stand.users().await;
            assert!(
                expected.iter().all(|record| has.contains(&record.user)),
                "{way}, {start}: {has:?}"
            );
            assert!(!has.contains(&"old-0".to_owned()), "{way}, {start}: {has:?}");
            assert_eq!(has.contains(&"old-1".to_owned()), start == "4h", "{way}, {start}: {has:?}");
        }
    }
}

/// A round makes so many requests and no more, and the next one goes on where it ended.
#[actix_web::test]
async fn a_round_is_bounded_and_the_next_goes_on() {
    for (way, provider, mut table) in ways().await {
        table["poll"]["pages_max"] = 1.into();
        let ages: Vec<_> = (0..12).map(|n| 20_000 - n * 1_000).collect();
        let served = provider.show(&ages, "u");
        let stand = Stand::polls(&format!("poll-bounded-{way}"), &table).await;
        stand.has_users(&served).await;
        assert!(2 <= stand.rounds("continued").await, "{way}");
        stand.rounds_pass(1).await;
    }
}

/// A provider that leads in a circle. The records of the circle are taken in, and it is told.
#[actix_web::test]
async fn a_circle_of_pages_is_noticed() {
    let link = Provider::start(|state, request| {
        let (records, _) = state.behind(0, 2);
        let host = request.header("host").expect("a host");
        let next = if request.text("page") == Some("1") { 2 } else { 1 };
        json_reply(&records.into(), &[("link", &format!("<http://{host}/?page={next}>; rel=next"))])
    })
    .await;
    let cursor = Provider::start(|state, _| {
        let (records, _) = state.behind(0, 2);
        json_reply(&json!({"list": records, "next": "again"}), &[])
    })
    .await;
    let by_link = json!({"urls": link.url("/?since={since}"), "paging": "link", "auth": null});
    let by_cursor = json!({
        "urls": cursor.url("/?c={cursor}"), "start_urls": cursor.url("/?s={since}"), "auth": null,
        "paging": "cursor", "records": "/list", "cursor": "/next",
    });
    for (n, (provider, members)) in [(link, by_link), (cursor, by_cursor)].into_iter().enumerate() {
        let served = provider.show(&[2_000, 1_000], "u");
        let stand = Stand::polls(&format!("poll-circle-{n}"), &polling(&provider, members)).await;
        stand.has_users(&served).await;
        let noticed = async || 2 <= stand.rounds("loop").await;
        eventually("the circle is noticed", noticed).await;
        let degraded =
            stand.setup.daemon.readiness().await.expect(200).json()["degraded"].to_string();
        assert!(degraded.contains("read already"), "{degraded}");
        stand.has_users(&served).await;
    }
}

/// A link elsewhere would get the credential.
#[actix_web::test]
async fn a_link_to_another_origin_is_not_followed() {
    let other = Provider::by_time().await;
    let provider = Provider::start(|_, _| Reply::status(500)).await;
    let link = format!("<{}>; rel=next", other.url("/"));
    provider.answer_always(Some(json_reply(&json!([{"type": "NOISE"}]), &[("link", &link)])));
    let members = json!({"urls": provider.url("/"), "paging": "link"});
    let stand = Stand::polls("poll-foreign", &polling(&provider, members)).await;
    let noticed = async || 2 <= stand.rounds("malformed").await;
    eventually("the link is refused", noticed).await;
    assert!(other.seen().is_empty());
}

/// The provider has forgotten the cursor of a source, for example because it was away for long.
#[actix_web::test]
async fn a_place_that_the_provider_has_forgotten_is_looked_up_by_time() {
    for (way, provider, table) in ways().await.into_iter().skip(1) {
        let mut served = provider.show(&[9_000, 8_000, 7_000], "a");
        let stand = Stand::polls(&format!("poll-forgotten-{way}"), &table).await;
        stand.has_users(&served).await;
        stand.rounds_pass(1).await;
        let asked = provider.asked().len();
        provider.answer_next([Reply::status(400)]);
        served.extend(provider.show(&[0, 0], "b"));
        stand.has_users(&served).await;
        let since =
            provider.asked().into_iter().skip(asked).filter(|one| one.contains("since=")).count();
        assert_eq!(since, 1, "{way}");
        assert_eq!(stand.rounds("status").await, 0, "{way}");
    }
}

/// A provider that shows a record after newer ones.
#[actix_web::test]
async fn a_record_that_is_shown_late_is_taken_in() {
    let provider = Provider::by_time().await;
    let table = polling(&provider, json!({"overlap": "30s"}));
    let mut served = provider.show(&[1_000, 500], "early");
    let stand = Stand::polls("poll-late", &table).await;
    stand.has_users(&served).await;
    stand.rounds_pass(1).await;
    for age in [20_000, 10_000, 5_000] {
        served.extend(provider.show(&[age], &format!("late-{age}")));
        stand.has_users(&served).await;
    }
    // A clock of the provider that is ahead of ours, and a record of the next century.
    let ahead = clock::now() + Duration::from_mins(2);
    let record = |id: &str, at: Timestamp| json!({"type": "LOGOUT", "id": id, "user": id, "session": "s", "time": at.as_millis()});
    served.push(provider.show_record(ahead, "ahead", record("ahead", ahead)));
    let far = Timestamp::from_millis(4_102_444_800_000);
    served.push(provider.show_record(far, "far", record("far", far)));
    stand.has_users(&served).await;
    served.extend(provider.show(&[0], "now"));
    stand.has_users(&served).await;
    stand.rounds_pass(1).await;
    stand.has_users(&served).await;
}
