//! Maps from the words of a sender to those of the specifications.

use std::collections::HashMap;

use serde_json::Value;

use super::{error::Flaw, function::text_of, settings::MapSettings};

/// The most entries of one map.
pub const ENTRIES_MAX: usize = 1000;

/// A map whose keys are compared with the text of a value, so that `true` finds the key "true".
#[derive(Debug, Clone)]
pub(super) struct Table {
    /// Empty for a map that is written in place.
    pub(super) name: String,
    values: HashMap<String, Value>,
    default: Option<Value>,
}

impl Table {
    pub(super) fn compile(name: &str, settings: &MapSettings) -> Result<Self, Flaw> {
        let MapSettings { values, default } = settings;
        if ENTRIES_MAX < values.len() {
            return Err(Flaw::new(format!("a map must have at most {ENTRIES_MAX} values")));
        }
        let plain = |value: &Value| value.is_string() || value.is_number() || value.is_boolean();
        if let Some((key, _)) = values.iter().find(|(_, value)| !plain(value)) {
            return Err(Flaw::at(key, "must have a string, a number or a boolean in its map"));
        }
        if !default.as_ref().is_none_or(plain) {
            return Err(Flaw::at("default", "must be a string, a number or a boolean"));
        }
        let values = values.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
        Ok(Self { name: name.to_owned(), values, default: default.clone() })
    }

    pub(super) fn find(&self, value: &Value) -> Option<&Value> {
        let text = text_of(value)?;
        self.values.get(text.as_ref()).or(self.default.as_ref())
    }

    /// Returns every value that the map can give.
    pub(super) fn results(&self) -> impl Iterator<Item = &Value> {
        self.values.values().chain(&self.default)
    }
}
