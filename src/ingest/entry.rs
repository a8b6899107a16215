//! One entry of a publisher's Redis stream: bytes, not yet an event.

use redis::{Value, streams::StreamId};

use crate::{domain::event::InvalidEvent, store::EntryId};

/// The field of an entry that holds the event.
const FIELD: &str = "event";

/// An entry as it was read.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) id: EntryId,
    json: Option<Vec<u8>>,
}

impl Entry {
    pub(super) fn read(id: EntryId, raw: StreamId) -> Self {
        let json = raw.map.into_iter().find(|(field, _)| field == FIELD).map(|(_, value)| value);
        let json = json.and_then(|value| match value {
            Value::BulkString(bytes) => Some(bytes),
            Value::SimpleString(text) => Some(text.into_bytes()),
            _ => None,
        });
        Self { id, json }
    }

    /// The event as it was published.
    pub(super) fn json(&self, bytes_max: usize) -> Result<&[u8], InvalidEvent> {
        let json = self.json.as_deref().ok_or(InvalidEvent::Absent)?;
        if bytes_max < json.len() {
            return Err(InvalidEvent::TooLarge { bytes_max });
        }
        Ok(json)
    }

    /// Returns the beginning of the event for the stream of rejected entries.
    pub(super) fn excerpt(&self, bytes_max: usize) -> &[u8] {
        let json = self.json.as_deref().unwrap_or_default();
        &json[..json.len().min(bytes_max)]
    }
}
