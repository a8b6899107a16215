//! Accounts that opted out of RISC, from the published events to the SETs.

use serde_json::{Value, json};

use crate::harness::{daemon::rename_provider, events::SESSION_REVOKED, setup::Setup};

const BASE: &str = "https://schemas.openid.net/secevent/risc/event-type/";

fn email() -> Value {
    json!({"format": "email", "email": "kim@example.com"})
}

fn event(event_type: &str, subject: &Value) -> Value {
    json!({"type": event_type, "sub_id": subject})
}

/// Makes a provider of this name with one stream that asks for RISC events and one other type.
async fn setup(name: &str) -> Setup {
    let setup = Setup::polling_with(|config| rename_provider(config, name)).await;
    let mut requested: Vec<_> = [
        "account-disabled",
        "opt-in",
        "opt-out-initiated",
        "opt-out-cancelled",
        "opt-out-effective",
    ]
    .map(|event_type| format!("{BASE}{event_type}"))
    .into();
    requested.push(SESSION_REVOKED.to_owned());
    setup.update(json!({"events_requested": requested})).await;
    setup
}

/// Returns the short names of the types of the unsettled SETs.
async fn waiting(setup: &Setup) -> Vec<String> {
    let waiting = setup.waiting().await;
    let names = waiting.iter().map(|set| {
        let claims: Value = serde_json::from_str(&set.claims).expect("claims are JSON");
        let events = claims["events"].as_object().expect("events");
        let uri = events.keys().next().expect("an event");
        uri.rsplit('/').next().expect("a name").to_owned()
    });
    names.collect()
}

/// RISC-05 (RISC §2.8)
#[actix_web::test]
async fn an_account_that_opted_out_gets_only_events_about_its_choice() {
    const NAME: &str = "opting";
    let mut setup = setup(NAME).await;
    let publish = async |setup: &Setup, events: &[&str]| {
        let events: Vec<_> = events.iter().map(|name| event(name, &email())).collect();
        let answer = setup.daemon.publish(&setup.publisher, &json!(events)).await.expect(202);
        answer.json()["accepted"].as_u64().expect("a number")
    };
    let batch = [
        "risc:account-disabled",
        "risc:opt-out-initiated",
        "risc:opt-out-effective",
        "risc:account-disabled",
        "caep:session-revoked",
    ];
    assert_eq!(publish(&setup, &batch).await, 5, "what is not sent is accepted all the same");
    setup.daemon.restart().await;
    publish(&setup, &["risc:account-disabled", "risc:opt-out-cancelled"]).await;
    let aliases = json!({"format": "aliases", "identifiers": [
        {"format": "opaque", "id": "u-17"}, email()]});
    let event = event("risc:account-disabled", &aliases);
    setup.daemon.publish(&setup.publisher, &event).await.expect(202);
    publish(&setup, &["risc:opt-in", "risc:account-disabled"]).await;
    assert_eq!(
        waiting(&setup).await,
        [
            "account-disabled",
            "opt-out-initiated",
            "opt-out-effective",
            "session-revoked",
            "opt-out-cancelled",
            "opt-in",
            "account-disabled",
        ]
    );
    let series = format!(r#"ssfd_events_suppressed_total{{provider="{NAME}",reason="opted_out"}}"#);
    assert!((setup.daemon.metric(&series).await - 3.0).abs() < f64::EPSILON);
}
