//! Compares an event with the definition of its type, and finds common mistakes of publishers.

mod near;

use std::{collections::HashSet, fmt};

use serde::Serialize;
use serde_json::{Map, Value};

use super::{
    event::{Event, InvalidEvent},
    event_type::EventType,
    provider::{EventChecks, Provider},
    schema::{Conformity, FAMILIES, Family, FamilyOrigin, Member, Presence, Schema},
    subject::SubjectId,
};

/// A deviation of an event from its specification.
///
/// The text names rules and members of the tables and never repeats content of the event, so that
/// it can be logged.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Finding {
    pub severity: Severity,
    /// The member of the event, or of the claims around it.
    pub member: &'static str,
    /// The text that follows the name of the member.
    pub rule: String,
    pub section: &'static str,
}

/// The strength of the requirement that the event breaks (RFC 2119).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Severity {
    Must,
    Should,
}

impl Severity {
    /// Returns the label for metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Must => "must",
            Self::Should => "should",
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` {} ({})", self.member, self.rule, self.section)
    }
}

/// Joins several findings into one text.
pub fn list(findings: &[Finding]) -> String {
    findings.iter().map(Finding::to_string).collect::<Vec<_>>().join("; ")
}

impl EventChecks {
    /// Judges an event by its findings: rejects it, or lets it pass.
    pub fn judge(self, findings: &[Finding]) -> Result<(), InvalidEvent> {
        let broken = findings.iter().filter(|finding| finding.severity == Severity::Must);
        let broken: Vec<_> = broken.cloned().collect();
        match self {
            Self::Strict if !broken.is_empty() => Err(InvalidEvent::Schema(broken)),
            Self::Strict | Self::Lint | Self::Off => Ok(()),
        }
    }
}

/// Returns all findings about an event, whatever its provider does with them.
pub fn lint(event: &Event, provider: &Provider) -> Vec<Finding> {
    let definition = event.event_type.definition();
    let mut linter = Linter { payload: event.payload.members(), findings: Vec::new() };
    linter.check_subject_member(definition.map(|(family, _)| family.origin));
    linter.check_nesting();
    linter.check_aliases(event.subject.id());
    let Some((family, schema)) = definition else {
        linter.check_name(&event.event_type);
        return linter.findings;
    };
    if let Some(successor) = schema.replaced_by {
        // A provider that lists the deprecated type knows of a Receiver that takes no other.
        let listed = provider.events_supported.contains(&event.event_type);
        let severity = if listed { Severity::Should } else { Severity::Must };
        linter.add(severity, "type", format!("is deprecated for `{successor}`"), schema.section);
    }
    let format = event.subject.id().format();
    if !schema.subjects.is_empty() && !schema.subjects.contains(&format) {
        let rule = format!("must have the format `{}`", schema.subjects.join("` or `"));
        linter.add(Severity::Must, "sub_id", rule, schema.section);
    }
    linter.check_members(family, schema);
    if let Some(section) = schema.interop.filter(|_| provider.interop) {
        linter.check_interop(section);
    }
    linter.findings
}

struct Linter<'a> {
    payload: &'a Map<String, Value>,
    findings: Vec<Finding>,
}

impl Linter<'_> {
    fn add(
        &mut self,
        severity: Severity,
        member: &'static str,
        rule: impl Into<String>,
        section: &'static str,
    ) {
        self.findings.push(Finding { severity, member, rule: rule.into(), section });
    }

    /// Looks for `subject` in the event. CAEP and RISC had this member before SETs had `sub_id`;
    /// all other types forbid it.
    fn check_subject_member(&mut self, origin: Option<FamilyOrigin>) {
        if !self.payload.contains_key("subject") {
            return;
        }
        let (severity, section) = match origin {
            Some(FamilyOrigin::Profile) => (Severity::Should, "SSF §3.1.1"),
            _ => (Severity::Must, "SSF §3.1.2"),
        };
        let modal = severity.as_str();
        let rule = format!("{modal} not be in `event`: `sub_id` outside it names the subject");
        self.add(severity, "subject", rule, section);
    }

    /// Looks for a whole `events` claim in place of the event's members. Publishers that used to
    /// make SETs themselves send it.
    fn check_nesting(&mut self) {
        let is_type = |name: &String| FAMILIES.iter().any(|family| name.starts_with(family.base));
        if self.payload.keys().any(is_type) {
            let rule = "should have the members of the event directly, not nested below its type";
            self.add(Severity::Should, "event", rule, "SSF §4.2");
        }
    }

    /// Looks for a type that stands below the URIs of a specification which does not define it. Only
    /// a provider that takes custom types gets such an event.
    fn check_name(&mut self, event_type: &EventType) {
        let Some((family, near)) = near::undefined(event_type.as_str()) else { return };
        let meant = near.map(|(family, schema)| {
            format!("; the nearest one is `{}{}`", family.prefix, schema.name)
        });
        let rule = format!(
            "should be one of the types that the specification defines below `{}`{}",
            family.base,
            meant.unwrap_or_default()
        );
        let section = near.map_or(family.types[0].section, |(_, schema)| schema.section);
        self.add(Severity::Should, "type", rule, section);
    }

    fn check_aliases(&mut self, id: &SubjectId) {
        let forms = id.forms();
        let mut seen = HashSet::new();
        if 1 < forms.len() && forms.iter().any(|form| !seen.insert(form)) {
            let rule = "should have each identifier of its `aliases` once";
            self.add(Severity::Should, "sub_id", rule, "RFC 9493 §3.2.8");
        }
    }

    fn check_members(&mut self, family: &Family, schema: &Schema) {
        let members = || family.common.iter().chain(schema.members);
        for member in members() {
            let section = member.section.unwrap_or(schema.section);
            match self.payload.get(member.name) {
                Some(value) => self.check_value(member, value, section),
                None => self.check_absence(member, section),
            }
        }
        let defined = |name: &str| members().any(|member| member.name == name);
        let strays: Vec<_> = self.payload.keys().filter(|name| !defined(name)).collect();
        for member in members().filter(|member| !self.payload.contains_key(member.name)) {
            if strays.iter().any(|stray| alike(stray, member.name)) {
                let rule =
                    "should be spelled like this, because Receivers do not know other spellings";
                let section = member.section.unwrap_or(schema.section);
                self.add(Severity::Should, member.name, rule, section);
            }
        }
    }

    fn check_value(&mut self, member: &Member, value: &Value, section: &'static str) {
        let severity = match member.rule.judge(value) {
            Conformity::Holds => return,
            Conformity::Broken if !member.advised => Severity::Must,
            Conformity::Broken | Conformity::Doubtful => Severity::Should,
        };
        let rule = format!("{} {}", severity.as_str(), member.rule.demand());
        self.add(severity, member.name, rule, section);
    }

    fn check_absence(&mut self, member: &Member, section: &'static str) {
        let (severity, rule) = match member.presence {
            Presence::Required => (Severity::Must, "is required".to_owned()),
            Presence::Recommended => (Severity::Should, "should be present".to_owned()),
            Presence::RecommendedWith(other) if self.payload.contains_key(other) => {
                (Severity::Should, format!("should be present if `{other}` is"))
            }
            Presence::RecommendedWith(_) | Presence::Optional => return,
        };
        self.add(severity, member.name, rule, section);
    }

    /// Checks that `reason_admin` says something. The profile's draft asks for a string; CAEP §2
    /// and the later text of the profile make it an object of strings.
    fn check_interop(&mut self, section: &'static str) {
        let says_something = |reasons: &Map<String, Value>| {
            let mut texts = reasons.values().filter_map(Value::as_str);
            texts.any(|text| !text.trim().is_empty())
        };
        let told = match self.payload.get("reason_admin") {
            None => false,
            Some(Value::Object(reasons)) => says_something(reasons),
            // The check against the definition of its type has already found it.
            Some(_) => true,
        };
        if !told {
            let rule = "must be present and not empty, because the provider sets `interop`";
            self.add(Severity::Must, "reason_admin", rule, section);
        }
    }
}

/// Tells whether two names differ only in case and separators, such as `newValue` and `new-value`.
pub(super) fn alike(one: &str, other: &str) -> bool {
    fn letters(name: &str) -> impl Iterator<Item = u8> {
        name.bytes().filter(u8::is_ascii_alphanumeric).map(|b| b.to_ascii_lowercase())
    }
    letters(one).eq(letters(other))
}

#[cfg(test)]
mod tests;
