//! Takes a body apart into native records.
//!
//! A top-level array and a body of lines are cut as text, so that an element that is no good JSON rejects
//! no other. Within one document, the mapping finds the records.

use serde_json::{Value, value::RawValue};

use crate::domain::json::{self, Document, JsonError};

/// The most values in one document. An envelope may have thousands of records.
pub(super) const VALUES_MAX: usize = 1_000_000;

/// A document, or the reason why a part of a body is none.
pub(super) type Part = Result<Value, String>;

/// The reason why a body has no records at all. Each message continues a sentence that names the body.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnreadableBody {
    #[error("{0}")]
    Json(#[from] JsonError),
    #[error("must be a JSON array")]
    Array,
    #[error("must have at most {0} records")]
    TooMany(usize),
}

/// Cuts a body into documents. An empty body is one document without members, because some senders say all
/// in the headers.
pub(super) fn parts(
    body: &[u8],
    is_lines: bool,
    records_max: usize,
) -> Result<Vec<Part>, UnreadableBody> {
    let trimmed = body.trim_ascii();
    if trimmed.is_empty() {
        return Ok(vec![Ok(Value::Object(serde_json::Map::new()))]);
    }
    if !is_lines && trimmed.starts_with(b"[") {
        let elements: Vec<&RawValue> =
            serde_json::from_slice(trimmed).map_err(|_| UnreadableBody::Array)?;
        if records_max < elements.len() {
            return Err(UnreadableBody::TooMany(records_max));
        }
        return Ok(elements.into_iter().map(|one| part(one.get().as_bytes())).collect());
    }
    let lines = || {
        let lines = trimmed.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
        lines.filter(|line| !line.is_empty())
    };
    let by_line = || {
        if records_max < lines().take(records_max + 1).count() {
            return Err(UnreadableBody::TooMany(records_max));
        }
        Ok(lines().map(part).collect())
    };
    if is_lines {
        return by_line();
    }
    match document(trimmed) {
        Ok(document) => Ok(vec![Ok(document)]),
        // Some senders write lines and do not say so.
        Err(JsonError::Malformed { .. }) if lines().nth(1).is_some() && lines().all(is_object) => {
            by_line()
        }
        Err(error) => Err(error.into()),
    }
}

/// Tells whether a line looks like an object.
fn is_object(line: &[u8]) -> bool {
    line.starts_with(b"{") && line.ends_with(b"}")
}

/// Reads a document that is one of several.
pub(super) fn part(text: &[u8]) -> Part {
    document(text).map_err(|error| format!("the record {error}"))
}

fn document(text: &[u8]) -> Result<Value, JsonError> {
    json::read_up_to(text, VALUES_MAX).map(|Document { value, .. }| value)
}

/// Tells whether a media type says that each line is a document.
pub(super) fn says_lines(media_type: Option<&str>) -> bool {
    let kind = media_type.unwrap_or_default().to_ascii_lowercase();
    ["ndjson", "jsonl", "json-lines", "jsonlines"].iter().any(|name| kind.contains(name))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn taken(body: &str, media_type: &str) -> Result<Vec<Part>, UnreadableBody> {
        parts(body.as_bytes(), says_lines(Some(media_type)), 3)
    }

    #[track_caller]
    fn check(body: &str, media_type: &str, expected: &[Value]) {
        let found = taken(body, media_type).expect("readable");
        let found: Vec<_> = found.into_iter().map(|part| part.expect("a document")).collect();
        assert_eq!(found, expected, "{body}");
    }

    const JSON: &str = "application/json";

    #[test]
    fn a_body_is_an_object_an_array_or_lines() {
        let (one, two) = (json!({"a": 1}), json!({"a": 2}));
        check(r#"{"a":1}"#, JSON, std::slice::from_ref(&one));
        check("{\n \"a\": 1\n}\n", JSON, std::slice::from_ref(&one));
        check(r#" [{"a":1}, {"a":2}] "#, JSON, &[one.clone(), two.clone()]);
        check("{\"a\":1}\n\n{\"a\":2}\r\n", "application/x-ndjson", &[one.clone(), two.clone()]);
        check("{\"a\":1}\n{\"a\":2}", JSON, &[one.clone(), two]);
        check("[]", JSON, &[]);
        check("", JSON, &[json!({})]);
        check("[1]\n", "application/jsonl", &[json!([1])]);
    }

    #[test]
    fn a_bad_element_leaves_the_others() {
        let good = |part: &Part| part.is_ok();
        let count = |found: &[Part]| (found.len(), found.iter().filter(|part| good(part)).count());
        let array = taken(r#"[{"a":1}, {"a":1,"a":2}, {"a":3}]"#, JSON).expect("an array");
        assert_eq!(count(&array), (3, 2));
        let lines = taken("{\"a\":1}\n{\"a\":\n{\"a\":3}", "application/jsonl").expect("lines");
        assert_eq!(count(&lines), (3, 2));
        let lines = taken("{\"a\":1}\n{\"a\":}\n{\"a\":3}", JSON).expect("lines");
        assert_eq!(count(&lines), (3, 2));
    }

    #[test]
    fn a_body_that_is_no_document_is_refused_as_a_whole() {
        for body in ["[{\"a\":1}", "{\"a\":1", "nonsense", "{\"a\":1}\nnonsense", "\u{feff}{}"] {
            assert!(taken(body, JSON).is_err(), "{body}");
        }
        assert_eq!(taken("[1,2,3,4]", JSON), Err(UnreadableBody::TooMany(3)));
        assert_eq!(taken("1\n2\n3\n4", "application/jsonl"), Err(UnreadableBody::TooMany(3)));
        let nested = "[".repeat(40) + &"]".repeat(40);
        assert!(taken(&format!("{{\"a\":{nested}}}"), JSON).is_err());
    }
}
