//! The configuration of streams (SSF §8.1.1).

mod change;
mod create;
mod delete;
mod legacy;
mod merge;
mod narrowed;
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
    let header = "`delivery.authorization_header` must be";
    vec![
        (json!({"events_requested": SESSION_REVOKED}), "`events_requested` must be an array"),
        (json!({"events_requested": [1]}), "`events_requested` must be an array"),
        (json!({"events_requested": vec!["urn:x"; 257]}), "at most 256 values"),
        (json!({"events_requested": ["x".repeat(513)]}), "at most 512 bytes"),
        (json!({"description": {}}), "`description` must be a string"),
        (delivery(json!(METHOD_POLL)), "`delivery` must be an object"),
        (delivery(json!({})), "`delivery.method` must be"),
        (delivery(json!({"method": null})), "`delivery.method` must be"),
        (delivery(json!({"method": 7})), "`delivery.method` must be a string"),
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
        (push_to("https:///in"), "`delivery.endpoint_url` must have a host"),
        (push_to("https:rx.example/in"), "`delivery.endpoint_url` must be an https URL"),
        (push_to("https:\\\\rx\\in"), "`delivery.endpoint_url` must be an https URL"),
        (push_to("https://@rx/in"), "no user name or password"),
        (push_to("https://*.example/in"), "`delivery.endpoint_url` must have a host"),
        (push_to("https://rx.example:0/in"), "a port from 1 to 65535"),
        (push_to(&format!("https://{}.example/in", "x".repeat(300))), "must have a host"),
        (push_to("https://10.0.0.1/in"), "10.0.0.1 is not a public address"),
        (push_to("https://0xA9FEA9FE/in"), "169.254.169.254 is not a public address"),
        (push_to("https://[::1]:8443/in"), "::1 is not a public address"),
        (push_to("https://[::ffff:10.0.0.1]/in"), "is not a public address"),
        (push_to(&format!("https://rx.example/{}", "x".repeat(2048))), "at most 2048 bytes"),
        (
            delivery(json!({"method": METHOD_PUSH, "endpoint_url": 7})),
            "`delivery.endpoint_url` must be a string",
        ),
        // CFG-20.
        (authorized_by(json!("Bearer abc\r\nX-Admin: 1")), header),
        (authorized_by(json!("Bearer abc\n")), header),
        (authorized_by(json!("Bearer \u{0}")), header),
        (authorized_by(json!("")), header),
        (authorized_by(json!("x".repeat(8193))), header),
        (authorized_by(json!(["Bearer abc"])), header),
    ]
}
