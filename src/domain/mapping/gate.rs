//! The on-change gate: an event goes out only if a stored value has changed.
//!
//! The mapping computes the value and its key. The source keeps the last value of each key, and
//! compares.

use serde::Serialize;
use serde_json::Value;

use super::{
    error::Flaw,
    facts::{Missing, Scope, Why},
    function::text_of,
    names::Names,
    settings::OnChangeSettings,
    value::Expr,
};
use crate::domain::json::same;

/// The value that must have changed before an event goes out.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Gate {
    /// Names the state, such as `enabled`. The default is the name of the rule.
    pub state: String,
    /// Says whose state it is. Unique together with `state` in one source.
    pub key: String,
    pub value: Value,
    pub first: First,
}

/// The judgement of a value whose key was never seen before.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum First {
    Silent,
    Emit,
    /// These values give an event, and all others are silent.
    Values(Vec<Value>),
}

impl First {
    /// Tells whether a value that is seen for the first time gives an event.
    pub fn admits(&self, value: &Value) -> bool {
        match self {
            Self::Silent => false,
            Self::Emit => true,
            Self::Values(values) => values.iter().any(|one| same(one, value)),
        }
    }
}

/// The gate of a rule.
#[derive(Debug, Clone)]
pub(super) struct OnChange {
    state: String,
    key: Expr,
    value: Expr,
    first: First,
}

impl OnChange {
    pub(super) fn compile(
        settings: &OnChangeSettings,
        rule: &str,
        names: &Names<'_>,
    ) -> Result<Self, Flaw> {
        let first = match &settings.first {
            None => First::Silent,
            Some(Value::String(text)) if text == "silent" => First::Silent,
            Some(Value::String(text)) if text == "emit" => First::Emit,
            Some(Value::Array(values)) => First::Values(values.clone()),
            Some(_) => {
                let rule = "must be `silent`, `emit` or a list of values that emit";
                return Err(Flaw::at("on_change.first", rule));
            }
        };
        let key = Expr::compile(&settings.key, names);
        let value = Expr::compile(&settings.value, names);
        Ok(Self {
            state: settings.state.clone().unwrap_or_else(|| rule.to_owned()),
            key: key.map_err(|flaw| flaw.within("on_change.key"))?,
            value: value.map_err(|flaw| flaw.within("on_change.value"))?,
            first,
        })
    }

    pub(super) fn build<'m>(&'m self, scope: Scope<'_, 'm>) -> Result<Gate, Missing<'m>> {
        let key = self.key.value(scope)?;
        let missing = Missing { path: self.key.label(), why: Why::NotText };
        let key = text_of(&key).ok_or(missing)?.into_owned();
        let value = self.value.value(scope)?.into_owned();
        Ok(Gate { state: self.state.clone(), key, value, first: self.first.clone() })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_first_value_is_judged_by_the_setting() {
        for value in [json!(true), json!(false), json!(null), json!("false"), json!(0)] {
            assert!(!First::Silent.admits(&value));
            assert!(First::Emit.admits(&value));
            let values = First::Values(vec![json!(false), json!(2)]);
            assert_eq!(values.admits(&value), value == json!(false), "{value}");
        }
        assert!(First::Values(vec![json!(2)]).admits(&json!(2.0)));
    }
}
