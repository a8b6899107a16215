//! An event and a SET like those of the benchmarks.

use serde_json::{Value, json};

use super::{TYPE, now_micros};

/// Returns an event about the `n`th subject as it is published. The event contains the time, by
/// which a sink computes the age of its SETs.
pub(crate) fn event(event_type: &str, n: u64) -> String {
    let published = now_micros();
    format!(
        r#"{{"type":"{event_type}",
        "sub_id":{{"format":"complex","user":{{"format":"email","email":"u{n}@example.com"}},
            "session":{{"format":"opaque","id":"s-{n}"}}}},
        "event":{{"event_timestamp":1775000099,"initiating_entity":"user",
            "reason_admin":{{"en":"signed out"}},"published":{published}}}}}"#
    )
}

/// Returns the claims of a SET about a revoked session.
pub(crate) fn claims() -> Value {
    json!({
        "iss": "https://tx.example/t/acme", "iat": 1_775_000_099,
        "jti": "4f0c2a2e9d3b5c41a7e80e6b9c1d2f33", "aud": "https://rx.example/ssf",
        "txn": "8841c2a2e9d3b5c41a7e80e6b9c1d2f3",
        "sub_id": {"format": "complex", "user": {"format": "email", "email": "kim@example.com"},
            "session": {"format": "opaque", "id": "s-88"}},
        "events": {TYPE: {
            "event_timestamp": 1_775_000_099, "initiating_entity": "user",
            "reason_admin": {"en": "signed out"}, "published": now_micros()}},
    })
}
