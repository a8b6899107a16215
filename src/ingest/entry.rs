//! The entries of a publisher's Redis stream, as bytes. An entry is taken apart by itself, so that one
//! that cannot be read rejects no other.

use redis::Value;

use crate::{domain::event::InvalidEvent, store::EntryId};

/// The field of an entry that holds the event.
const FIELD: &[u8] = b"event";

/// An entry as it was read.
#[derive(Debug, PartialEq)]
pub(super) struct Entry {
    pub(super) id: EntryId,
    event: Option<Vec<u8>>,
    /// Why the entry is rejected without a look at its event.
    fault: Option<InvalidEvent>,
}

/// The entries of one answer to `XREAD`, in their order.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Entries {
    pub(super) entries: Vec<Entry>,
    /// Parts of the answer that are no entries, because no id can be read. No server sends them.
    pub(super) unreadable: usize,
}

impl Entries {
    /// Takes an answer to `XREAD` apart. An answer without entries is `Nil`.
    pub(super) fn read(answer: Value) -> Self {
        let mut read = Self::default();
        // With RESP3 the streams are a map, and with RESP2 a list of pairs.
        let streams = match answer {
            Value::Map(streams) => streams.into_iter().map(|(_, entries)| Some(entries)).collect(),
            Value::Array(streams) => streams.into_iter().map(second).collect(),
            Value::Nil => Vec::new(),
            _ => vec![None],
        };
        for entries in streams {
            read.add_all(entries);
        }
        read
    }

    fn add_all(&mut self, entries: Option<Value>) {
        let Some(Value::Array(entries)) = entries else {
            self.unreadable += 1;
            return;
        };
        for entry in entries {
            match Entry::read(entry) {
                Some(entry) => self.entries.push(entry),
                None => self.unreadable += 1,
            }
        }
    }
}

impl Entry {
    /// Returns `None` if the entry has no id that can be read.
    fn read(entry: Value) -> Option<Self> {
        let Value::Array(parts) = entry else { return None };
        let mut parts = parts.into_iter();
        let id = std::str::from_utf8(&bytes(parts.next()?)?).ok()?.parse().ok()?;
        // A server may say `Nil` for the fields of an entry that was deleted meanwhile.
        let fields = match parts.next() {
            Some(Value::Array(fields)) => fields,
            _ => Vec::new(),
        };
        Some(Self::of(id, fields))
    }

    fn of(id: EntryId, fields: Vec<Value>) -> Self {
        let (mut event, mut fault) = (None, None);
        let mut fields = fields.into_iter();
        while let (Some(name), Some(value)) = (fields.next(), fields.next()) {
            let name = bytes(name).unwrap_or_default();
            if std::str::from_utf8(&name).is_err() {
                fault = Some(InvalidEvent::FieldName);
            } else if name == FIELD {
                if event.is_some() {
                    fault.get_or_insert(InvalidEvent::Repeated);
                } else {
                    event = bytes(value);
                }
            }
        }
        Self { id, event, fault }
    }

    /// Returns the event as it was published.
    pub(super) fn json(&self, bytes_max: usize) -> Result<&[u8], InvalidEvent> {
        if let Some(fault) = &self.fault {
            return Err(fault.clone());
        }
        let json = self.event.as_deref().ok_or(InvalidEvent::Absent)?;
        if bytes_max < json.len() {
            return Err(InvalidEvent::TooLarge { bytes_max });
        }
        Ok(json)
    }

    /// Returns the beginning of the event for the stream of rejected entries.
    pub(super) fn excerpt(&self, bytes_max: usize) -> &[u8] {
        let event = self.event.as_deref().unwrap_or_default();
        &event[..event.len().min(bytes_max)]
    }
}

/// Returns the second of a pair.
fn second(pair: Value) -> Option<Value> {
    match pair {
        Value::Array(pair) => pair.into_iter().nth(1),
        _ => None,
    }
}

fn bytes(value: Value) -> Option<Vec<u8>> {
    match value {
        Value::BulkString(bytes) => Some(bytes),
        Value::SimpleString(text) | Value::VerbatimString { text, .. } => Some(text.into_bytes()),
        Value::Okay => Some(b"OK".to_vec()),
        Value::Int(number) => Some(number.to_string().into_bytes()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(bytes: &[u8]) -> Value {
        Value::BulkString(bytes.to_vec())
    }

    fn entry(id: &[u8], fields: &[&[u8]]) -> Value {
        let fields = fields.iter().map(|field| text(field)).collect();
        Value::Array(vec![text(id), Value::Array(fields)])
    }

    fn answer(entries: Vec<Value>) -> Value {
        Value::Array(vec![Value::Array(vec![text(b"ssf:events:a"), Value::Array(entries)])])
    }

    #[track_caller]
    fn judges(fields: &[&[u8]], expected: Result<&[u8], InvalidEvent>) {
        // Its neighbours are as good as without it.
        let good = || entry(b"7-0", &[b"event", b"{}"]);
        let read = Entries::read(answer(vec![good(), entry(b"7-1", fields), good()]));
        assert_eq!((read.entries.len(), read.unreadable), (3, 0));
        assert_eq!(read.entries[0].json(9), Ok(&b"{}"[..]));
        assert_eq!(read.entries[1].json(9), expected);
        assert_eq!(read.entries[2], read.entries[0]);
    }

    #[test]
    fn an_entry_is_judged_alone() {
        judges(&[b"event", b"{}"], Ok(b"{}"));
        judges(&[b"v", b"\xff", b"event", b"{}", b"source", b""], Ok(b"{}"));
        judges(&[b"event", b"\xff"], Ok(b"\xff"));
        judges(&[], Err(InvalidEvent::Absent));
        judges(&[b"evnet", b"{}"], Err(InvalidEvent::Absent));
        judges(&[b"event"], Err(InvalidEvent::Absent));
        judges(&[b"event", b"0123456789"], Err(InvalidEvent::TooLarge { bytes_max: 9 }));
        judges(&[b"event", b"{}", b"event", b"{}"], Err(InvalidEvent::Repeated));
        for name in [&b"\xff"[..], b"event\xff", b"\xc3"] {
            judges(&[name, b"{}"], Err(InvalidEvent::FieldName));
            judges(&[name, b"{}", b"event", b"{}"], Err(InvalidEvent::FieldName));
            judges(&[b"event", b"{}", name, b"{}"], Err(InvalidEvent::FieldName));
        }
    }

    #[test]
    fn an_answer_has_the_same_entries_by_either_protocol() {
        let entries = || Value::Array(vec![entry(b"1-0", &[b"event", b"{}"]), entry(b"2-0", &[])]);
        let by_map = Entries::read(Value::Map(vec![(text(b"ssf:events:a"), entries())]));
        let by_list = Entries::read(Value::Array(vec![Value::Array(vec![text(b"k"), entries()])]));
        assert_eq!(by_map, by_list);
        assert_eq!(by_map.entries.len(), 2);
        assert_eq!(Entries::read(Value::Nil), Entries::default());
        let deleted = Value::Array(vec![text(b"3-0"), Value::Nil]);
        assert_eq!(Entries::read(answer(vec![deleted])).entries.len(), 1);
    }

    fn any_bytes() -> impl Strategy<Value = Vec<u8>> {
        proptest::collection::vec(any::<u8>(), 0..12)
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Nil),
            Just(Value::Okay),
            any::<i64>().prop_map(Value::Int),
            any_bytes().prop_map(Value::BulkString),
            "[ -~]{0,8}".prop_map(Value::SimpleString),
            Just(text(b"event")),
            Just(text(b"5-1")),
        ];
        leaf.prop_recursive(5, 48, 6, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::Array),
                proptest::collection::vec((inner.clone(), inner), 0..3).prop_map(Value::Map),
            ]
        })
    }

    proptest! {
        /// An entry is read with any content, and those around it are as they were.
        #[test]
        fn no_entry_costs_another(fields in proptest::collection::vec(any_bytes(), 0..9)) {
            let fields: Vec<&[u8]> = fields.iter().map(Vec::as_slice).collect();
            let good = |id: &[u8]| entry(id, &[b"event", b"{}"]);
            let read =
                Entries::read(answer(vec![good(b"1-0"), entry(b"2-0", &fields), good(b"3-0")]));
            prop_assert_eq!((read.entries.len(), read.unreadable), (3, 0));
            prop_assert_eq!(read.entries[0].json(9), Ok(&b"{}"[..]));
            prop_assert_eq!(read.entries[2].json(9), Ok(&b"{}"[..]));
            let odd = &read.entries[1];
            prop_assert!(odd.json(usize::MAX).is_err() || odd.event.is_some());
        }

        /// Nothing that a server answers makes reading panic, and no part of it is lost unseen.
        #[test]
        fn an_answer_of_any_shape_is_read(value in any_value()) {
            let entries = |value: &Value| match value {
                Value::Array(entries) => entries.len(),
                _ => 1,
            };
            let expected: usize = match &value {
                Value::Nil => 0,
                Value::Map(streams) => streams.iter().map(|(_, all)| entries(all)).sum(),
                Value::Array(streams) => {
                    let all = |stream: &Value| second(stream.clone()).map_or(1, |all| entries(&all));
                    streams.iter().map(all).sum()
                }
                _ => 1,
            };
            let read = Entries::read(value);
            prop_assert_eq!(read.entries.len() + read.unreadable, expected);
        }
    }
}
