//! Paths: where a mapping finds a value.
//!
//! | written | finds |
//! |---|---|
//! | `/a/0/b` | a value of the record by JSON Pointer (RFC 6901) |
//! | `$.a[?@.b=='c'].d` | the first node of a JSONPath (RFC 9535) in the record |
//! | `header:<name>`, `query:<name>` | a header or a parameter of the request |
//! | `var:<name>` | a variable of the source |
//! | `let:<name>` | a named value of the mapping |
//! | `capture:<name>` | a group of a regular expression in the conditions of the rule |
//! | `each:`, `each:/a`, `each:$.a` | the element of a rule with `each`, or a value inside it |
//!
//! A value that is `null` or an empty text counts as absent, because senders write both for a member
//! that they have no value for.

use serde_json::Value;

use super::{
    error::{Flaw, listed},
    facts::Scope,
    names::Names,
    query::{self, Query},
};

/// The longest path, in bytes.
pub const PATH_BYTES_MAX: usize = 1024;
/// The most JSONPath queries in one mapping, because each may visit all of a record.
pub const QUERIES_MAX: usize = 64;

/// A compiled path.
#[derive(Debug, Clone)]
pub(super) struct Path {
    text: String,
    place: Place,
}

#[derive(Debug, Clone)]
enum Place {
    Record {
        at: Local,
        /// The value may lie in a document that is decoded first.
        decoded: bool,
    },
    Element(Local),
    Header(String),
    Query(String),
    /// The value of a variable, which is known when the mapping is loaded.
    Const(Value),
    Let(usize),
    Capture(usize),
}

/// A place within one JSON value.
#[derive(Debug, Clone)]
pub(super) enum Local {
    Steps(Vec<Step>),
    Query(Query),
}

/// One step into an object or an array.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    Member(String),
    Element(usize),
    /// A step of a JSON Pointer that is a number: a member of an object or an element of an array.
    Either(String, usize),
}

impl Step {
    pub(super) fn take<'v>(&self, value: &'v Value) -> Option<&'v Value> {
        match (value, self) {
            (Value::Object(members), Self::Member(name) | Self::Either(name, _)) => {
                members.get(name)
            }
            (Value::Array(elements), Self::Element(at) | Self::Either(_, at)) => elements.get(*at),
            _ => None,
        }
    }

    pub(super) fn take_mut<'v>(&self, value: &'v mut Value) -> Option<&'v mut Value> {
        match (value, self) {
            (Value::Object(members), Self::Member(name) | Self::Either(name, _)) => {
                members.get_mut(name)
            }
            (Value::Array(elements), Self::Element(at) | Self::Either(_, at)) => {
                elements.get_mut(*at)
            }
            _ => None,
        }
    }
}

impl Local {
    /// Reads a JSON Pointer or a JSONPath.
    pub(super) fn compile(text: &str) -> Result<Self, Flaw> {
        if PATH_BYTES_MAX < text.len() {
            return Err(Flaw::new(format!("a path must have at most {PATH_BYTES_MAX} bytes")));
        }
        if text.starts_with('$') {
            return query::compile(text).map_err(|reason| Flaw::at(text, reason));
        }
        pointer(text).map(Self::Steps).map_err(|reason| Flaw::at(text, reason))
    }

    pub(super) fn first<'v>(&self, value: &'v Value) -> Option<&'v Value> {
        match self {
            Self::Steps(steps) => steps.iter().try_fold(value, |value, step| step.take(value)),
            Self::Query(query) => query.all(value).first().copied(),
        }
    }

    /// Returns all nodes.
    pub(super) fn all<'v>(&self, value: &'v Value) -> Vec<&'v Value> {
        match self {
            Self::Steps(_) => self.first(value).into_iter().collect(),
            Self::Query(query) => query.all(value),
        }
    }

    /// Tells whether the value may lie inside `outer`, or contain it.
    fn touches(&self, outer: &[Step]) -> bool {
        match self {
            Self::Query(_) => true,
            Self::Steps(steps) => steps.iter().zip(outer).all(|(one, other)| one.meets(other)),
        }
    }
}

impl Step {
    fn meets(&self, other: &Self) -> bool {
        let name = |step: &Self| match step {
            Self::Member(name) | Self::Either(name, _) => Some(name.clone()),
            Self::Element(_) => None,
        };
        let at = |step: &Self| match step {
            Self::Element(at) | Self::Either(_, at) => Some(*at),
            Self::Member(_) => None,
        };
        (name(self).is_some() && name(self) == name(other))
            || (at(self).is_some() && at(self) == at(other))
    }
}

/// Reads a JSON Pointer (RFC 6901 §3).
pub(super) fn pointer(text: &str) -> Result<Vec<Step>, String> {
    let Some(rest) = text.strip_prefix('/') else {
        return Err("is not a path: begin with `/` (JSON Pointer), `$` (JSONPath), `header:`, \
                    `query:`, `var:`, `let:`, `capture:` or `each:`"
            .to_owned());
    };
    let step = |token: &str| {
        let mut escapes = token.split('~').skip(1);
        if !escapes.all(|rest| rest.starts_with(['0', '1'])) {
            return Err("has a `~` that is neither `~0` nor `~1` (RFC 6901 §3)".to_owned());
        }
        let name = token.replace("~1", "/").replace("~0", "~");
        // An index has no leading zero (RFC 6901 §4).
        let index = (token == "0" || !token.starts_with(['0', '+'])).then(|| token.parse().ok());
        Ok(match index.flatten() {
            Some(at) => Step::Either(name, at),
            None => Step::Member(name),
        })
    };
    rest.split('/').map(step).collect()
}

impl Path {
    /// Reads a path of any form.
    pub(super) fn compile(text: &str, names: &Names<'_>) -> Result<Self, Flaw> {
        let place = Self::place(text, names).map_err(|flaw| flaw.within(text))?;
        Ok(Self { text: text.to_owned(), place })
    }

    fn place(text: &str, names: &Names<'_>) -> Result<Place, Flaw> {
        let Some((kind, name)) = text.split_once(':').filter(|_| !text.starts_with(['/', '$']))
        else {
            let at = Local::compile(text)?;
            names.count(&at)?;
            let decoded = names.decoded.iter().any(|outer| at.touches(outer));
            return Ok(Place::Record { at, decoded });
        };
        match kind {
            "header" if !name.is_empty() => Ok(Place::Header(name.to_ascii_lowercase())),
            "query" if !name.is_empty() => Ok(Place::Query(name.to_owned())),
            "header" | "query" => Err(Flaw::new("names nothing behind the colon")),
            "var" => names.vars.get(name).cloned().map(Place::Const).ok_or_else(|| {
                let known = listed(names.vars.keys().map(String::as_str));
                Flaw::new(format!(
                    "is not a variable with a value; give it in `vars`. Known are {known}"
                ))
            }),
            "let" => {
                let at = names.lets.iter().position(|known| known == name);
                at.map(Place::Let).ok_or_else(|| Flaw {
                    unknown_let: Some(name.to_owned()),
                    ..Flaw::new(format!(
                        "names no value of `let`, or two values of `let` need each other; \
                         known are {}",
                        listed(names.lets.iter().map(String::as_str))
                    ))
                })
            }
            "capture" => {
                let at = names.captures.iter().position(|known| known == name);
                at.map(Place::Capture).ok_or_else(|| {
                    let known = listed(names.captures.iter().map(String::as_str));
                    Flaw::new(format!(
                        "names no group `(?<{name}>…)` of a `regex` in the rule's `when` or \
                         `any`; known are {known}"
                    ))
                })
            }
            "each" if !names.each => Err(Flaw::new("needs `each` in the rule")),
            "each" if name.is_empty() => Ok(Place::Element(Local::Steps(Vec::new()))),
            "each" => {
                let at = Local::compile(name)?;
                names.count(&at)?;
                Ok(Place::Element(at))
            }
            _ => Err(Flaw::new(pointer(text).expect_err("it does not begin with `/`"))),
        }
    }

    /// Returns the path as it is written.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Returns the value if it is known when the mapping is loaded.
    pub(super) fn constant(&self) -> Option<&Value> {
        match &self.place {
            Place::Const(value) => Some(value),
            _ => None,
        }
    }

    /// Finds the first value. `null` and an empty text are absent.
    pub(super) fn first<'s, 'm: 's>(&'m self, scope: Scope<'s, 'm>) -> Option<&'s Value> {
        let found = match &self.place {
            Place::Record { at, decoded } => at.first(scope.record(*decoded)),
            Place::Element(at) => at.first(scope.element?),
            Place::Header(name) => scope.facts.request.header(name),
            Place::Query(name) => scope.facts.request.parameter(name),
            Place::Const(value) => Some(value),
            Place::Let(at) => scope.facts.named(*at).ok(),
            Place::Capture(at) => scope.captures.get(*at)?.as_ref(),
        };
        found.filter(|value| is_present(value))
    }

    /// Finds all values for `each`: the elements if the path leads to one array, else its nodes.
    pub(super) fn elements<'s, 'm: 's>(&'m self, scope: Scope<'s, 'm>) -> Vec<&'s Value> {
        let nodes = match &self.place {
            Place::Record { at, decoded } => at.all(scope.record(*decoded)),
            _ => self.first(scope).into_iter().collect(),
        };
        match nodes.as_slice() {
            [Value::Array(elements)] => elements.iter().collect(),
            _ => nodes,
        }
    }

    /// Returns the named value that the path leads to, so that an error can say why it is missing.
    pub(super) fn named(&self) -> Option<usize> {
        match self.place {
            Place::Let(at) => Some(at),
            _ => None,
        }
    }
}

pub(super) fn is_present(value: &Value) -> bool {
    !value.is_null() && value.as_str() != Some("")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn finds(text: &str, expected: Option<Value>) {
        let record = json!({"a": {"b": [10, {"c": "d"}], "01": "m", "": "e"}, "x/y": 1, "m~n": 2});
        let found = Local::compile(text).expect(text).first(&record).cloned();
        assert_eq!(found, expected, "{text}");
        assert_eq!(found.as_ref(), record.pointer(text), "{text}, by serde_json");
    }

    #[test]
    fn a_pointer_finds_the_value_of_rfc_6901() {
        finds("/a/b/0", Some(json!(10)));
        finds("/a/b/1/c", Some(json!("d")));
        finds("/a/b/2", None);
        finds("/a/b/-", None);
        finds("/a/b/00", None);
        finds("/a/01", Some(json!("m")));
        finds("/a/", Some(json!("e")));
        finds("/x~1y", Some(json!(1)));
        finds("/m~0n", Some(json!(2)));
        finds("/a/b/0/c", None);
        finds("/nope", None);
    }

    #[test]
    fn a_path_that_is_none_says_what_is_known() {
        let names = Names::none();
        for (text, reason) in [
            ("type", "is not a path"),
            ("/a~2", "neither `~0` nor `~1`"),
            ("other:x", "is not a path"),
            ("header:", "names nothing"),
            ("var:iss", "is not a variable with a value"),
            ("let:user", "names no value of `let`"),
            ("capture:user", "names no group `(?<user>…)`"),
            ("each:/id", "needs `each` in the rule"),
            ("$..a", "has `..`"),
        ] {
            let flaw = Path::compile(text, &names).expect_err(text);
            assert!(flaw.text.contains(reason), "{text}: {}", flaw.text);
            assert_eq!(flaw.path.as_deref(), Some(text));
        }
        let long = format!("/{}", "a".repeat(PATH_BYTES_MAX));
        assert!(Path::compile(&long, &names).expect_err("too long").text.contains("1024 bytes"));
    }
}
