//! The preset `auth0` at an API that pages as the tenant logs do.

use serde_json::{Value, json};
use ssfd::{clock, domain::time::Timestamp};

use super::providers::{CLIENT, Provider, Request, Served, State, json_reply};
use crate::{
    scripted_server::Reply,
    sources::{SECRET, Stand},
};

/// By checkpoint, the logs behind a `log_id` in their order, 3 at most; by search, those of a range of times.
fn pages(state: &State, request: &Request<'_>) -> Reply {
    if request.path != "/api/v2/logs" {
        return Reply::status(404);
    }
    if !state.knows_token(request) {
        return Reply::status(401);
    }
    if let Some(from) = request.text("from") {
        let is = |served: &&Served| served.record()["log_id"] == from;
        let Some(at) = state.records.iter().position(|served| is(&served)) else {
            return Reply::status(400);
        };
        let take =
            usize::try_from(request.number("take").expect("a number")).expect("not negative");
        let (records, _) = state.behind(at + 1, take.min(3));
        return json_reply(&records.into(), &[]);
    }
    let query = request.text("q").expect("a search");
    let since = query.strip_prefix("date:[").and_then(|rest| rest.strip_suffix(" TO *]"));
    let since =
        humantime_serde::re::humantime::parse_rfc3339(since.expect("a range")).expect("a time");
    let since = since.duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    assert_eq!((request.text("sort"), request.number("per_page")), (Some("date:1"), Some(1)));
    let (records, _) = state.behind(state.first_since(Timestamp::EPOCH + since), 1);
    json_reply(&records.into(), &[])
}

/// A log of a user who signs out.
fn log(user: &str) -> Value {
    json!({
        "log_id": format!("9002-{user}"), "_id": format!("9002-{user}"), "date": clock::now().to_rfc3339(),
        "type": "slo", "client_id": "c1", "ip": "203.0.113.9", "user_id": user,
        "user_name": format!("{user}@corp.example"), "details": {"session_id": format!("s-{user}")},
    })
}

fn show(provider: &Provider, user: &str) -> Served {
    provider.show_record(clock::now(), user, log(user))
}

fn table(provider: &Provider) -> Value {
    json!({
        "preset": "auth0",
        "vars": {"issuer": "https://corp.eu.auth0.example/", "domain": provider.url("")},
        "auth": {"secret_files": ["SECRET"]},
        "poll": {
            "interval": "100ms", "start": "1h",
            "auth": {"client_id": CLIENT, "client_secret_file": "SECRET"},
        },
    })
}

#[actix_web::test]
async fn the_stream_and_the_poll_give_one_set_for_each_log() {
    let provider = Provider::start(pages).await;
    let mut stand = Stand::polls("poll-auth0", &table(&provider)).await;
    let stream = async |stand: &Stand, users: &[&str]| {
        let logs = users.iter().map(|user| {
            let log = log(user);
            json!({"log_id": log["log_id"], "data": log})
        });
        let body = Value::Array(logs.collect());
        stand.call().header("authorization", SECRET).json(&body).send().await.expect(200);
    };
    stream(&stand, &["u-0", "u-1"]).await;
    let mut served: Vec<_> = (0..8).map(|n| show(&provider, &format!("u-{n}"))).collect();
    stand.has_users(&served).await;
    stream(&stand, &["u-5"]).await;
    stand.rounds_pass(1).await;
    stand.has_users(&served).await;
    assert_eq!((stand.polled("new").await, stand.polled("known").await), (6, 2));

    stand.setup.daemon.stop().await;
    served.extend((8..12).map(|n| show(&provider, &format!("u-{n}"))));
    let asked = provider.asked().len();
    stand.setup.daemon.start_again().await;
    stand.has_users(&served).await;
    let first = &provider.asked()[asked];
    assert!(
        first.contains("from=9002-u-7&take=100"),
        "the poll goes on at the checkpoint: {first}"
    );
    let form = provider.seen().into_iter().find(|seen| seen.target == "/oauth/token");
    let form =
        String::from_utf8(form.expect("a token was asked for").body.to_vec()).expect("a form");
    assert!(form.contains("audience=http%3A%2F%2F127.0.0.1"), "{form}");
}

/// Logs are kept for some days, so a checkpoint may be gone.
#[actix_web::test]
async fn a_checkpoint_that_is_gone_is_looked_up_by_its_time() {
    let provider = Provider::start(pages).await;
    let mut served: Vec<_> = (0..3).map(|n| show(&provider, &format!("u-{n}"))).collect();
    let stand = Stand::polls("poll-auth0-gone", &table(&provider)).await;
    stand.has_users(&served).await;
    stand.rounds_pass(1).await;
    provider.change(|state| state.records.clear());
    served.extend((3..6).map(|n| show(&provider, &format!("u-{n}"))));
    stand.has_users(&served).await;
    stand.rounds_pass(1).await;
    stand.has_users(&served).await;
}
