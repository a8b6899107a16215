//! The facts that a server tells of a publisher's Redis stream, and of the group in it. Asking for them
//! writes nothing.

use std::collections::HashMap;

use redis::{FromRedisValue as _, RedisResult, Value, aio::ConnectionLike};

use crate::store::EntryId;

/// The extent of a Redis stream, as `XINFO STREAM` says it. A stream that does not exist is empty.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct StreamFacts {
    pub(super) exists: bool,
    /// The number of entries that can be read.
    pub(super) length: u64,
    /// The id of the newest entry that was ever added.
    pub(super) last: EntryId,
    /// The id of the newest entry that can be read.
    newest: EntryId,
    first: EntryId,
    /// The greatest id that was deleted by `XDEL`. Trimming does not count.
    deleted_max: EntryId,
    /// How many entries were ever added. `None` from a server before 7.0.
    added: Option<u64>,
}

/// The group that shows how far was read, as `XINFO GROUPS` says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct GroupFacts {
    pub(super) last: EntryId,
    /// How many entries were added up to there, if the server knows.
    pub(super) read: Option<u64>,
}

impl StreamFacts {
    pub(super) async fn ask(connection: &mut impl ConnectionLike, key: &str) -> RedisResult<Self> {
        let exists: bool = redis::cmd("EXISTS").arg(key).query_async(connection).await?;
        if !exists {
            return Ok(Self { added: Some(0), ..Self::default() });
        }
        let ask = redis::cmd("XINFO").arg("STREAM").arg(key).to_owned();
        Ok(Self::of(&ask.query_async(connection).await?))
    }

    fn of(facts: &HashMap<String, Value>) -> Self {
        let id = |name: &str| facts.get(name).and_then(entry_id);
        Self {
            exists: true,
            length: facts.get("length").and_then(number).unwrap_or(0),
            last: id("last-generated-id").unwrap_or_default(),
            newest: facts.get("last-entry").and_then(id_of_entry).unwrap_or_default(),
            first: id("recorded-first-entry-id").unwrap_or_default(),
            deleted_max: id("max-deleted-entry-id").unwrap_or_default(),
            added: facts.get("entries-added").and_then(number),
        }
    }

    /// Whether there is no entry behind this one.
    pub(super) fn ends_at(&self, after: EntryId) -> bool {
        self.length == 0 || self.newest <= after
    }

    /// Returns how many entries were added before the next one behind `after` that can still be read.
    /// Returns `None` if the server does not tell, or if it cannot be known because entries were deleted
    /// from the middle.
    pub(super) fn added_before_next(&self, after: EntryId) -> Option<u64> {
        let added = self.added?;
        if self.ends_at(after) {
            Some(added)
        } else if after < self.first && self.deleted_max < self.first {
            Some(added.saturating_sub(self.length))
        } else {
            None
        }
    }
}

impl GroupFacts {
    /// Returns the facts of the group with this name, or `None` if there is none. The stream must exist.
    pub(super) async fn ask(
        connection: &mut impl ConnectionLike,
        key: &str,
        group: &str,
    ) -> RedisResult<Option<Self>> {
        let ask = redis::cmd("XINFO").arg("GROUPS").arg(key).to_owned();
        let groups: Vec<HashMap<String, Value>> = ask.query_async(connection).await?;
        let is_ours = |facts: &HashMap<String, Value>| {
            facts.get("name").and_then(text).is_some_and(|name| name == group.as_bytes())
        };
        let ours = groups.into_iter().find(is_ours);
        Ok(ours.map(|facts| Self {
            last: facts.get("last-delivered-id").and_then(entry_id).unwrap_or_default(),
            read: facts.get("entries-read").and_then(number),
        }))
    }
}

fn text(value: &Value) -> Option<Vec<u8>> {
    Vec::<u8>::from_redis_value(value.clone()).ok()
}

fn entry_id(value: &Value) -> Option<EntryId> {
    std::str::from_utf8(&text(value)?).ok()?.parse().ok()
}

fn id_of_entry(entry: &Value) -> Option<EntryId> {
    match entry {
        Value::Array(parts) => entry_id(parts.first()?),
        _ => None,
    }
}

fn number(value: &Value) -> Option<u64> {
    u64::from_redis_value(value.clone()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(millis: u64) -> EntryId {
        EntryId { millis, number: 0 }
    }

    /// A stream to which 100 entries were added, with the ids 1 to 100, of which the last ten are left.
    fn trimmed() -> StreamFacts {
        StreamFacts {
            exists: true,
            length: 10,
            last: id(100),
            newest: id(100),
            first: id(91),
            deleted_max: id(0),
            added: Some(100),
        }
    }

    #[track_caller]
    fn check(facts: &StreamFacts, after: u64, expected: Option<u64>) {
        assert_eq!(facts.added_before_next(id(after)), expected, "{facts:?} after {after}");
    }

    #[test]
    fn entries_before_the_next_one_are_counted_where_that_is_possible() {
        for after in [0, 40, 90] {
            check(&trimmed(), after, Some(90));
        }
        // From here on the ids do not say how many entries there are.
        check(&trimmed(), 91, None);
        check(&trimmed(), 99, None);
        for after in [100, 101] {
            check(&trimmed(), after, Some(100));
        }
        check(&StreamFacts { length: 0, newest: id(0), ..trimmed() }, 40, Some(100));
        // The newest entries were deleted.
        check(&StreamFacts { newest: id(97), deleted_max: id(100), ..trimmed() }, 97, Some(100));
        check(&StreamFacts { deleted_max: id(50), ..trimmed() }, 40, Some(90));
        check(&StreamFacts { deleted_max: id(95), ..trimmed() }, 40, None);
        check(&StreamFacts { added: None, ..trimmed() }, 40, None);
        check(&StreamFacts { added: Some(0), ..StreamFacts::default() }, 0, Some(0));
    }

    #[test]
    fn facts_are_read_from_what_a_server_says() {
        let text = |text: &str| Value::BulkString(text.into());
        let facts = HashMap::from([
            ("length".to_owned(), Value::Int(10)),
            ("last-generated-id".to_owned(), text("100-0")),
            ("recorded-first-entry-id".to_owned(), text("91-0")),
            ("max-deleted-entry-id".to_owned(), text("0-0")),
            ("entries-added".to_owned(), Value::Int(100)),
            ("first-entry".to_owned(), Value::Nil),
            ("last-entry".to_owned(), Value::Array(vec![text("100-0"), Value::Array(vec![])])),
        ]);
        assert_eq!(StreamFacts::of(&facts), trimmed());
    }
}
