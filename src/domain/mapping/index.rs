//! Finds the rules that a record can match by its native type, so that a record that is dropped costs
//! one look-up.

use std::collections::HashMap;

use serde_json::Value;

use super::{
    condition::{Condition, Failed, Test},
    path::Path,
    rule::Rule,
};

/// The rules by native type, as positions in their order.
#[derive(Debug, Clone, Default)]
pub(super) struct Index {
    by_type: HashMap<String, Vec<usize>>,
    /// Rules that do not test the type by equality. They are in each list of `by_type` too.
    others: Vec<usize>,
}

impl Index {
    pub(super) fn of(rules: &[Rule], native_type: Option<&Path>) -> Self {
        let mut index = Self::default();
        let types: Vec<_> = rules.iter().map(|rule| types(rule, native_type)).collect();
        for value in types.iter().flatten().flatten() {
            index.by_type.entry((*value).to_owned()).or_default();
        }
        for (at, types) in types.iter().enumerate() {
            let Some(types) = types else {
                index.others.push(at);
                index.by_type.values_mut().for_each(|rules| rules.push(at));
                continue;
            };
            for value in types {
                let rules = index.by_type.get_mut(*value).expect("it was entered above");
                // A type may be listed twice.
                if rules.last() != Some(&at) {
                    rules.push(at);
                }
            }
        }
        index
    }

    /// Returns the rules that can match a record of this type, in their order.
    pub(super) fn of_type(&self, native_type: Option<&Value>) -> &[usize] {
        let rules = native_type.and_then(Value::as_str).and_then(|name| self.by_type.get(name));
        rules.unwrap_or(&self.others)
    }
}

/// Returns the condition by which a rule does not match a record of another type.
pub(super) fn failed<'m>(rule: &'m Rule, native_type: Option<&Path>) -> Failed<'m> {
    let of_type = |when: &&Condition| Some(when.path.text()) == native_type.map(Path::text);
    let when = rule.conditions.when.iter().find(of_type).expect("a rule without types is tried");
    let is_list = |test: &&Test| matches!(test, Test::OneOf(_));
    let test = when.tests.iter().find(is_list).expect("a rule without types is tried");
    Failed { path: when.path.text(), test: test.name() }
}

/// Returns the types that a rule can match, or `None` if it does not list them.
fn types<'r>(rule: &'r Rule, native_type: Option<&Path>) -> Option<Vec<&'r str>> {
    let native_type = native_type?.text();
    let when = rule.conditions.when.iter().find(|when| when.path.text() == native_type)?;
    when.tests.iter().find_map(|test| match test {
        Test::OneOf(values) => values.iter().map(Value::as_str).collect(),
        _ => None,
    })
}
