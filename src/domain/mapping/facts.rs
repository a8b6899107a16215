//! The facts about one record while it is mapped: the record, its decoded documents, the request
//! that brought it, and the named values. Decoding and naming happen when a path first asks, so that
//! a record that is dropped costs nothing of it.

use std::{
    cell::{Cell, OnceCell},
    collections::BTreeMap,
};

use serde_json::Value;

use super::Mapping;

/// The longest text that a template may give, in bytes.
pub const TEXT_BYTES_MAX: usize = 65_536;
/// The most bytes of values that the events of one record may have together.
pub const OUTPUT_BYTES_MAX: usize = 2 * 1024 * 1024;

/// Headers and query parameters of the request that brought a record. A Redis entry has none.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RequestFacts {
    headers: BTreeMap<String, Value>,
    query: BTreeMap<String, Value>,
}

impl RequestFacts {
    /// Makes the facts. Names of headers are compared without regard to case. Of values with the
    /// same name, the first counts.
    pub fn new(
        headers: impl IntoIterator<Item = (String, String)>,
        query: impl IntoIterator<Item = (String, String)>,
    ) -> Self {
        let mut facts = Self::default();
        for (name, value) in headers {
            facts.headers.entry(name.to_ascii_lowercase()).or_insert(Value::String(value));
        }
        for (name, value) in query {
            facts.query.entry(name).or_insert(Value::String(value));
        }
        facts
    }

    pub(super) fn header(&self, lower_case: &str) -> Option<&Value> {
        self.headers.get(lower_case)
    }

    pub(super) fn parameter(&self, name: &str) -> Option<&Value> {
        self.query.get(name)
    }

    /// Returns the query parameters in the order of their names.
    pub(super) fn parameters(&self) -> &BTreeMap<String, Value> {
        &self.query
    }
}

/// A value that is not there, with the path that leads to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Missing<'m> {
    pub(super) path: &'m str,
    pub(super) why: Why<'m>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why<'m> {
    /// Not found, `null`, or an empty text.
    Absent,
    /// An object or an array where a text is needed.
    NotText,
    /// No object where one is copied.
    NotObject,
    /// A function gives nothing for it.
    Function(&'m str),
    /// A map has no entry for it.
    NoEntry(&'m str),
    /// No case of a `switch` holds.
    NoCase,
    /// The text of a template is too long.
    TooLong,
    /// The document in it cannot be decoded.
    Undecodable(&'static str),
}

impl Missing<'_> {
    /// Describes the problem without repeating a value of the record.
    pub(super) fn text(&self) -> String {
        let path = self.path;
        match self.why {
            Why::Absent => format!("`{path}` is missing"),
            Why::NotText => format!("`{path}` is an object or a list, and a text is needed"),
            Why::NotObject => format!("`{path}` is no object"),
            Why::Function(function) => format!("`{function}` gives nothing for `{path}`"),
            Why::NoEntry("") => format!("the map of `{path}` has no entry for its value"),
            Why::NoEntry(map) => {
                format!("the map `{map}` has no entry for the value of `{path}`")
            }
            Why::NoCase => format!("no case of the `switch` on `{path}` holds"),
            Why::TooLong => format!("the text with `{path}` has more than {TEXT_BYTES_MAX} bytes"),
            Why::Undecodable(encoding) => format!("`{path}` cannot be decoded as {encoding}"),
        }
    }
}

pub(super) struct Facts<'m> {
    mapping: &'m Mapping,
    record: &'m Value,
    pub(super) request: &'m RequestFacts,
    decoded: OnceCell<Decoded<'m>>,
    named: Vec<OnceCell<Result<Value, Missing<'m>>>>,
    /// The bytes that the events of the record may still have.
    room: Cell<usize>,
}

/// The record after its documents were decoded.
enum Decoded<'m> {
    Same,
    Changed(Value),
    Failed(Missing<'m>),
}

impl<'m> Facts<'m> {
    pub(super) fn new(mapping: &'m Mapping, record: &'m Value, request: &'m RequestFacts) -> Self {
        let named = mapping.lets.iter().map(|_| OnceCell::new()).collect();
        let room = Cell::new(OUTPUT_BYTES_MAX);
        Self { mapping, record, request, decoded: OnceCell::new(), named, room }
    }

    pub(super) fn scope(&self) -> Scope<'_, 'm> {
        Scope { facts: self, captures: &[], element: None }
    }

    fn decoded(&self) -> &Value {
        match self.decoded.get_or_init(|| self.decode()) {
            Decoded::Changed(record) => record,
            Decoded::Same | Decoded::Failed(_) => self.record,
        }
    }

    fn decode(&self) -> Decoded<'m> {
        let mut changed = None;
        for step in &self.mapping.decode {
            match step.decode(changed.as_ref().unwrap_or(self.record)) {
                Ok(None) => {}
                Ok(Some(document)) => {
                    let record = changed.get_or_insert_with(|| self.record.clone());
                    step.replace(record, document);
                }
                Err(_) if step.optional() => {}
                Err(missing) => return Decoded::Failed(missing),
            }
        }
        changed.map_or(Decoded::Same, Decoded::Changed)
    }

    /// Returns the document that could not be decoded, if a path has asked for one.
    pub(super) fn fault(&self) -> Option<Missing<'m>> {
        match self.decoded.get() {
            Some(Decoded::Failed(missing)) => Some(*missing),
            _ => None,
        }
    }

    /// Computes a named value, or returns the one that was computed before.
    pub(super) fn named(&self, at: usize) -> Result<&Value, Missing<'m>> {
        let value = self.named[at].get_or_init(|| {
            let value = self.mapping.lets[at].value(self.scope())?;
            Ok(value.into_owned())
        });
        value.as_ref().map_err(|missing| *missing)
    }

    /// Counts the bytes of a value that goes into an event. Returns whether there was room.
    pub(super) fn take_room(&self, value: &Value) -> bool {
        let left = self.room.get().checked_sub(size_of(value));
        self.room.set(left.unwrap_or(0));
        left.is_some()
    }

    /// Tells whether the events of the record have no room any more.
    pub(super) fn is_full(&self) -> bool {
        self.room.get() == 0
    }
}

/// Counts roughly the bytes that a value has as JSON.
fn size_of(value: &Value) -> usize {
    const SCALAR: usize = 8;
    match value {
        Value::String(text) => SCALAR + text.len(),
        Value::Array(elements) => SCALAR + elements.iter().map(size_of).sum::<usize>(),
        Value::Object(members) => {
            let member = |(name, value): (&String, &Value)| SCALAR + name.len() + size_of(value);
            SCALAR + members.iter().map(member).sum::<usize>()
        }
        _ => SCALAR,
    }
}

/// The values that a path can reach.
#[derive(Clone, Copy)]
pub(super) struct Scope<'s, 'm> {
    pub(super) facts: &'s Facts<'m>,
    pub(super) captures: &'s [Option<Value>],
    /// The element that a rule with `each` is applied to.
    pub(super) element: Option<&'s Value>,
}

impl<'s> Scope<'s, '_> {
    /// Returns the record, with its documents decoded if the path needs that.
    pub(super) fn record(&self, decoded: bool) -> &'s Value {
        if decoded { self.facts.decoded() } else { self.facts.record }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_found_in_any_case_and_the_first_counts() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let facts = RequestFacts::new(
            [pair("X-Id", "1"), pair("x-id", "2")],
            [pair("hook", "a"), pair("hook", "b")],
        );
        assert_eq!(facts.header("x-id"), Some(&Value::from("1")));
        assert_eq!(facts.parameter("hook"), Some(&Value::from("a")));
        assert_eq!(facts.parameter("Hook"), None);
    }
}
