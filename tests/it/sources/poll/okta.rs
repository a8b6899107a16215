//! The preset `okta` at an API that pages as the System Log does.

use serde_json::{Value, json};
use ssfd::{clock, domain::time::Timestamp};

use super::providers::{Provider, Request, Served, State, json_reply};
use crate::{
    harness::eventually,
    scripted_server::Reply,
    sources::{SECRET, SOURCE, Stand},
};

/// Serves records in the order in which they were stored. Each answer links to the next one, also the last.
fn pages(state: &State, request: &Request<'_>) -> Reply {
    if request.header("authorization") != Some(&format!("SSWS {SECRET}")) {
        return Reply::status(401);
    }
    if request.path != "/api/v1/logs" || request.text("sortOrder") != Some("ASCENDING") {
        return Reply::status(400);
    }
    let number = match (request.number("after"), request.text("since")) {
        (Some(after), _) => usize::try_from(after).expect("not negative"),
        (None, Some(since)) => {
            let since = humantime_of(since);
            state.first_since(since)
        }
        (None, None) => return Reply::status(400),
    };
    let limit = usize::try_from(request.number("limit").expect("a number")).expect("not negative");
    let (records, end) = state.behind(number, limit.min(3));
    let host = request.header("host").expect("a host");
    let own = format!("http://{host}/api/v1/logs?sortOrder=ASCENDING&limit={limit}");
    let link = format!("<{own}>; rel=\"self\", <{own}&after={end}>; rel=\"next\"");
    json_reply(&records.into(), &[("link", &link)])
}

/// Reads a time with milliseconds, as Okta wants it.
fn humantime_of(text: &str) -> Timestamp {
    assert_eq!(text.len(), "2026-04-02T08:00:00.120Z".len(), "{text}");
    let at = humantime_serde::re::humantime::parse_rfc3339(text).expect("RFC 3339");
    let since = at.duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    Timestamp::EPOCH + since
}

/// A record of a user who signs out.
fn session_end(user: &str) -> Value {
    json!({
        "uuid": format!("uuid-{user}"), "published": clock::now().to_rfc3339(),
        "eventType": "user.session.end", "outcome": {"result": "SUCCESS"},
        "actor": {"id": user, "type": "User", "alternateId": format!("{user}@corp.example")},
        "authenticationContext": {"externalSessionId": format!("102{user}")},
        "transaction": {"id": "t-1"}, "target": [],
    })
}

fn show(provider: &Provider, user: &str) -> Served {
    provider.show_record(clock::now(), user, session_end(user))
}

fn table(provider: &Provider) -> Value {
    json!({
        "preset": "okta",
        "vars": {"issuer": "https://corp.okta.example", "org": provider.url("")},
        "auth": {"secret_files": ["SECRET"]},
        "poll": {"interval": "100ms", "start": "1h", "auth": {"secret_file": "SECRET"}},
    })
}

/// The hook sends a part of the records, and the poll brings all.
#[actix_web::test]
async fn the_hook_and_the_poll_give_one_set_for_each_record() {
    let provider = Provider::start(pages).await;
    let mut stand = Stand::polls("poll-okta", &table(&provider)).await;
    let hook = async |stand: &Stand, users: &[&str]| {
        let events: Vec<_> = users.iter().map(|user| session_end(user)).collect();
        let body = json!({"eventType": "com.okta.event_hook", "data": {"events": events}});
        stand.call().header("authorization", SECRET).json(&body).send().await.expect(204);
    };
    hook(&stand, &["u-0", "u-1"]).await;
    let mut served: Vec<_> = (0..8).map(|n| show(&provider, &format!("u-{n}"))).collect();
    stand.has_users(&served).await;
    // The hook may come late as well.
    hook(&stand, &["u-5"]).await;
    stand.rounds_pass(1).await;
    stand.has_users(&served).await;
    assert_eq!((stand.polled("new").await, stand.polled("known").await), (6, 2));

    stand.setup.daemon.stop().await;
    served.extend((8..12).map(|n| show(&provider, &format!("u-{n}"))));
    let asked = provider.asked().len();
    stand.setup.daemon.start_again().await;
    stand.has_users(&served).await;
    let first = &provider.asked()[asked];
    assert!(first.contains("after=8"), "the poll goes on at the link: {first}");
}

/// Okta says when its rate begins anew, by its own clock.
#[actix_web::test]
async fn the_rate_of_okta_is_respected() {
    let provider = Provider::start(pages).await;
    let headers = [
        ("x-rate-limit-limit", "120"),
        ("x-rate-limit-remaining", "0"),
        ("x-rate-limit-reset", "1775003600"),
        // An hour before, and far from our clock.
        ("date", "Tue, 31 Mar 2026 23:33:20 GMT"),
    ];
    provider.answer_next([Reply::full(429, &headers, "")]);
    let stand = Stand::polls("poll-okta-rate", &table(&provider)).await;
    let throttled = async || stand.rounds("throttled").await == 1;
    eventually("the answer is seen", throttled).await;
    show(&provider, "kim");
    for _ in 0..5 {
        stand.setup.daemon.readiness().await.expect(200);
    }
    assert_eq!((provider.asked().len(), SOURCE), (1, "kc"));
}
