//! Nothing is lost and nothing comes twice in any way to fail, and an operator is told.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::{StreamExt as _, stream};
use serde_json::{Value, json};

use super::{
    polling,
    providers::{Provider, json_reply},
};
use crate::{
    harness::eventually,
    raw_server::{Answer, RawServer, Then},
    scripted_server::Reply,
    sources::Stand,
};

/// Returns the texts of `/readyz` about parts that an operator should look at.
async fn degraded(stand: &Stand) -> String {
    let answer = stand.setup.daemon.readiness().await.expect(200).json();
    answer["degraded"].to_string()
}

/// A way to fail, the outcome that it is counted by, and whether an operator is told at once.
type Fault = (&'static str, Reply, &'static str, bool);

fn faults() -> Vec<Fault> {
    let json = &[("content-type", "application/json")][..];
    let with = |headers: &[(&'static str, &'static str)], status| Reply::full(status, headers, "");
    let large = json!([{"type": "NOISE", "padding": "x".repeat(70_000)}]);
    vec![
        ("an error", Reply::status(500), "status", false),
        ("unavailable", with(&[("retry-after", "0")], 503), "status", false),
        ("too many requests", with(&[("retry-after", "0")], 429), "throttled", false),
        ("a rate that begins anew", with(&[("x-rate-limit-reset", "1")], 429), "throttled", false),
        ("a refusal", Reply::status(401), "unauthorized", true),
        ("no right", Reply::status(403), "forbidden", true),
        ("another path", Reply::status(404), "not_found", true),
        ("a redirect", with(&[("location", "http://127.0.0.1:1/")], 302), "status", true),
        ("a page that is empty by mistake", Reply::status(204), "status", false),
        ("no answer", Reply::Nothing, "unreachable", false),
        ("an endless answer", Reply::Never, "timeout", false),
        (
            "a web page",
            Reply::full(200, &[("content-type", "text/html")], "<html>"),
            "malformed",
            true,
        ),
        (
            "half a page",
            Reply::full(200, json, r#"[{"type": "LOGOUT", "id": "1""#),
            "malformed",
            true,
        ),
        ("no list", json_reply(&json!({"error": "later"}), &[]), "malformed", true),
        ("a large page", json_reply(&large, &[]), "too_large", true),
        (
            "descending order",
            json_reply(
                &json!([{"time": 1_775_000_000_001_i64}, {"time": 1_775_000_000_000_i64}]),
                &[],
            ),
            "malformed",
            true,
        ),
        ("no times", json_reply(&json!([{"type": "LOGOUT"}]), &[]), "malformed", true),
    ]
}

/// A provider that fails in each way, between two pages and before the first one.
#[actix_web::test]
async fn after_a_fault_nothing_is_missing_and_nothing_comes_twice() {
    /// Most of the time is spent on waiting.
    const AT_ONCE: usize = 6;
    let cases = stream::iter(faults().into_iter().enumerate());
    cases.for_each_concurrent(AT_ONCE, |(n, fault)| fails(n, fault)).await;
}

async fn fails(n: usize, (what, reply, outcome, told): Fault) {
    let provider = Provider::by_time().await;
    let mut served = provider.show(&[9_000, 8_000, 7_000, 6_000, 5_000], "u");
    let timeout = if outcome == "timeout" { "200ms" } else { "10s" };
    let members = json!({"page_size": 2, "page_bytes_max": 65_536, "timeout": timeout});
    let table = polling(&provider, members);
    let page = json_reply(&json!([served[0].record(), served[1].record()]), &[]);
    provider.answer_next([page, reply.clone()]);
    let name = format!("poll-fault-{n}");
    let stand = Stand::polls(&name, &table).await;
    stand.has_users(&served).await;
    assert_eq!(stand.rounds(outcome).await != 0, outcome != "too_large", "{what}");
    stand.rounds_pass(1).await;
    assert_eq!(degraded(&stand).await, "null", "{what}");

    provider.answer_always(Some(reply));
    served.extend(provider.show(&[0], "v"));
    let least = if told { 2 } else { 4 };
    let failed = async || least <= stand.rounds(outcome).await;
    eventually(what, failed).await;
    let told_of = degraded(&stand).await;
    assert!(told_of.contains("cannot poll http://127.0.0.1"), "{what}: {told_of}");
    provider.answer_always(None);
    stand.has_users(&served).await;
    stand.rounds_pass(1).await;
    assert_eq!(degraded(&stand).await, "null", "{what}");
    stand.has_users(&served).await;
}

/// The connection is cut in the middle of a body, or nothing more comes, or the body has no end.
#[actix_web::test]
async fn a_body_that_is_cut_is_asked_for_again() {
    let record = r#"{"type":"LOGOUT","id":"1","user":"kim","session":"s","time":1}"#;
    let now = ssfd::clock::now().as_millis().to_string();
    let record = record.replace("1}", &format!("{now}}}"));
    let head =
        |more: &str| format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n{more}\r\n\r\n");
    let length = format!("content-length: {}", record.len() + 2);
    for (n, (begun, then, outcome)) in [
        (format!("{}[{record}", head(&length)), Then::Close, "unreachable"),
        (format!("{}[{record}", head(&length)), Then::Silence, "timeout"),
        (
            format!(
                "{}{:x}\r\n[{record}\r\n",
                head("transfer-encoding: chunked"),
                record.len() + 1
            ),
            Then::Close,
            "unreachable",
        ),
        (head("connection: close"), Then::Flood(b"[[[[[[[[".to_vec()), "too_large"),
        (format!("{}[{record}", head("connection: close")), Then::Close, "malformed"),
    ]
    .into_iter()
    .enumerate()
    {
        let (whole, failed) =
            (format!("{}[{record}]", head(&length)), Arc::new(AtomicBool::new(false)));
        let seen = Arc::clone(&failed);
        let server = RawServer::start_plain(move |_, _| {
            if seen.load(Ordering::SeqCst) {
                Answer::new(whole.clone(), Then::GoOn)
            } else {
                Answer::new(begun.clone(), then.clone())
            }
        })
        .await;
        let url = format!("{}?since={{since}}", server.url_of("127.0.0.1"));
        let timeout = if outcome == "timeout" { "300ms" } else { "10s" };
        let provider = Provider::by_time().await;
        let members = json!({"urls": url, "timeout": timeout, "page_bytes_max": 100_000});
        let table = polling(&provider, members);
        let stand = Stand::polls(&format!("poll-cut-{n}"), &table).await;
        let seen = async || 2 <= stand.rounds(outcome).await;
        eventually("the cut is seen", seen).await;
        assert!(stand.users().await.is_empty());
        failed.store(true, Ordering::SeqCst);
        stand.rounds_pass(1).await;
        assert_eq!(stand.users().await, ["kim"]);
    }
}

#[actix_web::test]
async fn a_provider_that_asks_for_patience_gets_it() {
    let provider = Provider::by_time().await;
    let throttled = Reply::full(429, &[("retry-after", "3000")], "");
    provider.answer_next([throttled]);
    let stand = Stand::polls("poll-patience", &polling(&provider, json!({}))).await;
    let throttled = async || stand.rounds("throttled").await == 1;
    eventually("the answer is seen", throttled).await;
    provider.show(&[0], "u");
    // Other requests of the daemon take their time, and no page is asked for meanwhile.
    for _ in 0..3 {
        stand.setup.daemon.readiness().await.expect(200);
    }
    assert_eq!(provider.asked().len(), 1);
    let state = &show(&stand).await["polls"][0];
    assert_eq!(state["last_round"]["outcome"], "throttled");
}

/// Reads what operators see of the source.
async fn show(stand: &Stand) -> Value {
    let operator = stand.setup.daemon.operator_token().await;
    let provider = stand.setup.daemon.provider();
    let url = format!("/admin/v1/sources/{provider}/kc");
    let url = stand.setup.daemon.internal_url(&url);
    crate::harness::http_client::get(&url).bearer(&operator).send().await.expect(200).json()
}

/// A page that is too large is asked for in halves, so one large record among small ones holds nothing up.
#[actix_web::test]
async fn a_page_that_is_too_large_is_asked_for_in_halves() {
    let provider = Provider::by_time().await;
    let served = provider.show(&[9_000, 8_000, 7_000, 6_000, 5_000, 4_000], "u");
    let at = ssfd::clock::now() - Duration::from_secs(6);
    let padding = "x".repeat(3_000);
    for n in 0..6 {
        let record = json!({"type": "NOISE", "id": format!("n-{n}"), "time": at.as_millis(), "padding": padding});
        provider.show_record(at, "nobody", record);
    }
    let members = json!({"page_size": 16, "page_bytes_max": 10_000});
    let stand = Stand::polls("poll-halves", &polling(&provider, members)).await;
    stand.has_users(&served).await;
    stand.rounds_pass(1).await;
    assert_eq!(stand.rounds("too_large").await, 0);
    assert!(
        provider.asked().iter().any(|target| target.ends_with("max=4")),
        "{:?}",
        provider.asked()
    );
}

/// A token endpoint that refuses the client.
#[actix_web::test]
async fn a_client_that_is_refused_is_told() {
    for (n, (client_auth, secret_is_right)) in
        [("basic", true), ("post", true), ("basic", false), ("post", false)].into_iter().enumerate()
    {
        let provider = Provider::start(|state, request| {
            if state.knows_token(request) {
                json_reply(&json!([]), &[])
            } else {
                Reply::status(401)
            }
        })
        .await;
        let id = if secret_is_right { super::providers::CLIENT } else { "another" };
        let auth = json!({
            "token_url": provider.url("/token"), "client_id": id, "client_secret_file": "SECRET",
            "client_auth": client_auth, "scope": "read:logs",
        });
        let table = polling(&provider, json!({"auth": auth}));
        let stand = Stand::polls(&format!("poll-client-{n}"), &table).await;
        if secret_is_right {
            stand.rounds_pass(1).await;
            assert_eq!(provider.token_requests(), 1);
            continue;
        }
        let failed = async || stand.rounds("token").await != 0;
        eventually("the refusal is seen", failed).await;
        let told_of = degraded(&stand).await;
        assert!(told_of.contains("check `poll.auth`"), "{told_of}");
        assert!(provider.asked().is_empty(), "nothing is asked without a token");
    }
}
