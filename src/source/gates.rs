//! On-change gates: an event goes out only if a value has changed since it was seen last.
//!
//! [`GateBook`] reads the values of one request, and keeps what they become, so that
//! several records of one request see one another's values. The values are written once the events
//! are durable: a crash in between repeats the events, whose ids make them duplicates.
//!
//! Senders repeat a record after minutes, when later ones have come. So a record that is older than the one
//! that gave the value changes nothing: the later one has told how things are.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

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
    known: HashMap<String, Option<Known>>,
    changed: HashSet<String>,
}

/// The value of a key, and the time of the record that gave it.
#[derive(Debug, Clone)]
struct Known {
    value: Value,
    told_at: Timestamp,
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
        let known = values.into_iter().map(|kept| {
            kept.map(|SourceValue { value, told_at, .. }| Known {
                value,
                told_at: Timestamp::from_millis(told_at),
            })
        });
        Ok(Self { known: names.into_iter().zip(known).collect(), changed: HashSet::new() })
    }

    /// Tells whether the event of a record of this time goes out, and remembers its value for those behind
    /// it.
    pub(super) fn admits(&mut self, gate: &Gate, told_at: Timestamp) -> bool {
        let (name, value) = (name(gate), concealed(&gate.value));
        let known = self.known.entry(name.clone()).or_default();
        let admits = match known {
            Some(known) if told_at < known.told_at => return false,
            Some(known) => !json::same(&known.value, &value),
            None => gate.first.admits(&gate.value),
        };
        *known = Some(Known { value, told_at });
        // A value that is seen again lives longer.
        self.changed.insert(name);
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
        let Self { known, changed } = self;
        let changed = known.into_iter().filter(|(key, _)| changed.contains(key));
        let values = changed.filter_map(|(key, known)| {
            let Known { value, told_at } = known?;
            Some(SourceValue {
                provider: provider.clone(),
                source: source.clone(),
                key,
                value,
                told_at: told_at.as_millis(),
                seen_at: now.as_millis(),
                expires_at: (now + retention).as_millis(),
            })
        });
        let values: Vec<_> = values.collect();
        if values.is_empty() { Ok(()) } else { store.put_source_values(&values).await }
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
            assert_eq!(book.admits(&gate, Timestamp::from_millis(0)), expected, "{gate:?}");
        }
        assert_eq!(book.changed.len(), 5);
    }

    #[test]
    fn an_older_record_changes_nothing() {
        let mut book = GateBook::default();
        let only_false = First::Values(vec![json!(false)]);
        for (value, told_at, expected) in [
            (true, 20, false),
            (false, 10, false),
            (false, 20, true),
            (true, 19, false),
            (false, 30, false),
            (true, 40, true),
            (false, 30, false),
        ] {
            let gate = gate("kim", json!(value), only_false.clone());
            let told_at = Timestamp::from_millis(told_at);
            assert_eq!(book.admits(&gate, told_at), expected, "{value} at {told_at:?}");
        }
    }

    #[test]
    fn nothing_of_a_person_is_kept() {
        let mut book = GateBook::default();
        let gate = gate("kim@example.com", json!("kim@example.com"), First::Emit);
        book.admits(&gate, Timestamp::from_millis(0));
        assert!(!format!("{book:?}").contains("kim"));
    }
}
