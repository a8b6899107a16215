//! Conditions: tests on the values that paths find.
//!
//! A path that finds nothing fails every test except `not` and `exists = false`. Values are compared
//! by their JSON type, so the text `true` is not the boolean; numbers are compared by value.

use regex::{Regex, RegexBuilder};
use serde_json::{Map, Value};

use super::{
    error::{Flaw, listed},
    facts::Scope,
    names::Names,
    path::Path,
};
use crate::domain::json::same;

/// The most conditions of one rule, those of alternatives among them.
pub const CONDITIONS_MAX: usize = 16;
/// The most values that one test compares with.
pub const VALUES_MAX: usize = 1000;
/// The memory that one compiled regular expression may take, in bytes.
const REGEX_BYTES_MAX: usize = 256 * 1024;
/// How deep the groups of a regular expression may be nested.
const REGEX_DEPTH_MAX: u32 = 32;
/// A longer text fails `regex`, because the test takes time for each byte.
pub const MATCHED_BYTES_MAX: usize = 8192;

/// The conditions of a rule, or of a case of a `switch`.
#[derive(Debug, Clone, Default)]
pub(super) struct Conditions {
    pub(super) when: Vec<Condition>,
    /// The conditions fail if all of these hold. Without any, they do not.
    pub(super) unless: Vec<Condition>,
    /// Without alternatives, none is needed.
    pub(super) any: Vec<Vec<Condition>>,
}

#[derive(Debug, Clone)]
pub(super) struct Condition {
    pub(super) path: Path,
    pub(super) tests: Vec<Test>,
}

#[derive(Debug, Clone)]
pub(super) enum Test {
    OneOf(Vec<Value>),
    Not(Vec<Value>),
    Prefix(Vec<String>),
    Suffix(Vec<String>),
    Regex(Pattern),
    Exists(bool),
    SameAs(Path),
}

/// A regular expression, and where its named groups are captured.
#[derive(Debug, Clone)]
pub(super) struct Pattern {
    pub(super) regex: Regex,
    /// Each group of the expression with the place in the captures of the rule.
    groups: Vec<(usize, usize)>,
}

/// The first condition that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Failed<'m> {
    pub(super) path: &'m str,
    pub(super) test: &'static str,
}

impl Conditions {
    /// Reads the conditions of a rule. The named groups of its regular expressions become the
    /// captures of `names`.
    pub(super) fn of_rule(
        when: &Map<String, Value>,
        unless: &Map<String, Value>,
        any: &[Map<String, Value>],
        names: &mut Names<'_>,
    ) -> Result<Self, Flaw> {
        let mut captures = Vec::new();
        let conditions = Self::read(when, unless, any, names, Some(&mut captures))?;
        names.captures = captures;
        Ok(conditions)
    }

    fn read(
        when: &Map<String, Value>,
        unless: &Map<String, Value>,
        any: &[Map<String, Value>],
        names: &Names<'_>,
        mut captures: Option<&mut Vec<String>>,
    ) -> Result<Self, Flaw> {
        if let Some(empty) = any.iter().position(Map::is_empty) {
            let rule = format!("has the empty alternative {empty}, which always holds");
            return Err(Flaw::at("any", rule));
        }
        let when = conditions(when, names, captures.as_deref_mut())?;
        let unless = conditions(unless, names, None)?;
        let any = any.iter().map(|table| conditions(table, names, captures.as_deref_mut()));
        let conditions = Self { when, unless, any: any.collect::<Result<_, _>>()? };
        if CONDITIONS_MAX < conditions.len() {
            return Err(Flaw::new(format!("a rule must have at most {CONDITIONS_MAX} conditions")));
        }
        Ok(conditions)
    }

    /// Reads the conditions of a case of a `switch`, which captures nothing.
    pub(super) fn of_case(members: &Map<String, Value>, names: &Names<'_>) -> Result<Self, Flaw> {
        let table = |name: &str| match members.get(name) {
            None => Ok(Map::new()),
            Some(Value::Object(table)) => Ok(table.clone()),
            Some(_) => Err(Flaw::at(name, "must be a table of paths and tests")),
        };
        let any = match members.get("any") {
            None => Vec::new(),
            Some(Value::Array(tables)) => tables
                .iter()
                .map(|any| any.as_object().cloned())
                .collect::<Option<_>>()
                .ok_or_else(|| Flaw::at("any", "must be a list of tables"))?,
            Some(_) => return Err(Flaw::at("any", "must be a list of tables")),
        };
        Self::read(&table("when")?, &table("unless")?, &any, names, None)
    }

    fn len(&self) -> usize {
        self.when.len() + self.unless.len() + self.any.iter().map(Vec::len).sum::<usize>()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the first path, which errors name.
    pub(super) fn label(&self) -> &str {
        let any = self.any.iter().flatten();
        let mut all = self.when.iter().chain(any).chain(&self.unless);
        all.next().map_or("", |condition| condition.path.text())
    }

    /// Tests without capturing.
    pub(super) fn hold<'m>(&'m self, scope: Scope<'_, 'm>) -> Result<(), Failed<'m>> {
        self.capture(scope, &mut [])
    }

    /// Tests all conditions, and fills the captures by those that hold.
    pub(super) fn capture<'m>(
        &'m self,
        scope: Scope<'_, 'm>,
        captures: &mut [Option<Value>],
    ) -> Result<(), Failed<'m>> {
        for condition in &self.when {
            condition.test(scope, captures)?;
        }
        if let Some(first) = self.unless.first()
            && self.unless.iter().all(|condition| condition.test(scope, &mut []).is_ok())
        {
            return Err(Failed { path: first.path.text(), test: "unless" });
        }
        let mut alternatives = self.any.iter();
        let holds = |alternative: &'m Vec<Condition>| {
            let mut kept = captures.to_vec();
            let mut conditions = alternative.iter();
            let holds = conditions.all(|condition| condition.test(scope, &mut kept).is_ok());
            if holds {
                captures.clone_from_slice(&kept);
            }
            holds
        };
        match self.any.first().and_then(|first| first.first()) {
            Some(first) if !alternatives.any(holds) => {
                Err(Failed { path: first.path.text(), test: "any" })
            }
            _ => Ok(()),
        }
    }
}

impl Condition {
    fn test<'m>(
        &'m self,
        scope: Scope<'_, 'm>,
        captures: &mut [Option<Value>],
    ) -> Result<(), Failed<'m>> {
        let value = self.path.first(scope);
        let mut tests = self.tests.iter();
        match tests.find(|test| !test.holds(value, scope, captures)) {
            None => Ok(()),
            Some(failed) => Err(Failed { path: self.path.text(), test: failed.name() }),
        }
    }
}

impl Test {
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::OneOf(values) if values.len() == 1 => "equals",
            Self::OneOf(_) => "one of",
            Self::Not(_) => "not",
            Self::Prefix(_) => "prefix",
            Self::Suffix(_) => "suffix",
            Self::Regex(_) => "regex",
            Self::Exists(_) => "exists",
            Self::SameAs(_) => "same_as",
        }
    }

    fn holds<'m>(
        &'m self,
        value: Option<&Value>,
        scope: Scope<'_, 'm>,
        captures: &mut [Option<Value>],
    ) -> bool {
        let text = || value.and_then(Value::as_str);
        match self {
            Self::OneOf(values) => value.is_some_and(|value| contains(values, value)),
            Self::Not(values) => !value.is_some_and(|value| contains(values, value)),
            Self::Exists(exists) => value.is_some() == *exists,
            Self::Prefix(prefixes) => {
                text().is_some_and(|text| prefixes.iter().any(|prefix| text.starts_with(prefix)))
            }
            Self::Suffix(suffixes) => {
                text().is_some_and(|text| suffixes.iter().any(|suffix| text.ends_with(suffix)))
            }
            Self::SameAs(path) => {
                value.zip(path.first(scope)).is_some_and(|(one, other)| same(one, other))
            }
            Self::Regex(pattern) => text().is_some_and(|text| pattern.matches(text, captures)),
        }
    }
}

pub(super) fn contains(values: &[Value], value: &Value) -> bool {
    values.iter().any(|one| same(one, value))
}

impl Pattern {
    pub(super) fn matches(&self, text: &str, captures: &mut [Option<Value>]) -> bool {
        if MATCHED_BYTES_MAX < text.len() {
            return false;
        }
        if self.groups.is_empty() || captures.is_empty() {
            return self.regex.is_match(text);
        }
        let Some(found) = self.regex.captures(text) else { return false };
        for (group, place) in &self.groups {
            if let Some(capture) = captures.get_mut(*place) {
                *capture = found.get(*group).map(|group| group.as_str().into());
            }
        }
        true
    }
}

fn conditions(
    table: &Map<String, Value>,
    names: &Names<'_>,
    mut captures: Option<&mut Vec<String>>,
) -> Result<Vec<Condition>, Flaw> {
    let mut conditions = Vec::with_capacity(table.len());
    for (path, written) in table {
        // A condition cannot use what the conditions capture.
        if path.starts_with("capture:") {
            return Err(Flaw::at(path, "must not be in a condition; test its path by `regex`"));
        }
        let tests = tests(written, names, captures.as_deref_mut());
        let tests = tests.map_err(|flaw| flaw.within(path))?;
        conditions.push(Condition { path: Path::compile(path, names)?, tests });
    }
    Ok(conditions)
}

fn tests(
    written: &Value,
    names: &Names<'_>,
    mut captures: Option<&mut Vec<String>>,
) -> Result<Vec<Test>, Flaw> {
    let Value::Object(table) = written else { return Ok(vec![Test::OneOf(scalars(written)?)]) };
    if table.is_empty() {
        return Err(Flaw::new("has no test; write `{ exists = true }` to ask for any value"));
    }
    let test = |(name, written): (&String, &Value)| {
        Ok(match name.as_str() {
            "not" => Test::Not(scalars(written)?),
            "prefix" => Test::Prefix(texts(written)?),
            "suffix" => Test::Suffix(texts(written)?),
            "regex" => Test::Regex(pattern(written, captures.as_deref_mut())?),
            "exists" => match written {
                Value::Bool(exists) => Test::Exists(*exists),
                _ => return Err(Flaw::new("`exists` must be true or false")),
            },
            "same_as" => match written {
                Value::String(path) => Test::SameAs(Path::compile(path, names)?),
                _ => return Err(Flaw::new("`same_as` must be a path")),
            },
            _ => {
                let known = ["prefix", "suffix", "regex", "exists", "not", "same_as"];
                let known = listed(known);
                return Err(Flaw::new(format!("`{name}` is not a test; there are {known}")));
            }
        })
    };
    table.iter().map(test).collect()
}

fn scalars(written: &Value) -> Result<Vec<Value>, Flaw> {
    let scalar = |value: &Value| match value {
        Value::Object(_) | Value::Array(_) | Value::Null => false,
        value => value.as_str() != Some(""),
    };
    let values = match written {
        Value::Array(values) => values.clone(),
        value => vec![value.clone()],
    };
    if !(1..=VALUES_MAX).contains(&values.len()) {
        return Err(Flaw::new(format!("must be compared with 1 to {VALUES_MAX} values")));
    }
    if !values.iter().all(scalar) {
        return Err(Flaw::new(
            "must be compared with strings, numbers and booleans that are not empty; \
             `{ exists = false }` asks for an empty or missing value",
        ));
    }
    Ok(values)
}

fn texts(written: &Value) -> Result<Vec<String>, Flaw> {
    let texts = scalars(written)?.into_iter().map(|value| match value {
        Value::String(text) => Ok(text),
        _ => Err(Flaw::new("`prefix` and `suffix` must be strings")),
    });
    texts.collect()
}

fn pattern(written: &Value, captures: Option<&mut Vec<String>>) -> Result<Pattern, Flaw> {
    let Value::String(text) = written else { return Err(Flaw::new("`regex` must be a string")) };
    let regex = RegexBuilder::new(text)
        .size_limit(REGEX_BYTES_MAX)
        .dfa_size_limit(REGEX_BYTES_MAX)
        .nest_limit(REGEX_DEPTH_MAX)
        .build()
        .map_err(|error| Flaw::new(format!("has an invalid `regex`: {error}")))?;
    let mut groups = Vec::new();
    let named = regex.capture_names().enumerate().filter_map(|(at, name)| Some((at, name?)));
    let named: Vec<_> = named.map(|(at, name)| (at, name.to_owned())).collect();
    match captures {
        None => {
            if let Some((_, name)) = named.first() {
                return Err(Flaw::new(format!(
                    "captures `{name}` where nothing can use it; only the `when` and `any` of a \
                     rule capture"
                )));
            }
        }
        Some(captures) => {
            for (group, name) in named {
                let known = captures.iter().position(|known| *known == name);
                let place = known.unwrap_or(captures.len());
                if known.is_none() {
                    captures.push(name);
                }
                groups.push((group, place));
            }
        }
    }
    Ok(Pattern { regex, groups })
}

#[cfg(test)]
mod tests;
