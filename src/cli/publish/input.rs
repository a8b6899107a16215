//! Reads the events to publish: from a file, or one event from flags.

use std::{
    fs,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use clap::Args;
use serde_json::{
    Map, Value, json,
    value::{RawValue, to_raw_value},
};

/// One event, as it is sent.
pub type RawEvent = Box<RawValue>;

/// The arguments with the events.
#[derive(Debug, Args)]
pub(super) struct EventInput {
    /// A file of events: one JSON object, several (as in NDJSON), or an array of them; `-` stands
    /// for standard input
    #[arg(
        value_name = "FILE",
        required_unless_present = "one_event",
        conflicts_with = "one_event"
    )]
    file: Option<PathBuf>,
    #[command(flatten)]
    event: EventFlags,
}

/// The flags of one event, in place of a file.
#[derive(Debug, Args)]
#[group(id = "one_event")]
struct EventFlags {
    /// The type of the event: a URI, or a short name such as caep:session-revoked
    #[arg(long = "type", id = "event_type", value_name = "TYPE", requires = "subject")]
    event_type: Option<String>,
    /// The subject of the event, which is a subject identifier
    #[arg(long, value_name = "JSON", value_parser = object, group = "subject", requires = "event_type")]
    sub_id: Option<Value>,
    /// The email address of the subject, short for --sub-id '{"format":"email","email":…}'
    #[arg(long, value_name = "ADDRESS", group = "subject", requires = "event_type")]
    email: Option<String>,
    /// The payload of the event, which is the value of its type in a SET
    #[arg(long, value_name = "JSON", value_parser = object, requires = "event_type")]
    event: Option<Value>,
    /// The id of the event; a second event with the same id within a day is a duplicate
    #[arg(long, requires = "event_type")]
    id: Option<String>,
    /// The id of the transaction that caused the event
    #[arg(long, requires = "event_type")]
    txn: Option<String>,
    /// Deliver the event to no other stream than this; may be repeated
    #[arg(long, value_name = "STREAM", requires = "event_type")]
    stream_id: Vec<String>,
}

/// Why the events cannot be read. In that case nothing was sent.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    #[error("{name}: {source}")]
    Unreadable { name: String, source: io::Error },
    #[error("{name}: after {count} events: {source}")]
    Malformed { name: String, count: usize, source: serde_json::Error },
    #[error("{name}: event {number} must be a JSON object, not `{found}`")]
    NoObject { name: String, number: usize, found: String },
    #[error("{name}: contains no event")]
    Empty { name: String },
}

/// Parses an argument that must be a JSON object.
fn object(text: &str) -> Result<Value, String> {
    match serde_json::from_str(text) {
        Ok(object @ Value::Object(_)) => Ok(object),
        Ok(_) => Err("must be a JSON object".to_owned()),
        Err(error) => Err(format!("must be JSON: {error}")),
    }
}

impl EventInput {
    pub(super) fn read(self) -> Result<Vec<RawEvent>, InputError> {
        match self.file {
            Some(file) => read(&file),
            None => Ok(vec![self.event.build()]),
        }
    }
}

impl EventFlags {
    fn build(self) -> RawEvent {
        let email = |address| json!({"format": "email", "email": address});
        let mut event = Map::new();
        let mut put = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                event.insert(name.to_owned(), value);
            }
        };
        put("type", self.event_type.map(Value::from));
        put("sub_id", self.sub_id.or_else(|| self.email.map(email)));
        put("event", self.event);
        put("id", self.id.map(Value::from));
        put("txn", self.txn.map(Value::from));
        put("stream_ids", (!self.stream_id.is_empty()).then(|| self.stream_id.into()));
        to_raw_value(&event).expect("a JSON value")
    }
}

fn read(file: &Path) -> Result<Vec<RawEvent>, InputError> {
    let stdin = file == Path::new("-");
    let name = if stdin { "standard input".to_owned() } else { file.display().to_string() };
    let mut text = Vec::new();
    let read = if stdin {
        io::stdin().read_to_end(&mut text).map(drop)
    } else {
        fs::read(file).map(|bytes| text = bytes)
    };
    match read {
        Ok(()) => parse(&text, &name),
        Err(source) => Err(InputError::Unreadable { name, source }),
    }
}

/// Splits a text into events without changing their bytes. All events are checked before any is
/// sent, so that a mistake does not leave a part of them published.
fn parse(text: &[u8], name: &str) -> Result<Vec<RawEvent>, InputError> {
    let name = || name.to_owned();
    let mut events: Vec<RawEvent> = Vec::new();
    for value in serde_json::Deserializer::from_slice(text).into_iter::<RawEvent>() {
        let malformed = |source, count| InputError::Malformed { name: name(), count, source };
        let value = value.map_err(|error| malformed(error, events.len()))?;
        if value.get().starts_with('[') {
            let array = serde_json::from_str::<Vec<RawEvent>>(value.get());
            events.extend(array.map_err(|error| malformed(error, events.len()))?);
        } else {
            events.push(value);
        }
    }
    if events.is_empty() {
        return Err(InputError::Empty { name: name() });
    }
    match events.iter().position(|event| !event.get().starts_with('{')) {
        None => Ok(events),
        Some(at) => Err(InputError::NoObject {
            name: name(),
            number: at + 1,
            found: events[at].get().chars().take(40).collect(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, events: &[&str]) {
        let found = parse(text.as_bytes(), "f").expect("events");
        assert_eq!(found.iter().map(|event| event.get()).collect::<Vec<_>>(), events, "{text}");
    }

    #[test]
    fn one_event_an_array_and_lines_are_read_alike() {
        check(r#"{"a":1}"#, &[r#"{"a":1}"#]);
        check(" [{\"a\":1},\n {\"b\": 2}]\n", &[r#"{"a":1}"#, r#"{"b": 2}"#]);
        check("{\"a\":1}\n\n{\"b\":2}\r\n", &[r#"{"a":1}"#, r#"{"b":2}"#]);
        check("{\n  \"a\": 1\n}\n", &["{\n  \"a\": 1\n}"]);
    }

    #[track_caller]
    fn refuses(text: &str, why: &str) {
        let error = parse(text.as_bytes(), "f").expect_err(text).to_string();
        assert!(error.starts_with("f: ") && error.contains(why), "{error}");
    }

    #[test]
    fn the_error_names_the_place_of_a_malformed_event() {
        refuses("", "contains no event");
        refuses("[]", "contains no event");
        refuses("{\"a\":1}\n{\"b\":", "after 1 events: EOF while parsing a value at line 2");
        refuses("{\"a\":1}\n7", "event 2 must be a JSON object, not `7`");
        refuses(r#"[{"a":1},["b"]]"#, "event 2 must be");
        refuses("nonsense", "after 0 events: ");
    }
}
