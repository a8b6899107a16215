//! The configuration of streams (SSF §8.1.1).

mod change;
mod create;
mod delete;
mod legacy;
mod merge;
mod read;

use serde_json::{Value, json};
use ssfd::domain::stream::{METHOD_POLL, METHOD_PUSH};

use crate::harness::events::SESSION_REVOKED;

/// Returns Receiver members that break a rule, and the refusal of each. A create, a PATCH and a PUT refuse
/// them alike.
fn broken_members() -> Vec<(Value, &'static str)> {
    let delivery = |delivery: Value| json!({ "delivery": delivery });
    let push_to = |url: &str| delivery(json!({"method": METHOD_PUSH, "endpoint_url": url}));
    let authorized_by = |header: Value| {
        delivery(json!({"method": METHOD_PUSH, "endpoint_url": "https://rx.example/",
            "authorization_header": header}))
    };
    let not_our_url = "`delivery.endpoint_url` is for the Transmitter to assign";
    let header = "`delivery.authorization_header` must be";
    vec![
        (json!({"events_requested": null}), "`events_requested` must be an array"),
        (json!({"events_requested": SESSION_REVOKED}), "`events_requested` must be an array"),
        (json!({"events_requested": [1]}), "`events_requested` must be an array"),
        (json!({"events_requested": vec!["urn:x"; 257]}), "at most 256 values"),
        (json!({"events_requested": ["x".repeat(513)]}), "at most 512 bytes"),
        (json!({"description": null}), "`description` must be a string"),
        (json!({"description": {}}), "`description` must be a string"),
        (delivery(json!(null)), "`delivery` must be an object"),
        (delivery(json!(METHOD_POLL)), "`delivery` must be an object"),
        (delivery(json!({})), "`delivery.method` must be"),
        (delivery(json!({"method": null})), "`delivery.method` must be a string"),
        (delivery(json!({"method": "push"})), "`delivery.method` must be"),
        // CFG-26.
        (
            delivery(json!({"endpoint_url": "https://rx.example/",
                "method": "https://schemas.openid.net/secevent/risc/delivery-method/push"})),
            "`delivery.method` must be `urn:ietf:rfc:8935` or `urn:ietf:rfc:8936`",
        ),
        (delivery(json!({"method": METHOD_PUSH})), "`delivery.endpoint_url` is required"),
        (push_to(""), "`delivery.endpoint_url` must be"),
        (push_to("/in"), "`delivery.endpoint_url` must be an https URL"),
        (push_to("ftp://rx.example/in"), "`delivery.endpoint_url` must be an https URL"),
        (push_to("https://kim:pw@rx.example/in"), "no user name or password"),
        (push_to("https://rx.example/in#x"), "no fragment"),
        (push_to(&format!("https://rx.example/{}", "x".repeat(2048))), "at most 2048 bytes"),
        (
            delivery(json!({"method": METHOD_PUSH, "endpoint_url": 7})),
            "`delivery.endpoint_url` must be a string",
        ),
        (
            delivery(json!({"method": METHOD_POLL, "endpoint_url": "https://x.example"})),
            not_our_url,
        ),
        (delivery(json!({"method": METHOD_POLL, "endpoint_url": ""})), not_our_url),
        // CFG-20.
        (authorized_by(json!("Bearer abc\r\nX-Admin: 1")), header),
        (authorized_by(json!("Bearer abc\n")), header),
        (authorized_by(json!("Bearer \u{0}")), header),
        (authorized_by(json!("")), header),
        (authorized_by(json!("x".repeat(8193))), header),
        (authorized_by(json!(null)), header),
        (authorized_by(json!(["Bearer abc"])), header),
    ]
}
