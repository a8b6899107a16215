//! Findings of operators about a source: rejected records, unmatched types, explanations, and a trial.

use hyper::Method;
use serde_json::{Value, json};

use super::{SECRET, SOURCE, Stand, by_bearer, logout};

impl Stand {
    async fn admin(&self, method: Method, path: &str, body: &Value) -> Value {
        let token = self.setup.daemon.operator_token().await;
        let call = self.setup.daemon.admin(&token, method, path).json(body);
        let answer = call.send().await;
        assert!(answer.status.is_success(), "{path}: {}", answer.text());
        if answer.body.is_empty() { Value::Null } else { answer.json() }
    }

    fn path(&self, below: &str) -> String {
        format!("/sources/{}/{SOURCE}{below}", self.setup.daemon.provider())
    }

    async fn rejected(&self) -> Vec<Value> {
        let path = self.path("/rejected?limit=1000");
        let answer = self.admin(Method::GET, &path, &Value::Null).await;
        answer["rejected"].as_array().expect("a list").clone()
    }
}

#[actix_web::test]
async fn rejected_records_are_kept_redacted_and_once() {
    let members = json!({"redact": ["/user", "/nested/secret"]});
    let stand = Stand::new("kept-rejected", by_bearer(members)).await;
    let mut refused = json!({"type": "REFUSED", "id": "1", "user": "kim", "other": "stays"});
    refused["nested"] = json!({"secret": "hush", "open": 1});
    let odd = json!({"type": "ODD", "id": "2"});
    let incomplete = json!({"type": "LOGOUT", "id": "3", "user": "kim"});
    for _ in 0..2 {
        stand.send(json!([refused, odd, incomplete])).await.expect(200);
    }
    let rejected = stand.rejected().await;
    assert_eq!(rejected.len(), 3, "a repeated request keeps a record once: {rejected:?}");
    let of = |rule: &str| {
        let found = rejected.iter().find(|one| one["rule"] == rule);
        found.unwrap_or_else(|| panic!("no record of {rule}: {rejected:?}"))
    };
    let kept = &of("refused")["record"];
    assert_eq!((&kept["user"], &kept["other"]), (&json!("[redacted]"), &json!("stays")));
    assert_eq!(kept["nested"], json!({"secret": "[redacted]", "open": 1}));
    assert_eq!((&of("odd")["alarm"], &of("odd")["native_id"]), (&json!(true), &json!("2")));
    assert_eq!(of("logout")["path"], "/session");
    assert_eq!([stand.records("rejected").await, stand.records("alarm").await], [4, 2]);
    assert!(!json!(rejected).to_string().contains("hush"));

    let shown = stand.setup.daemon.ssfd_says(&["sources", "rejected", SOURCE]).await;
    assert!(shown.contains("ALARM") && shown.contains("never takes it"), "{shown}");
    stand.setup.daemon.ssfd_says(&["sources", "rejected", SOURCE, "--clear"]).await;
    assert!(stand.rejected().await.is_empty());
}

#[actix_web::test]
async fn rejected_records_are_bounded_by_request_and_by_source() {
    let members = json!({"rejected_max": 150});
    let mut stand = Stand::new("kept-bounded", by_bearer(members)).await;
    for request in 0..3 {
        let record = |n: i32| json!({"type": "REFUSED", "id": format!("{request}-{n}")});
        stand.send(Value::from((0..200).map(record).collect::<Vec<_>>())).await.expect(200);
    }
    assert_eq!(stand.records("rejected").await, 600);
    assert_eq!(stand.rejected().await.len(), 150);
    // The youngest stay, also over a restart.
    stand.setup.daemon.restart().await;
    let rejected = stand.rejected().await;
    assert!(
        rejected
            .iter()
            .filter(|one| one["native_id"].as_str().is_some_and(|id| id.starts_with("2-")))
            .count()
            == 100
    );
    // A record that is too large is kept without itself.
    let large = json!({"type": "REFUSED", "id": "large", "text": "x".repeat(20_000)});
    stand.send(large).await.expect(200);
    let rejected = stand.rejected().await;
    assert_eq!(
        (&rejected[0]["native_id"], &rejected[0]["record"]),
        (&json!("large"), &Value::Null)
    );
}

#[actix_web::test]
async fn native_types_that_no_rule_takes_are_counted() {
    let stand = Stand::new("kept-unmatched", by_bearer(json!({}))).await;
    let types = ["A", "B", "A", "NOISE", "A"];
    let records: Vec<_> = types.iter().map(|kind| json!({"type": kind})).collect();
    stand.send(Value::from(records)).await.expect(200);
    let answer = stand.admin(Method::GET, &stand.path("/unmatched"), &Value::Null).await;
    let counted =
        |n: usize| (answer["types"][n]["type"].clone(), answer["types"][n]["count"].clone());
    assert_eq!((counted(0), counted(1)), ((json!("A"), json!(3)), (json!("B"), json!(1))));
    assert_eq!(answer["types"].as_array().map(Vec::len), Some(2));
    let shown = stand.setup.daemon.ssfd_says(&["sources", "unmatched", SOURCE]).await;
    assert!(shown.lines().nth(1).is_some_and(|line| line.ends_with("  A")), "{shown}");
}

#[actix_web::test]
async fn an_explanation_shows_rules_events_and_streams_and_changes_nothing() {
    let stand = Stand::new("kept-explained", by_bearer(json!({}))).await;
    let provider = stand.setup.daemon.provider();
    let payload = json!([
        logout("1", "kim"),
        {"type": "NOISE"},
        {"type": "REFUSED"},
        {"type": "UPDATE", "id": "2", "user": "kim", "enabled": true},
        {"type": "LOGOUT", "id": "3", "user": "kim"},
    ]);
    let body = json!({"provider": provider, "source": SOURCE, "payload": payload});
    let answer = stand.admin(Method::POST, "/explain", &body).await;
    assert_eq!(answer["total"], 5);
    let record = |n: usize| &answer["records"][n];
    let result = |n: usize| &record(n)["results"][0];
    assert_eq!((&result(0)["result"], &result(0)["accepted"]), (&json!("emitted"), &json!(true)));
    assert_eq!(result(0)["streams"][0]["fate"], "sent");
    assert_eq!(result(0)["streams"][0]["stream_id"], json!(stand.setup.stream));
    assert_eq!(record(0)["rules"][0]["outcome"], "matched");
    assert_eq!(record(0)["rules"][1]["outcome"], "not_reached");
    assert_eq!((&result(1)["result"], &result(1)["rule"]), (&json!("dropped"), &json!("noise")));
    assert_eq!(record(1)["rules"][0]["outcome"], "failed");
    assert_eq!(result(2)["why"], "never takes it");
    assert_eq!(result(3)["gated"], true);
    assert_eq!(result(4)["path"], "/session");
    assert!(stand.claims().await.is_empty());
    assert_eq!(stand.records("rejected").await, 0);

    let token = stand.setup.daemon.operator_token().await;
    for (body, status) in [
        (json!({"provider": provider, "source": "other", "payload": {}}), 404),
        (json!({"provider": provider, "source": SOURCE, "payload": "nonsense"}), 400),
        (json!({"provider": provider, "source": SOURCE}), 400),
        (json!({"provider": provider, "source": SOURCE, "payload": {}, "more": 1}), 400),
    ] {
        let call = stand.setup.daemon.admin(&token, Method::POST, "/explain").json(&body);
        call.send().await.expect(status);
    }
}

#[actix_web::test]
async fn an_operator_lists_and_shows_sources() {
    let stand = Stand::new("kept-shown", by_bearer(json!({}))).await;
    let list = stand.setup.daemon.ssfd_json(&["sources", "list"]).await;
    let source = &list[0];
    assert_eq!((&source["name"], &source["mode"]), (&json!(SOURCE), &json!("publish")));
    assert_eq!(source["path"], "/in/kept-shown/kc");
    assert_eq!(source["rules"], json!(["logout", "noise", "refused", "odd", "enabled"]));
    assert!(!list.to_string().contains(SECRET));
    let shown = stand.setup.daemon.ssfd_says(&["sources", "show", SOURCE]).await;
    assert!(shown.contains("caep:session-revoked") && shown.contains("per_minute  600"), "{shown}");
    let missing = stand.setup.daemon.ssfd_fails(&["sources", "show", "other"]).await;
    assert!(missing.contains("there is no source `other`"), "{missing}");
}
