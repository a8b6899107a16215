//! The events that a change of a device's status makes.

use serde_json::{Value, json};

use super::{CHECK_IN, Cause, Change, Compliance, Device};
use crate::domain::time::Timestamp;

/// The type that every change makes (CAEP §3.5).
pub const COMPLIANCE_CHANGE: &str = "caep:device-compliance-change";

/// The type that a change to `not-compliant` makes as well, if the agents ask for it (CAEP §3.1).
pub const SESSION_REVOKED: &str = "caep:session-revoked";

/// An event that is to be published.
#[derive(Debug, Clone, PartialEq)]
pub struct PostureEvent {
    /// Names the event: from it derives its origin, and so the `jti` of each SET.
    pub id: String,
    pub at: Timestamp,
    /// The event as a publisher would send it.
    pub json: Value,
}

/// Returns the events of a change, in their order. They are the same however often they are made.
pub fn events(device: &Device, change: &Change, revokes_sessions: bool) -> Vec<PostureEvent> {
    let id = format!("posture/{}/{}/{}", device.key.agents, device.key.device, change.seq);
    let entity = match change.cause {
        Cause::Met | Cause::Failed(_) => "policy",
        Cause::Lost { .. } => "system",
    };
    let common = json!({
        "event_timestamp": change.at.as_secs(),
        "initiating_entity": entity,
        "reason_admin": {"en": reason(&change.cause)},
    });
    let event = |id: String, event_type: &str, payload: Value| PostureEvent {
        json: json!({"id": id, "type": event_type, "sub_id": subject(device), "event": payload}),
        id,
        at: change.at,
    };
    let mut compliance = common.clone();
    compliance["previous_status"] = change.to.opposite().as_str().into();
    compliance["current_status"] = change.to.as_str().into();
    let mut events = vec![event(id.clone(), COMPLIANCE_CHANGE, compliance)];
    if revokes_sessions && change.to == Compliance::NotCompliant {
        events.push(event(format!("{id}/session-revoked"), SESSION_REVOKED, common));
    }
    events
}

/// Returns the subject: the device and, if he is known, its user (SSF §3.3).
fn subject(device: &Device) -> Value {
    let mut subject = json!({
        "format": "complex",
        "device": {"format": "opaque", "id": device.key.device},
    });
    if let Some(user) = &device.user {
        subject["user"] = json!(user);
    }
    subject
}

/// Explains a change. The names of rules are told, and never the facts.
fn reason(cause: &Cause) -> String {
    match cause {
        Cause::Met => "the device meets all rules".to_owned(),
        Cause::Failed(rules) => {
            let rules: Vec<_> = rules.iter().map(ToString::to_string).collect();
            format!("the device fails {}", rules.join(", "))
        }
        Cause::Lost { since } => {
            format!("the device fails {CHECK_IN}: none since {} (Unix time)", since.as_secs())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        event::Event, lint::lint, posture::device::example, provider::Provider, subject::SubjectId,
    };

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_millis(secs * 1000)
    }

    fn change(to: Compliance, cause: Cause) -> Change {
        Change { seq: 8, to, at: at(1_775_000_099), cause }
    }

    #[test]
    fn a_change_says_both_statuses_who_decided_and_why() {
        let rules = ["disk", "os"].map(|name| name.parse().expect("a name")).into();
        let failed = change(Compliance::NotCompliant, Cause::Failed(rules));
        let made = events(&example(), &failed, false);
        assert_eq!(made.len(), 1);
        assert_eq!(
            made[0].json,
            json!({
                "id": "posture/laptops/dev-1/8", "type": "caep:device-compliance-change",
                "sub_id": {"format": "complex", "device": {"format": "opaque", "id": "dev-1"}},
                "event": {
                    "previous_status": "compliant", "current_status": "not-compliant",
                    "event_timestamp": 1_775_000_099, "initiating_entity": "policy",
                    "reason_admin": {"en": "the device fails disk, os"},
                },
            })
        );
        let lost = change(Compliance::NotCompliant, Cause::Lost { since: at(7) });
        let made = events(&example(), &lost, false);
        assert_eq!(made[0].json["event"]["initiating_entity"], "system");
        let met = events(&example(), &change(Compliance::Compliant, Cause::Met), true);
        assert_eq!(met[0].json["event"]["previous_status"], "not-compliant");
        assert_eq!(met.len(), 1, "a device that is compliant again ends no session");
    }

    #[test]
    fn sessions_end_with_the_compliance_if_that_is_asked_for() {
        let user = SubjectId::try_from(json!({"format": "email", "email": "kim@example.com"}));
        let device = Device { user: user.ok(), ..example() };
        let lost = change(Compliance::NotCompliant, Cause::Lost { since: at(7) });
        let made = events(&device, &lost, true);
        let ids: Vec<_> = made.iter().map(|event| event.id.as_str()).collect();
        assert_eq!(ids, ["posture/laptops/dev-1/8", "posture/laptops/dev-1/8/session-revoked"]);
        for event in &made {
            assert_eq!(event.json["sub_id"]["user"]["email"], "kim@example.com");
            assert_eq!(event.json["id"], event.id);
        }
    }

    /// Every event is one that the strictest provider takes without a finding.
    #[test]
    fn each_event_is_as_its_specification_says() {
        let provider = Provider { interop: true, ..Provider::example() };
        let causes = [
            Cause::Met,
            Cause::Failed(vec!["disk".parse().expect("a name")]),
            Cause::Lost { since: at(7) },
        ];
        for (cause, to) in causes.into_iter().zip([
            Compliance::Compliant,
            Compliance::NotCompliant,
            Compliance::NotCompliant,
        ]) {
            for event in events(&example(), &change(to, cause), true) {
                let parsed = Event::from_json(event.json.clone(), &provider).expect("valid");
                assert_eq!(lint(&parsed, &provider), [], "{}", event.json);
            }
        }
    }
}
