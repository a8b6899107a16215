//! On-change gates: an event goes out only if a value has changed since it was seen last.
//!
//! [`GateBook`] reads the values of one request, and keeps what they become, so that
//! several records of one request see one another's values. The values are written once the events
//! are durable: a crash in between repeats the events, whose ids make them duplicates.

use std::{collections::HashMap, time::Duration};

use serde_json::Value;

use super::hash;
use crate::{
    domain::{
        id::{ProviderName, SourceName},
        json,
        mapping::Gate,
        time::Timestamp,
    },
    store::{
        Records, StoreError,
        records::source_value::{SourceValue, SourceValueStore as _},
    },
};

/// The values that the gates of one request look at.
#[derive(Debug, Default)]
pub(super) struct GateBook {
    known: HashMap<String, Option<Value>>,
    changed: HashMap<String, Value>,
}

/// Returns the name under which a gate's value is kept.
fn name(gate: &Gate) -> String {
    hash(&format!("{}\u{0}{}", gate.state, gate.key))
}

/// Returns what is kept of a value. Flags and numbers are kept as they are. Anything else may tell of a
/// person, so its hash is kept.
fn concealed(value: &Value) -> Value {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
        Value::String(_) | Value::Array(_) | Value::Object(_) => hash(&value.to_string()).into(),
    }
}

impl GateBook {
    /// Reads the values of these gates.
    pub(super) async fn read(
        store: &(impl Records + ?Sized),
        (provider, source): (&ProviderName, &SourceName),
        gates: impl Iterator<Item = &Gate>,
        now: Timestamp,
    ) -> Result<Self, StoreError> {
        let mut names: Vec<_> = gates.map(name).collect();
        names.sort_unstable();
        names.dedup();
        let values = store.source_values(provider, source, &names, now).await?;
        Ok(Self { known: names.into_iter().zip(values).collect(), changed: HashMap::new() })
    }

    /// Tells whether an event goes out, and remembers its value for those behind it.
    pub(super) fn admits(&mut self, gate: &Gate) -> bool {
        let (name, value) = (name(gate), concealed(&gate.value));
        let before = self.known.insert(name.clone(), Some(value.clone())).flatten();
        let admits = match before {
            Some(before) => !json::same(&before, &value),
            None => gate.first.admits(&gate.value),
        };
        // A value that is seen again lives longer.
        self.changed.insert(name, value);
        admits
    }

    /// Writes what the values have become.
    pub(super) async fn write(
        self,
        store: &(impl Records + ?Sized),
        (provider, source): (&ProviderName, &SourceName),
        retention: Duration,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        if self.changed.is_empty() {
            return Ok(());
        }
        let values = self.changed.into_iter().map(|(key, value)| SourceValue {
            provider: provider.clone(),
            source: source.clone(),
            key,
            value,
            seen_at: now.as_millis(),
            expires_at: (now + retention).as_millis(),
        });
        store.put_source_values(&values.collect::<Vec<_>>()).await
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::mapping::First;

    fn gate(key: &str, value: Value, first: First) -> Gate {
        Gate { state: "enabled".into(), key: key.into(), value, first }
    }

    #[test]
    fn an_event_passes_if_its_value_has_changed() {
        let mut book = GateBook::default();
        let only = |value: Value| First::Values(vec![value]);
        for (key, value, first, expected) in [
            ("kim", json!(true), First::Silent, false),
            ("kim", json!(true), First::Silent, false),
            ("kim", json!(false), First::Silent, true),
            ("kim", json!(false), First::Emit, false),
            ("kim", json!(true), First::Silent, true),
            ("lee", json!(true), First::Emit, true),
            ("sam", json!(false), only(json!(false)), true),
            ("max", json!(true), only(json!(false)), false),
            ("max", json!("true"), First::Silent, true),
            ("ann", json!("blocked"), only(json!("blocked")), true),
            ("ann", json!("blocked"), only(json!("blocked")), false),
        ] {
            let gate = gate(key, value, first);
            assert_eq!(book.admits(&gate), expected, "{gate:?}");
        }
        assert_eq!(book.changed.len(), 5);
    }

    #[test]
    fn nothing_of_a_person_is_kept() {
        let mut book = GateBook::default();
        book.admits(&gate("kim@example.com", json!("kim@example.com"), First::Emit));
        assert!(!format!("{book:?}").contains("kim"));
    }
}
