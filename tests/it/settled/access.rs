//! Access to settled SETs, and the refusal of invalid requests.

use hyper::Method;
use serde_json::{Value, json};

use crate::harness::{
    http_client::{Answer, Call},
    setup::Setup,
};

/// Asserts that a refusal is a problem document (RFC 9457) that contains `detail`.
#[track_caller]
fn assert_refused(answer: &Answer, status: u16, detail: &str) {
    assert_eq!(answer.status.as_u16(), status, "{}", answer.text());
    let problem = answer.json();
    assert_eq!(problem["status"], status);
    let said = problem["detail"].as_str().unwrap_or_default();
    assert!(said.contains(detail), "no `{detail}` in `{said}`");
}

impl Setup {
    async fn ask(&self, token: &str, method: Method, path: &str, body: &Value) -> Answer {
        self.daemon.admin(token, method, path).json(body).send().await
    }
}

#[actix_web::test]
async fn only_an_operator_may_read_and_change_settled_sets() {
    let setup = Setup::polling().await;
    let all = json!({"all": true});
    for (method, path, body) in [
        (Method::GET, "/dead-letters", Value::Null),
        (Method::GET, "/dead-letters/a", Value::Null),
        (Method::POST, "/dead-letters/redrive", all.clone()),
        (Method::POST, "/dead-letters/purge", all),
        (Method::POST, &*format!("/streams/{}/replay", setup.stream), json!({"since": 0})),
        (Method::GET, "/events?jti=a", Value::Null),
    ] {
        for token in [&setup.token, &setup.publisher, "ssfd_unknown"] {
            let answer = setup.ask(token, method.clone(), path, &body).await;
            assert_refused(&answer, 401, "of another kind");
        }
        let url = setup.daemon.internal_url(&format!("/admin/v1{path}"));
        let nobody = Call::new(method.clone(), &url).json(&body).send().await;
        assert_refused(&nobody, 401, "a bearer token is required");
        // On the listener for Receivers, the admin API does not exist.
        let url = setup.daemon.public_url(&format!("/admin/v1{path}"));
        let public = Call::new(method, &url).bearer(&setup.token).json(&body).send().await;
        assert_eq!(public.status, 404);
    }
}

#[actix_web::test]
async fn an_invalid_request_is_refused_and_the_wrong_member_named() {
    let setup = Setup::polling().await;
    let operator = setup.daemon.operator_token().await;
    for (path, detail) in [
        ("/dead-letters?strem_id=a", "`strem_id` is none of provider, stream_id"),
        ("/dead-letters?limit=0", "`limit` must be a number from 1 to 1000"),
        ("/dead-letters?after=x", "`after` is no `next`"),
        ("/dead-letters?subject=%7B%7D", "`subject`"),
        ("/dead-letters?since=noon", "`since`"),
        ("/events", "`jti` is required, or `provider` and `event_id`"),
        ("/events?jti=a&event_id=b", "`jti` is required, or"),
    ] {
        let answer = setup.ask(&operator, Method::GET, path, &Value::Null).await;
        assert_refused(&answer, 400, detail);
    }
    let replay = format!("/streams/{}/replay", setup.stream);
    for (path, body, detail) in [
        ("/dead-letters/redrive", json!({}), "`all` must be true"),
        ("/dead-letters/purge", json!({"all": true, "reason": "expired"}), "`all` must not"),
        ("/dead-letters/purge", json!({"raison": "expired"}), "`raison` is no member"),
        ("/dead-letters/purge", json!({"all": 1}), "`all` must be true or false"),
        ("/dead-letters/redrive", json!({"all": true, "limit": 1001}), "`limit` must be"),
        (&replay, json!({}), "`since` or `from_jti` or `from_position` is required"),
        (&replay, json!({"since": 0, "from_jti": "a"}), "is required, and one alone"),
        (&replay, json!({"since": 0, "jti": "other"}), "`jti` must be `kept` or `new`"),
        (&replay, json!({"since": 0, "jti": "new", "after": "x"}), "`after` is no `next`"),
        (&replay, json!({"since": "0"}), "`since` must be a whole number"),
    ] {
        assert_refused(&setup.ask(&operator, Method::POST, path, &body).await, 400, detail);
    }
    let unknown = setup.ask(&operator, Method::GET, "/dead-letters/never-was", &Value::Null).await;
    assert_refused(&unknown, 404, "nothing of this name is kept");
}
