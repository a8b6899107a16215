//! Events as they are given: a file of them, or one in flags.

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

/// One event, as it will be sent.
pub type RawEvent = Box<RawValue>;

/// Where the events are.
#[derive(Debug, Args)]
pub(super) struct Input {
    /// A file of events, each a JSON object: one, several (as in NDJSON), or an array of them; `-`
    /// is standard input
    #[arg(
        value_name = "FILE",
        required_unless_present = "one_event",
        conflicts_with = "one_event"
    )]
    file: Option<PathBuf>,
    #[command(flatten)]
    event: OneEvent,
}

/// One event in place of a file.
#[derive(Debug, Args)]
#[group(id = "one_event")]
struct OneEvent {
    /// Publish one event of this type: a URI, or a short name such as caep:session-revoked
    #[arg(long = "type", id = "event_type", value_name = "TYPE", requires = "subject")]
    event_type: Option<String>,
    /// Whom it is about: a subject identifier
    #[arg(long, value_name = "JSON", value_parser = object, group = "subject", requires = "event_type")]
    sub_id: Option<Value>,
    /// Whom it is about: short for --sub-id '{"format":"email","email":…}'
    #[arg(long, value_name = "ADDRESS", group = "subject", requires = "event_type")]
    email: Option<String>,
    /// What the event says: the value under its type in a SET
    #[arg(long, value_name = "JSON", value_parser = object, requires = "event_type")]
    event: Option<Value>,
    /// Its id: a second event with it, within a day, is a duplicate
    #[arg(long, requires = "event_type")]
    id: Option<String>,
    /// The transaction that caused it
    #[arg(long, requires = "event_type")]
    txn: Option<String>,
    /// Send it to no other stream than this; may be given several times
    #[arg(long, value_name = "STREAM", requires = "event_type")]
    stream_id: Vec<String>,
}

/// Why there are no events. Nothing was sent then.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    #[error("{name}: {source}")]
    Unreadable { name: String, source: io::Error },
    #[error("{name}: after {count} events: {source}")]
    Malformed { name: String, count: usize, source: serde_json::Error },
    #[error("{name}: event {number} must be a JSON object, not `{found}`")]
    NoObject { name: String, number: usize, found: String },
    #[error("{name}: holds no event")]
    Empty { name: String },
}

/// A value parser for JSON objects.
fn object(text: &str) -> Result<Value, String> {
    match serde_json::from_str(text) {
        Ok(object @ Value::Object(_)) => Ok(object),
        Ok(_) => Err("must be a JSON object".to_owned()),
        Err(error) => Err(format!("must be JSON: {error}")),
    }
}

impl Input {
    pub(super) fn read(self) -> Result<Vec<RawEvent>, InputError> {
        match self.file {
            Some(file) => read(&file),
            None => Ok(vec![self.event.build()]),
        }
    }
}

impl OneEvent {
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

/// Takes the text apart into events, each as it stands there. All are looked at before any is sent,
/// so that nothing is half done.
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
    fn one_event_an_array_and_lines_are_all_the_same() {
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
    fn what_is_no_event_is_named_by_its_place() {
        refuses("", "holds no event");
        refuses("[]", "holds no event");
        refuses("{\"a\":1}\n{\"b\":", "after 1 events: EOF while parsing a value at line 2");
        refuses("{\"a\":1}\n7", "event 2 must be a JSON object, not `7`");
        refuses(r#"[{"a":1},["b"]]"#, "event 2 must be");
        refuses("nonsense", "after 0 events: ");
    }
}
