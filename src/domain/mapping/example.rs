//! The examples of a preset: native records with the results that they must give. They run in the
//! tests of the project, and by `ssfd check` in the binary that an operator has.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::{
    Mapped, MappedResult, Mapping, RequestFacts, RuleName,
    preset::Preset,
    settings::{MappingSettings, Scope},
};
use crate::domain::{event_type::EventType, json, time::Timestamp};

/// The time at which an example is received, the year 2100. It is after the time of every record, so
/// that none is ahead.
const RECEIVED: Timestamp = Timestamp::from_millis(4_102_444_800_000);

/// A record, or the body of a request, and what must come of it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Example {
    pub name: String,
    /// The JSON of one record.
    pub record: Option<String>,
    /// The JSON of a whole body, in place of a record.
    pub body: Option<String>,
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    #[serde(default)]
    pub query: BTreeMap<String, String>,
    /// The values of variables. Others have their own example.
    #[serde(default)]
    pub vars: BTreeMap<String, Value>,
    #[serde(default)]
    pub enable: Vec<String>,
    #[serde(default)]
    pub disable: Vec<String>,
    pub scope: Option<Scope>,
    /// In the order of the records and of the rules.
    #[serde(default)]
    pub results: Vec<Expected>,
}

/// One result: an event, or one of `drop`, `reject` and `alarm`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Expected {
    /// The rule that gave the result. Without it, no rule matched.
    pub rule: Option<String>,
    /// The JSON of the published form. Members that are not in it are not compared, and neither is
    /// `event_timestamp`.
    pub event: Option<String>,
    pub drop: bool,
    pub reject: bool,
    pub alarm: bool,
    pub gate: Option<ExpectedGate>,
}

/// The gate of an expected event.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExpectedGate {
    pub key: String,
    pub value: Value,
}

impl Preset {
    /// Runs all examples. Returns a description of each that gave another result.
    pub fn check_examples(&self) -> Vec<String> {
        let failed = self.examples.iter().filter_map(|example| {
            let error = self.check_example(example).err()?;
            Some(format!("the preset `{}`, example `{}`: {error}", self.name(), example.name))
        });
        failed.collect()
    }

    fn check_example(&self, example: &Example) -> Result<(), String> {
        let results: Vec<_> = self.run(example)?.into_iter().flat_map(|m| m.results).collect();
        let (found, expected) = (results.len(), example.results.len());
        if found != expected {
            return Err(format!("{expected} results expected, {found} found: {results:?}"));
        }
        for (result, expected) in results.iter().zip(&example.results) {
            expected.compare(result).map_err(|error| format!("{error}; found {result:?}"))?;
        }
        Ok(())
    }

    /// Maps the records of an example.
    pub fn run(&self, example: &Example) -> Result<Vec<Mapped>, String> {
        let given = self.vars.iter().filter_map(|(name, declared)| {
            let value = example.vars.get(name).or(declared.example.as_ref())?;
            Some((name.clone(), value.clone()))
        });
        let settings = MappingSettings {
            vars: given.collect(),
            enable: example.enable.clone(),
            disable: example.disable.clone(),
            scope: example.scope,
            ..MappingSettings::default()
        };
        let mapping = Mapping::compile(Some(self), &settings, self.name(), &[]);
        let mapping = mapping.map_err(|error| error.to_string())?;
        let (text, whole) = match (&example.record, &example.body) {
            (Some(record), None) => (record, false),
            (None, Some(body)) => (body, true),
            _ => return Err("must have one of `record` and `body`".to_owned()),
        };
        let document = json::read(text.as_bytes()).map_err(|error| format!("it {error}"))?.value;
        let records = if whole { mapping.split(&document) } else { vec![&document] };
        let request = RequestFacts::new(example.headers.clone(), example.query.clone());
        Ok(records.into_iter().map(|record| mapping.apply(record, &request, RECEIVED)).collect())
    }
}

impl Expected {
    fn compare(&self, found: &MappedResult) -> Result<(), String> {
        let (rule, fits) = match found {
            MappedResult::Emit { rule, .. } => (Some(rule), self.event.is_some()),
            MappedResult::Dropped { rule, .. } => (rule.as_ref(), self.drop),
            MappedResult::Rejected { rule, alarm, .. } => {
                (rule.as_ref(), if *alarm { self.alarm } else { self.reject })
            }
        };
        let kinds = [self.event.is_some(), self.drop, self.reject, self.alarm];
        if kinds.into_iter().filter(|given| *given).count() != 1 {
            return Err("a result must be one of `event`, `drop`, `reject` and `alarm`".to_owned());
        }
        if !fits {
            return Err("another kind of result was expected".to_owned());
        }
        let rule = rule.map(RuleName::as_str);
        if rule != self.rule.as_deref() {
            return Err(format!("the rule {:?} was expected", self.rule));
        }
        match (&self.event, found) {
            (Some(expected), MappedResult::Emit { event, gate, .. }) => {
                compare_events(expected, event)?;
                let gate = gate.as_ref();
                let gate =
                    gate.map(|g| ExpectedGate { key: g.key.clone(), value: g.value.clone() });
                if self.gate.is_some() && self.gate != gate {
                    return Err(format!("the gate {:?} was expected", self.gate));
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

fn compare_events(expected: &str, found: &Value) -> Result<(), String> {
    let document = json::read(expected.as_bytes()).map_err(|error| format!("`event` {error}"))?;
    let Value::Object(expected) = document.value else {
        return Err("`event` must be a JSON object".to_owned());
    };
    for (name, value) in &expected {
        let found = &found[name];
        let same = match name.as_str() {
            "type" => {
                let event_type = |value: &Value| value.as_str()?.parse::<EventType>().ok();
                event_type(value).is_some_and(|value| event_type(found) == Some(value))
            }
            "event" => {
                let mut found = found.clone();
                let members = found.as_object_mut();
                if value.get("event_timestamp").is_none()
                    && let Some(members) = members
                {
                    members.remove("event_timestamp");
                }
                json::same(value, &found)
            }
            _ => json::same(value, found),
        };
        if !same {
            return Err(format!("`{name}` was expected to be {value}"));
        }
    }
    Ok(())
}
