//! The sample events, as a publisher publishes them. They cover every event type of CAEP and some
//! of RISC, with simple and complex subjects.

use std::time::Duration;

use serde_json::{Value, json};

use crate::domain::time::Timestamp;

/// Returns the events in the order of their time; the last happened one second before `now`.
pub(super) fn sample_events(now: Timestamp) -> Vec<Value> {
    let makers: [fn(i64) -> SampleEvent; 12] = [
        session_established,
        assurance_level_change,
        session_presented,
        token_claims_change,
        credential_change,
        device_compliance_change,
        risk_level_change,
        session_revoked,
        credential_compromise,
        account_disabled,
        identifier_changed,
        recovery_activated,
    ];
    let ages = (1..=makers.len() as u64).rev().map(Duration::from_secs);
    let numbered = makers.into_iter().zip(ages).enumerate();
    let events = numbered.map(|(n, (event, age))| {
        let SampleEvent { event_type, subject, payload } = event((now - age).as_secs());
        let number = n + 1;
        json!({
            "id": format!("evt-{number:04}"), "txn": format!("demo-{number:04}"),
            "type": event_type, "sub_id": subject, "event": payload,
        })
    });
    events.collect()
}

struct SampleEvent {
    event_type: &'static str,
    subject: Value,
    payload: Value,
}

const IDP: &str = "https://idp.example.com";

fn email() -> Value {
    json!({"format": "email", "email": "kim@example.com"})
}

fn account() -> Value {
    json!({"format": "iss_sub", "iss": IDP, "sub": "u-5f2c"})
}

fn session() -> Value {
    json!({"format": "opaque", "id": "ses-88d1"})
}

fn laptop() -> Value {
    json!({"format": "opaque", "id": "dev-4711"})
}

fn session_established(event_timestamp: i64) -> SampleEvent {
    SampleEvent {
        event_type: "caep:session-established",
        subject: json!({"format": "complex", "user": email(), "session": session()}),
        payload: json!({
            "event_timestamp": event_timestamp, "initiating_entity": "user",
            "reason_admin": {"en": "Signed in with a password and a one-time code"},
            "fp_ua": "b98b7d39b2b2", "acr": "urn:example:loa:2", "amr": ["pwd", "otp"],
            "ext_id": "12345@idp.example.com",
        }),
    }
}

fn assurance_level_change(event_timestamp: i64) -> SampleEvent {
    SampleEvent {
        event_type: "caep:assurance-level-change",
        subject: account(),
        payload: json!({
            "event_timestamp": event_timestamp, "initiating_entity": "user",
            "reason_admin": {"en": "Confirmed with a hardware security key"},
            "namespace": "NIST-AAL", "previous_level": "nist-aal2", "current_level": "nist-aal3",
            "change_direction": "increase",
        }),
    }
}

fn session_presented(event_timestamp: i64) -> SampleEvent {
    SampleEvent {
        event_type: "caep:session-presented",
        subject: json!({"format": "complex", "user": email(), "session": session()}),
        payload: json!({
            "event_timestamp": event_timestamp, "initiating_entity": "user",
            "reason_admin": {"en": "The session was used from another network"},
            "fp_ua": "b98b7d39b2b2", "ext_id": "12345@idp.example.com",
        }),
    }
}

fn token_claims_change(event_timestamp: i64) -> SampleEvent {
    SampleEvent {
        event_type: "caep:token-claims-change",
        subject: json!({"format": "jwt_id", "iss": IDP, "jti": "at-b70ba622"}),
        payload: json!({
            "event_timestamp": event_timestamp, "initiating_entity": "admin",
            "reason_admin": {"en": "Moved to the sales department"},
            "claims": {"department": "sales", "groups": ["staff", "sales-emea"]},
        }),
    }
}

fn credential_change(event_timestamp: i64) -> SampleEvent {
    SampleEvent {
        event_type: "caep:credential-change",
        subject: email(),
        payload: json!({
            "event_timestamp": event_timestamp, "initiating_entity": "user",
            "reason_admin": {"en": "Enrolled a second security key"},
            "reason_user": {"en": "You added a security key", "de": "Neuer Sicherheitsschlüssel"},
            "credential_type": "fido2-roaming", "change_type": "create",
            "friendly_name": "Kim's blue key",
            "fido2_aaguid": "accced6a-63f5-490a-9eea-e59bc1896cfc",
        }),
    }
}

fn device_compliance_change(event_timestamp: i64) -> SampleEvent {
    SampleEvent {
        event_type: "caep:device-compliance-change",
        subject: json!({
            "format": "complex", "device": laptop(),
            "tenant": {"format": "opaque", "id": "tenant-17"},
        }),
        payload: json!({
            "event_timestamp": event_timestamp, "initiating_entity": "policy",
            "reason_admin": {"en": "Disk encryption was switched off"},
            "reason_user": {"en": "Your laptop is not encrypted any more"},
            "previous_status": "compliant", "current_status": "not-compliant",
        }),
    }
}

fn risk_level_change(event_timestamp: i64) -> SampleEvent {
    SampleEvent {
        event_type: "caep:risk-level-change",
        subject: json!({"format": "complex", "user": account(), "device": laptop()}),
        payload: json!({
            "event_timestamp": event_timestamp, "initiating_entity": "system",
            "reason_admin": {"en": "Malware was found on the device"},
            "principal": "DEVICE", "previous_level": "LOW", "current_level": "HIGH",
            "risk_reason": "MALWARE_DETECTED",
        }),
    }
}

fn session_revoked(event_timestamp: i64) -> SampleEvent {
    SampleEvent {
        event_type: "caep:session-revoked",
        subject: json!({
            "format": "complex", "user": email(), "session": session(), "device": laptop(),
        }),
        payload: json!({
            "event_timestamp": event_timestamp, "initiating_entity": "policy",
            "reason_admin": {"en": "Risk level HIGH ends all sessions on the device"},
            "reason_user": {"en": "You were signed out for your own safety"},
        }),
    }
}

fn credential_compromise(event_timestamp: i64) -> SampleEvent {
    SampleEvent {
        event_type: "risc:credential-compromise",
        subject: email(),
        payload: json!({
            "event_timestamp": event_timestamp, "credential_type": "password",
            "reason_admin": {"en": "Found in a list of stolen passwords"},
        }),
    }
}

fn account_disabled(_: i64) -> SampleEvent {
    SampleEvent {
        event_type: "risc:account-disabled",
        subject: account(),
        payload: json!({"reason": "hijacking"}),
    }
}

fn identifier_changed(_: i64) -> SampleEvent {
    SampleEvent {
        event_type: "risc:identifier-changed",
        subject: json!({"format": "phone_number", "phone_number": "+12065550100"}),
        payload: json!({"new-value": "+12065550123"}),
    }
}

fn recovery_activated(_: i64) -> SampleEvent {
    SampleEvent {
        event_type: "risc:recovery-activated",
        subject: json!({"format": "account", "uri": "acct:kim@example.com"}),
        payload: json!({}),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::domain::{event::Event, event_type::EventType, lint::lint, provider::Provider};

    fn parsed() -> Vec<Event> {
        let events = sample_events(Timestamp::from_millis(1_775_000_099_000)).into_iter();
        events.map(|event| Event::from_json(event, &Provider::example()).expect("valid")).collect()
    }

    #[test]
    fn every_event_type_of_caep_is_among_the_samples() {
        let types: BTreeSet<_> = parsed().into_iter().map(|event| event.event_type).collect();
        let caep = |t: &EventType| t.as_str().contains("/caep/");
        let missing: Vec<_> = EventType::offered_by_default()
            .into_iter()
            .filter(|t| caep(t) && !types.contains(t))
            .collect();
        assert!(missing.is_empty(), "{missing:?}");
        assert!(types.iter().any(|t| !caep(t)), "some types are of RISC");
    }

    #[test]
    fn the_samples_follow_their_specifications() {
        let events = parsed();
        assert!(events.iter().any(|event| event.subject.id().format() == "complex"));
        let provider = Provider { interop: true, ..Provider::example() };
        for event in &events {
            assert_eq!(lint(event, &provider), [], "{}", event.event_type);
            let risc = event.event_type.as_str().contains("/risc/");
            assert!(
                risc || event.payload.members().contains_key("reason_admin"),
                "{}",
                event.event_type
            );
        }
        assert_eq!(events[11].payload.members().len(), 0);
        assert_eq!(events[0].payload.members()["event_timestamp"], 1_775_000_087);
    }
}
