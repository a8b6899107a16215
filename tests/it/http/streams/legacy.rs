//! The names of delivery in the RISC profile of 2018.

use serde_json::{Value, json};
use ssfd::domain::stream::{METHOD_POLL, METHOD_PUSH};

use crate::harness::{
    daemon::{Daemon, ISSUER, with_provider},
    receiver_client::assert_refused,
};

const PUSH: &str = "https://schemas.openid.net/secevent/risc/delivery-method/push";
const POLL: &str = "https://schemas.openid.net/secevent/risc/delivery-method/poll";
const URL: &str = "https://rx.example/in";

async fn taking_them() -> Daemon {
    Daemon::with(with_provider(|provider| provider.legacy_delivery_methods = true)).await
}

/// The text of the draft and its samples have different names. Both are accepted.
#[actix_web::test]
async fn a_provider_that_accepts_the_old_names_shows_those_of_ssf() {
    let daemon = taking_them().await;
    let client = daemon.client("rx").await;
    let push = json!({"method": METHOD_PUSH, "endpoint_url": URL});
    for delivery in [
        json!({"method": PUSH, "endpoint_url": URL}),
        json!({"delivery_method": PUSH, "url": URL, "authorization_header": "Bearer rx"}),
        json!({"delivery_method": METHOD_PUSH, "endpoint_url": URL}),
        json!({"method": PUSH, "endpoint_url": URL, "url": "https://elsewhere.example/"}),
    ] {
        let stream = client.create(&json!({"delivery": delivery})).await;
        assert_eq!(stream["delivery"], push, "{delivery}");
    }
    let stream = client.create(&json!({"delivery": {"method": POLL}})).await;
    let id = stream["stream_id"].as_str().expect("an id").to_owned();
    let poll = json!({"method": METHOD_POLL, "endpoint_url": format!("{ISSUER}/ssf/poll/{id}")});
    assert_eq!(stream["delivery"], poll);
    // A change accepts the same names.
    for (delivery, shown) in [
        (json!({"delivery_method": PUSH, "url": URL}), &push),
        (json!({"delivery_method": POLL, "url": poll["endpoint_url"]}), &poll),
    ] {
        let members = json!({"stream_id": id, "delivery": delivery});
        let changed = client.send("PATCH", "/ssf/streams", &members).await.expect(200).json();
        assert_eq!(&changed["delivery"], shown);
    }
}

/// The refusals have the names of SSF.
#[actix_web::test]
async fn the_rules_are_the_same_for_old_names() {
    let daemon = taking_them().await;
    let client = daemon.client("rx").await;
    let refused: [(Value, &str); 3] = [
        (json!({"method": PUSH}), "`delivery.endpoint_url` is required"),
        (json!({"delivery_method": PUSH, "url": 7}), "`delivery.endpoint_url` must be a string"),
        (json!({"delivery_method": format!("{PUSH}2")}), "`delivery.method` must be"),
    ];
    for (delivery, rule) in refused {
        let answer = client.send("POST", "/ssf/streams", &json!({"delivery": delivery})).await;
        assert_refused(&answer, 400, rule);
    }
    let metadata = client.get("/.well-known/ssf-configuration").await.expect(200).text();
    assert!(!metadata.contains("delivery-method"), "{metadata}");
}
