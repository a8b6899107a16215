//! Shows what a source makes of records, and changes nothing. The store is not asked, so an on-change gate
//! is only named.

use serde_json::Value;

use super::{
    Kind,
    prepare::{NOT_ALLOWED, OLD},
};
use crate::domain::{
    event::{Event, InvalidEvent},
    event_type::EventType,
    lint::{Finding, lint},
    mapping::{Mapped, MappedResult, Mapping, RequestFacts, RuleTrace},
    provider::Provider,
    time::Timestamp,
};

/// The part of a source that explaining needs.
pub struct Explainer<'a> {
    pub kind: Kind,
    pub mapping: &'a Mapping,
    pub provider: &'a Provider,
    pub bounds: &'a super::settings::BoundSettings,
    pub may_emit: &'a [EventType],
}

/// A body as its sender would send it.
#[derive(Debug, Clone, Default)]
pub struct TriedBody<'a> {
    pub body: &'a [u8],
    pub headers: Vec<(String, String)>,
    pub query: Vec<(String, String)>,
}

/// The result of one record.
#[derive(Debug, Default)]
pub struct Explained {
    pub native_id: Option<String>,
    pub native_type: Option<String>,
    /// The rules in the order in which they are tried.
    pub trace: Vec<RuleTrace>,
    pub results: Vec<ExplainedResult>,
}

/// One result of a record.
#[derive(Debug)]
pub enum ExplainedResult {
    Emitted(Box<EmittedResult>),
    Dropped { rule: Option<String>, why: String },
    Rejected { rule: Option<String>, path: Option<String>, why: String, alarm: bool },
}

/// An event that a rule makes.
#[derive(Debug)]
pub struct EmittedResult {
    pub rule: String,
    /// The event as it would be published.
    pub json: Value,
    /// The event, or the reason why it would be rejected.
    pub event: Result<Event, String>,
    pub findings: Vec<Finding>,
    /// The event goes out only if a value has changed.
    pub is_gated: bool,
}

impl Explainer<'_> {
    /// Maps a body as [`super::Source::receive`] does. Fails with the reason why the body has no records.
    pub fn explain(&self, tried: TriedBody<'_>, now: Timestamp) -> Result<Vec<Explained>, String> {
        let TriedBody { body, headers, query } = tried;
        let parts = self.kind.unverified(body, self.bounds.records_max);
        let parts = parts.map_err(|error| format!("the body {error}"))?;
        let facts = RequestFacts::new(headers, query);
        let mut explained = Vec::new();
        for part in parts {
            let document = match part {
                Ok(document) => document,
                Err(why) => {
                    let result =
                        ExplainedResult::Rejected { rule: None, path: None, why, alarm: false };
                    explained.push(Explained { results: vec![result], ..Explained::default() });
                    continue;
                }
            };
            for record in self.mapping.split(&document) {
                let (mapped, trace) = self.mapping.apply_traced(record, &facts, now);
                let Mapped { native_id, native_type, time, results, .. } = mapped;
                let is_old = time.is_some_and(|time| time + self.bounds.max_age < now);
                let results = results.into_iter().map(|result| self.result(result, is_old));
                let results = results.collect();
                explained.push(Explained { native_id, native_type, trace, results });
            }
        }
        Ok(explained)
    }

    fn result(&self, result: MappedResult, is_old: bool) -> ExplainedResult {
        match result {
            MappedResult::Dropped { rule, why } => {
                ExplainedResult::Dropped { rule: rule.map(|rule| rule.to_string()), why }
            }
            MappedResult::Rejected { rule, path, why, alarm } => {
                let rule = rule.map(|rule| rule.to_string());
                ExplainedResult::Rejected { rule, path, why, alarm }
            }
            MappedResult::Emit { rule, .. } if is_old => ExplainedResult::Rejected {
                rule: Some(rule.to_string()),
                path: None,
                why: OLD.to_owned(),
                alarm: false,
            },
            MappedResult::Emit { rule, event: json, gate } => {
                let (event, findings) = self.admit(&json);
                let (rule, is_gated) = (rule.to_string(), gate.is_some());
                let emitted = EmittedResult { rule, json, event, findings, is_gated };
                ExplainedResult::Emitted(Box::new(emitted))
            }
        }
    }

    /// Checks an event as [`crate::transmitter::Transmitter::admit`] does, and counts nothing.
    fn admit(&self, json: &Value) -> (Result<Event, String>, Vec<Finding>) {
        let event = match Event::parse(json.to_string().as_bytes(), self.provider) {
            Ok(event) => event,
            Err(error) => return (Err(error.to_string()), Vec::new()),
        };
        let findings = lint(&event, self.provider);
        let judged = self.provider.event_checks.judge(&findings);
        let event = match judged {
            Err(error @ InvalidEvent::Schema(_)) => Err(error.to_string()),
            _ if !self.may_emit.contains(&event.event_type) => Err(NOT_ALLOWED.to_owned()),
            _ => Ok(event),
        };
        (event, findings)
    }
}

impl super::Source {
    /// Returns what explains this source.
    pub fn explainer(&self) -> Explainer<'_> {
        let parts = &self.parts;
        Explainer {
            kind: parts.kind,
            mapping: &parts.mapping,
            provider: &parts.provider,
            bounds: &parts.bounds,
            may_emit: &parts.may_emit,
        }
    }
}
