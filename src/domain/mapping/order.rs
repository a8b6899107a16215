//! Finds rules that can never match: those whose conditions contradict each other, and those that an
//! earlier rule always takes first. Both are mistakes that no record would ever show.
//!
//! The findings are certain, but not complete: only conditions on the same path are compared.

use serde_json::Value;

use super::{
    condition::{Condition, Conditions, Test, contains},
    error::Flaw,
    rule::Rule,
};
use crate::domain::json::same;

/// Checks that the conditions of one rule can hold together.
pub(super) fn check_conditions(conditions: &Conditions) -> Result<(), Flaw> {
    let Conditions { when, unless, any } = conditions;
    if let Some(path) = conflict(when.iter()) {
        return Err(Flaw::at(
            path,
            "has tests that contradict each other, so the rule never matches",
        ));
    }
    let conflicts = any.iter().map(|alternative| conflict(when.iter().chain(alternative)));
    let conflicts: Option<Vec<_>> = conflicts.collect();
    if let Some(path) = conflicts.and_then(|paths| paths.first().copied()) {
        let rule = "contradicts `when` in every alternative of `any`, so the rule never matches";
        return Err(Flaw::at(path, rule));
    }
    match unless.first() {
        Some(first) if all_implied(unless, when) => {
            let rule = "holds in `unless` whenever `when` holds, so the rule never matches";
            Err(Flaw::at(first.path.text(), rule))
        }
        _ => Ok(()),
    }
}

/// Checks that no rule is hidden by an earlier one of the same origin. A rule of the source may hide
/// a rule of its preset, because that is how a preset is changed.
pub(super) fn check_order(guards: &[Rule], rules: &[Rule]) -> Result<(), (String, Flaw)> {
    let all: Vec<_> = guards.iter().chain(rules).collect();
    for (at, later) in all.iter().enumerate() {
        let mut earlier = all[..at].iter().filter(|one| one.of_preset == later.of_preset);
        if let Some(earlier) = earlier.find(|earlier| hides(earlier, later)) {
            let rule = format!(
                "never matches, because `{}` comes first and takes all of its records; change the \
                 order, or the conditions of `{}`",
                earlier.name, earlier.name
            );
            return Err((later.name.to_string(), Flaw::new(rule)));
        }
    }
    Ok(())
}

fn hides(earlier: &Rule, later: &Rule) -> bool {
    let (weak, strong) = (&earlier.conditions, &later.conditions);
    let always = !earlier.also && !earlier.opt_in;
    let plain = always && earlier.each.is_none() && weak.unless.is_empty();
    let any = weak.any.is_empty()
        || weak.any.iter().any(|alternative| all_implied(alternative, &strong.when));
    plain && any && all_implied(&weak.when, &strong.when)
}

/// Returns the path of two conditions that cannot hold together.
fn conflict<'a>(conditions: impl Iterator<Item = &'a Condition>) -> Option<&'a str> {
    let conditions: Vec<_> = conditions.collect();
    let tests = |at: usize| {
        let condition: &'a Condition = conditions[at];
        condition.tests.iter().map(move |test| (condition.path.text(), test))
    };
    let all: Vec<_> = (0..conditions.len()).flat_map(tests).collect();
    all.iter().enumerate().find_map(|(at, (path, one))| {
        let mut others = all[..at].iter().filter(|(other, _)| other == path);
        others.any(|(_, other)| exclude(one, other) || exclude(other, one)).then_some(*path)
    })
}

/// Tells whether no value passes both tests.
fn exclude(one: &Test, other: &Test) -> bool {
    match one {
        Test::OneOf(values) => !values.iter().any(|value| may_pass(other, value)),
        Test::Exists(false) => needs_a_value(other),
        _ => false,
    }
}

fn needs_a_value(test: &Test) -> bool {
    !matches!(test, Test::Not(_) | Test::Exists(false))
}

/// Tells whether a value may pass a test. Only `same_as` cannot be judged without a record.
fn may_pass(test: &Test, value: &Value) -> bool {
    match test {
        Test::OneOf(values) => contains(values, value),
        Test::Not(values) => !contains(values, value),
        Test::Exists(exists) => *exists,
        Test::Prefix(all) => starts(value, all),
        Test::Suffix(all) => ends(value, all),
        Test::Regex(pattern) => value.as_str().is_some_and(|text| pattern.matches(text, &mut [])),
        Test::SameAs(_) => true,
    }
}

fn starts(value: &Value, prefixes: &[String]) -> bool {
    value.as_str().is_some_and(|text| prefixes.iter().any(|prefix| text.starts_with(prefix)))
}

fn ends(value: &Value, suffixes: &[String]) -> bool {
    value.as_str().is_some_and(|text| suffixes.iter().any(|suffix| text.ends_with(suffix)))
}

/// Tells whether all of the weaker conditions hold whenever the stronger ones do.
fn all_implied(weaker: &[Condition], stronger: &[Condition]) -> bool {
    weaker.iter().all(|weak| {
        let tests = stronger
            .iter()
            .filter(|strong| strong.path.text() == weak.path.text())
            .flat_map(|strong| &strong.tests);
        let tests: Vec<_> = tests.collect();
        weak.tests.iter().all(|weak| tests.iter().any(|strong| implies(strong, weak)))
    })
}

fn implies(strong: &Test, weak: &Test) -> bool {
    match (strong, weak) {
        (_, Test::Exists(true)) => needs_a_value(strong),
        (Test::OneOf(_), Test::SameAs(_)) => false,
        (Test::OneOf(values), _) => values.iter().all(|value| may_pass(weak, value)),
        (Test::Exists(one), Test::Exists(other)) => one == other,
        (Test::Exists(false), Test::Not(_)) => true,
        (Test::Not(more), Test::Not(fewer)) => {
            fewer.iter().all(|value| more.iter().any(|one| same(one, value)))
        }
        (Test::Prefix(long), Test::Prefix(short)) => {
            long.iter().all(|long| short.iter().any(|short| long.starts_with(short)))
        }
        (Test::Suffix(long), Test::Suffix(short)) => {
            long.iter().all(|long| short.iter().any(|short| long.ends_with(short)))
        }
        (Test::Regex(one), Test::Regex(other)) => one.regex.as_str() == other.regex.as_str(),
        (Test::SameAs(one), Test::SameAs(other)) => one.text() == other.text(),
        _ => false,
    }
}
