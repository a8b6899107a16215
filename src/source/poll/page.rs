//! Takes the answer of a provider apart: records, and the cursor of the next page.
//!
//! The answer is cut as text, so that a record that is no good JSON rejects no other.

use std::collections::BTreeMap;

use serde_json::{Value, value::RawValue};

use super::fault::Fault;
use crate::{
    domain::{
        mapping::{FUTURE_MAX, Mapping},
        time::Timestamp,
    },
    source::{
        body::{self, Part},
        entries::PolledRecord,
        hash,
        settings::{CursorIn, PollSettings},
    },
};

/// The longest cursor, in bytes.
const CURSOR_BYTES_MAX: usize = 2048;

/// A page of records.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) records: Vec<PolledRecord>,
    pub(super) cursor: Option<String>,
}

/// The facts of a page by which the next one is found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct PageFacts {
    pub(super) records: usize,
    /// The time of the first record and of the last one that have a time.
    pub(super) first: Option<Timestamp>,
    pub(super) last: Option<Timestamp>,
    /// The latest time that is not so far ahead that it must be a mistake. If such a time were believed,
    /// nothing would be asked for until then.
    pub(super) newest: Option<Timestamp>,
    /// Stands for the records.
    pub(super) digest: String,
    pub(super) cursor: Option<String>,
    /// The URL in the `Link` header.
    pub(super) link: Option<String>,
}

impl Page {
    /// Reads an answer, as `settings` say where its parts are.
    pub(super) fn read(
        answer: &[u8],
        settings: &PollSettings,
        mapping: &Mapping,
        records_max: usize,
    ) -> Result<Self, Fault> {
        let malformed = |why: String| Err(Fault::Malformed(why));
        let Ok(answer) = serde_json::from_slice::<&RawValue>(answer.trim_ascii()) else {
            return malformed("is no JSON".to_owned());
        };
        let list = match find(answer, &settings.records) {
            Some(list) if list.get() == "null" => Vec::new(),
            Some(list) => match serde_json::from_str::<Vec<&RawValue>>(list.get()) {
                Ok(list) => list,
                Err(_) => return malformed(format!("has no list at `{}`", settings.records)),
            },
            None => return malformed(format!("has nothing at `{}`", settings.records)),
        };
        if records_max < list.len() {
            return malformed(format!("has more than `records_max` records, {records_max}"));
        }
        let cursor = match (&settings.cursor, settings.cursor_in) {
            (None, _) => None,
            (Some(pointer), CursorIn::Body) => find(answer, pointer),
            (Some(pointer), CursorIn::LastRecord) => {
                list.last().and_then(|record| find(record, pointer))
            }
        };
        let cursor = cursor.map(cursor_of).transpose()?.flatten();
        let record = |raw: &RawValue| PolledRecord::of(raw, settings.wrap.as_deref(), mapping);
        Ok(Self { records: list.into_iter().map(record).collect(), cursor })
    }

    pub(super) fn facts(&self, link: Option<String>, now: Timestamp) -> PageFacts {
        let times = || self.records.iter().filter_map(|record| record.time);
        let digests: Vec<_> = self.records.iter().map(|record| record.digest.as_str()).collect();
        PageFacts {
            records: self.records.len(),
            first: times().next(),
            last: times().next_back(),
            newest: times().filter(|time| *time <= now + FUTURE_MAX).max(),
            digest: hash(&digests.concat()),
            cursor: self.cursor.clone(),
            link,
        }
    }
}

impl PolledRecord {
    fn of(raw: &RawValue, wrap: Option<&str>, mapping: &Mapping) -> Self {
        let document: Part = body::part(raw.get().as_bytes()).map(|record| match wrap {
            Some(member) => Value::Object([(member.to_owned(), record)].into_iter().collect()),
            None => record,
        });
        let (time, digest) = match &document {
            Ok(record) => (mapping.time_of(record), hash(&record.to_string())),
            Err(_) => (None, hash(raw.get())),
        };
        Self { document, digest, time, bytes: raw.get().len() }
    }
}

/// Finds a value by a JSON Pointer through objects.
fn find<'a>(value: &'a RawValue, pointer: &str) -> Option<&'a RawValue> {
    pointer.split('/').skip(1).try_fold(value, |value, token| {
        let name = token.replace("~1", "/").replace("~0", "~");
        let members: BTreeMap<String, &RawValue> = serde_json::from_str(value.get()).ok()?;
        members.get(&name).copied()
    })
}

/// Reads a cursor. An empty one is none.
fn cursor_of(value: &RawValue) -> Result<Option<String>, Fault> {
    let cursor = match serde_json::from_str(value.get()) {
        Ok(Value::String(text)) => text,
        Ok(Value::Number(number)) => number.to_string(),
        Ok(Value::Null | Value::Bool(false)) => return Ok(None),
        _ => return Err(Fault::Malformed("has a cursor that is no text".to_owned())),
    };
    if CURSOR_BYTES_MAX < cursor.len() {
        let why = format!("has a cursor of more than {CURSOR_BYTES_MAX} bytes");
        return Err(Fault::Malformed(why));
    }
    Ok(Some(cursor).filter(|cursor| !cursor.is_empty()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::mapping::MappingSettings;

    const NOW: Timestamp = Timestamp::from_millis(1_775_000_000_000);

    fn read(answer: &str, members: Value) -> Result<Page, Fault> {
        let mut settings = json!({"urls": [], "paging": "cursor"});
        for (key, value) in members.as_object().expect("members") {
            settings[key] = value.clone();
        }
        let mapping: MappingSettings =
            serde_json::from_value(json!({"time": {"from": "/t", "unit": "ms"}}))
                .expect("settings");
        let mapping = Mapping::compile(None, &mapping, "test", &[]).expect("valid");
        let settings = serde_json::from_value(settings).expect("settings");
        Page::read(answer.as_bytes(), &settings, &mapping, 3)
    }

    #[track_caller]
    fn check(answer: &str, members: Value, records: &[Value], cursor: Option<&str>) {
        let page = read(answer, members).expect("readable");
        let documents = page.records.iter().map(|record| record.document.clone());
        assert_eq!(documents.collect::<Result<Vec<_>, _>>().expect("records"), records, "{answer}");
        assert_eq!(page.cursor.as_deref(), cursor, "{answer}");
    }

    #[test]
    fn records_and_cursors_are_found_by_their_places() {
        let (one, two) = (json!({"a": 1}), json!({"a": "b/c"}));
        check(r#" [{"a":1}, {"a":"b/c"}] "#, json!({}), &[one.clone(), two.clone()], None);
        check("[]", json!({"cursor": "/a", "cursor_in": "last-record"}), &[], None);
        check(
            r#"[{"a":1},{"a":"b/c"}]"#,
            json!({"cursor": "/a", "cursor_in": "last-record"}),
            &[one.clone(), two],
            Some("b/c"),
        );
        let nested = json!({"records": "/d/x~1y", "cursor": "/n/next"});
        let of_cursor =
            |cursor: &str| format!(r#"{{"d":{{"x/y":[{{"a":1}}]}},"n":{{"next":{cursor}}}}}"#);
        check(&of_cursor("\"c\""), nested.clone(), std::slice::from_ref(&one), Some("c"));
        check(&of_cursor("17"), nested.clone(), std::slice::from_ref(&one), Some("17"));
        for none in ["null", "\"\"", "false"] {
            check(&of_cursor(none), nested.clone(), std::slice::from_ref(&one), None);
        }
        check(r#"{"d":{"x/y":null}}"#, nested, &[], None);
        check(r#"[{"a":1}]"#, json!({"wrap": "data"}), &[json!({"data": one})], None);
    }

    #[test]
    fn an_answer_without_a_list_is_refused() {
        for (answer, members) in [
            ("", json!({})),
            ("nonsense", json!({})),
            ("[{\"a\":1}", json!({})),
            ("[] []", json!({})),
            ("{}", json!({})),
            ("[]", json!({"records": "/a"})),
            (r#"{"a":{}}"#, json!({"records": "/a"})),
            (r#"{"b":[]}"#, json!({"records": "/a"})),
            ("[1,2,3,4]", json!({})),
            (r#"{"a":[],"c":{}}"#, json!({"records": "/a", "cursor": "/c"})),
            (
                &format!(r#"{{"a":[],"c":"{}"}}"#, "x".repeat(3000)),
                json!({"records": "/a", "cursor": "/c"}),
            ),
        ] {
            let found = read(answer, members);
            assert!(matches!(found, Err(Fault::Malformed(_))), "{answer:.40}: {found:?}");
        }
    }

    #[test]
    fn a_bad_record_leaves_the_others() {
        let nested = "[".repeat(60) + &"]".repeat(60);
        let answer = format!(r#"[{{"a":1}}, {{"a":1,"a":2}}, {nested}]"#);
        let page = read(&answer, json!({})).expect("readable");
        let good: Vec<_> = page.records.iter().map(|record| record.document.is_ok()).collect();
        assert_eq!(good, [true, false, false]);
    }

    #[test]
    fn the_facts_of_a_page_have_its_times() {
        let answer = r#"[{"x":1},{"t":1775000000005},{"t":1775000000003},{"t":"never"}]"#;
        let facts = |answer: &str| {
            let read =
                read(&answer.replace(",{\"t\":\"never\"}", ""), json!({})).expect("readable");
            read.facts(Some("link".into()), NOW)
        };
        let found = facts(answer);
        let at = |millis| Some(Timestamp::from_millis(millis));
        assert_eq!((found.records, found.link.as_deref()), (3, Some("link")));
        assert_eq!((found.first, found.last), (at(1_775_000_000_005), at(1_775_000_000_003)));
        assert_eq!(found.newest, at(1_775_000_000_005));
        let ahead = facts(r#"[{"t":1775000000000},{"t":1775000300001}]"#);
        assert_eq!((ahead.last, ahead.newest), (at(1_775_000_300_001), Some(NOW)));
        assert_ne!(found.digest, ahead.digest);
        let order = facts(r#"[{"t":1775000000003},{"x":1},{"t":1775000000005}]"#);
        assert_ne!(order.digest, found.digest);
    }
}
