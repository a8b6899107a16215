//! The preset `keycloak-rest` at an API that pages as that of Keycloak 26.7 does.

use std::time::Duration;

use serde_json::{Value, json};
use ssfd::{clock, domain::time::Timestamp};

use super::providers::{CLIENT, Provider, Request, Served, State, json_reply};
use crate::{
    scripted_server::Reply,
    sources::{SECRET, SOURCE, Stand},
};

/// The admin's id, which no event may be about.
const ADMINISTRATOR: &str = "1be5d3aa-db40-444b-8540-ba6c0756587c";

/// Serves both lists: an event of an administrator has `operationType`. The newest comes first unless
/// `direction` says otherwise, and a time that is no number is refused.
fn pages(state: &State, request: &Request<'_>) -> Reply {
    if !state.knows_token(request) {
        return Reply::status(401);
    }
    let Some(since) = request.number("dateFrom") else { return Reply::status(400) };
    let of_admin = match request.path {
        "/admin/realms/staff/events" => false,
        "/admin/realms/staff/admin-events" => true,
        _ => return Reply::status(404),
    };
    let is_in_list = |record: &Value| record.get("operationType").is_some() == of_admin;
    let mut records = state.only(is_in_list).since(Timestamp::from_millis(since), request);
    if request.text("direction") != Some("asc") {
        records.reverse();
    }
    json_reply(&records.into(), &[])
}

fn logout(provider: &Provider, user: &str, age: Duration) -> Served {
    let at = clock::now() - age;
    let record = json!({
        "id": format!("e-{user}"), "time": at.as_millis(), "type": "LOGOUT", "realmId": "6a5d436f",
        "clientId": "portal", "userId": user, "ipAddress": "203.0.113.9", "sessionId": "abop0tUfkPNri8mvyq4EjQbm",
    });
    provider.show_record(at, user, record)
}

fn disabled(provider: &Provider, user: &str, age: Duration) -> Served {
    let at = clock::now() - age;
    let record = json!({
        "id": format!("a-{user}"), "time": at.as_millis(), "realmId": "6a5d436f",
        "authDetails": {"realmId": "a54c98ab", "clientId": "888219a4", "userId": ADMINISTRATOR},
        "operationType": "UPDATE", "resourceType": "USER", "resourcePath": format!("users/{user}"),
        "representation": "{\"enabled\":false}",
    });
    provider.show_record(at, user, record)
}

fn table(provider: &Provider) -> Value {
    json!({
        "preset": "keycloak-rest",
        "vars": {"issuer": provider.url("/realms/staff"), "admin": provider.url("/admin/realms/staff")},
        "poll": {
            "interval": "100ms", "start": "1h",
            "auth": {
                "token_url": provider.url("/token"), "client_id": CLIENT, "client_secret_file": "SECRET",
            },
        },
    })
}

async fn stand(name: &str, provider: &Provider) -> Stand {
    Stand::polls(name, &table(provider)).await
}

const SECOND: Duration = Duration::from_secs(1);

/// Events and events of administrators, several of one time, more than one page, and one that shows up late.
#[actix_web::test]
async fn both_lists_are_polled_and_each_event_gives_one_set() {
    let provider = Provider::start(pages).await;
    let mut served = Vec::new();
    for n in 0..250 {
        // Many events have the same time.
        served.push(logout(&provider, &format!("u-{n}"), SECOND * (300 - n / 120)));
    }
    for n in 0..5 {
        served.push(disabled(&provider, &format!("d-{n}"), SECOND * 200));
    }
    let stand = stand("poll-keycloak", &provider).await;
    stand.has_users(&served).await;
    // The transaction of this one took a minute.
    served.push(logout(&provider, "late", SECOND * 60));
    served.push(disabled(&provider, "late-too", SECOND * 60));
    served.push(logout(&provider, "new", Duration::ZERO));
    stand.has_users(&served).await;
    stand.rounds_pass(2).await;
    stand.has_users(&served).await;
    assert_eq!(stand.polled("new").await, served.len() as u64);
    assert_eq!(provider.token_requests(), 1, "one token serves both lists");
    let secret =
        stand.claims().await.iter().any(|claims| claims.to_string().contains(ADMINISTRATOR));
    assert!(!secret, "no event is about the administrator");
}

#[actix_web::test]
async fn a_token_that_is_refused_is_renewed_once() {
    let provider = Provider::start(pages).await;
    let stand = stand("poll-keycloak-token", &provider).await;
    stand.rounds_pass(2).await;
    provider.revoke_tokens();
    let served = vec![logout(&provider, "kim", Duration::ZERO)];
    stand.has_users(&served).await;
    stand.rounds_pass(2).await;
    assert_eq!(provider.token_requests(), 2, "both lists share the new token");
    assert_eq!(stand.rounds("unauthorized").await + stand.rounds("token").await, 0);
}

/// The HTTP sender of the same realm is a source of its own. A record that it sent gives no second SET.
#[actix_web::test]
async fn a_record_that_was_sent_and_is_polled_gives_one_set() {
    let provider = Provider::start(pages).await;
    let issuer = provider.url("/realms/staff");
    let sender = json!({
        "preset": "keycloak-http", "vars": {"issuer": issuer},
        "auth": {"scheme": "bearer", "header": "Authorization", "secret_files": ["SECRET"]},
    });
    let polled = table(&provider);
    let sources = [(SOURCE, &sender), ("poll", &polled)];
    let stand = Stand::polls_all("poll-keycloak-both", &sources).await;
    let served = logout(&provider, "kim", Duration::ZERO);
    stand.send(served.record()).await.expect(200);
    let lost = logout(&provider, "lee", Duration::ZERO);
    let served = vec![served, lost];
    stand.has_users(&served).await;
    let series = |result: &str| {
        format!(
            r#"ssfd_source_poll_events_total{{provider="poll-keycloak-both",source="poll",result="{result}"}}"#
        )
    };
    let daemon = &stand.setup.daemon;
    crate::harness::eventually("both are polled", async || {
        let found = (daemon.metric(&series("new")).await, daemon.metric(&series("known")).await);
        1.0 <= found.0 && 1.0 <= found.1
    })
    .await;
    stand.has_users(&served).await;
    assert!(!stand.claims().await.iter().any(|claims| claims.to_string().contains(SECRET)));
}
