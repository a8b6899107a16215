//! Reads what a publisher sent as an event, and checks it by the rules that its provider sets for events.

use std::{
    collections::HashSet,
    sync::{Mutex, PoisonError},
};

use crate::{
    domain::{
        event::{Event, InvalidEvent},
        event_type::EventType,
        id::ProviderName,
        lint::{Finding, lint},
        provider::{EventChecks, Provider},
    },
    telemetry::{metrics, spans},
    transmitter::Transmitter,
};

/// The most kinds of findings that are remembered. The tables have fewer; only the event types that
/// publishers make up are unlimited.
const KINDS_MAX: usize = 1000;

/// Remembers which kinds of findings were logged, because a publisher that errs once errs with every
/// event.
#[derive(Debug, Default)]
pub(in crate::transmitter) struct ToldFindings(Mutex<HashSet<(ProviderName, EventType, Finding)>>);

impl ToldFindings {
    /// Returns whether this finding is the first of its kind.
    fn tell(&self, provider: &Provider, event_type: &EventType, finding: &Finding) -> bool {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let room = told.len() < KINDS_MAX;
        room && told.insert((provider.name.clone(), event_type.clone(), finding.clone()))
    }
}

impl Transmitter {
    /// Reads one event as it was published, and checks it against the definition of its type as far as
    /// the provider wants that. All publishers come through here, so all are treated alike.
    pub fn admit(&self, provider: &Provider, json: &[u8]) -> Result<Event, InvalidEvent> {
        let span = spans::admit(&provider.name);
        let event = Event::parse(json, provider)?;
        span.record_txn(event.txn.as_deref());
        if provider.event_checks == EventChecks::Off {
            return Ok(event);
        }
        let findings = lint(&event, provider);
        for finding in &findings {
            metrics::event_finding(&provider.name, finding.severity.as_str());
            if self.told_findings.tell(provider, &event.event_type, finding) {
                tracing::warn!(
                    provider = %provider.name,
                    event_type = %event.event_type,
                    member = finding.member,
                    rule = finding.rule,
                    section = finding.section,
                    "an event is not as its specification says; further ones are counted only"
                );
            }
        }
        provider.event_checks.judge(&findings)?;
        Ok(event)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_kind_of_finding_is_told_once_and_the_memory_is_bounded() {
        let (told, provider) = (ToldFindings::default(), Provider::example());
        let custom = Provider { custom_event_types: true, ..Provider::example() };
        let first = |event_type: &str| {
            let event = json!({"type": event_type, "sub_id": {"format": "opaque", "id": "u-1"},
                "event": {"subject": {}}});
            let event = Event::from_json(event, &custom).expect("a valid event");
            let findings = lint(&event, &provider);
            told.tell(&provider, &event.event_type, &findings[0])
        };
        assert!(first("caep:session-revoked") && first("caep:session-presented"));
        assert!(!first("caep:session-revoked"));
        let made_up = (0..KINDS_MAX).filter(|n| first(&format!("urn:x:{n}"))).count();
        assert_eq!(made_up, KINDS_MAX - 2);
    }
}
