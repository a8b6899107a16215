//! Every key in Redis, in one table. `<head>` is the setting `key_prefix`.
//!
//! All keys of a slot have its tag, so that a Redis Cluster keeps them on one node and a script may
//! touch them all: `{<head>:<slot>}:<name>`, or with a name of a stream or other thing in it
//! `{<head>:<slot>}:<name>:<thing>`. Scripts build the keys from the tag. A stream is in the slot of its
//! id, and other things are in the slot of their name.
//!
//! | of a slot | type | what |
//! |---|---|---|
//! | `seq` | number | the last number that a SET was given, never given again |
//! | `streams` | hash | the record of each stream, by its id |
//! | `leaving` | hash | streams that were deleted and left something in other slots |
//! | `changes` | stream | ids of streams that were changed, the last of them |
//! | `waiting` | set | streams that have something in their outbox |
//! | `dead` | sorted set | streams that have dead letters |
//! | `providers` | set | providers that have something that expires |
//! | `selective` | set | streams whose SETs are judged by their list |
//! | `owner` | hash | the node that serves the slot and its `epoch`; written by whoever leases slots |
//! | `ids`, `ids_at`, `ids_before`, `events` | | events, by their ids and times: see `claim.lua` |
//! | `records`, `record_keys`, `record_unowned`, `record_owned`, `record_ends`, `record_version` | | records of streams: see `records.lua` |
//! | `until`, `listed`, `shapes` | | lists of subjects: see `lists.lua` |
//!
//! | of a stream | type | what |
//! |---|---|---|
//! | `sets` | hash | the record of each SET, by its number |
//! | `state` | hash | the state of each SET, unless the SET waits and was never tried |
//! | `jtis` | hash | its number, by its `jti` |
//! | `lanes`, `wait`, `fresh`, `retry`, `off` | sorted sets | what waits: see `outbox.lua` |
//! | `kept`, `letters`, `reasons`, `copies` | | what is settled: see `settled.lua` |
//! | `list` | hash | its list of subjects, in the slot of its provider: see `lists.lua` |
//!
//! | of another thing | type | what |
//! |---|---|---|
//! | `settled` | sorted set | settled SETs of a provider, by when they were |
//! | `events_at` | sorted set | events of a provider, by when they were accepted |
//! | `owned` | set | the streams that count as a Receiver's |
//! | `filed` | sorted set | entries of lists, by a key that they are filed under |
//!
//! Accounts, positions and records of no stream belong together and have one tag, `{<head>:all}`:
//!
//! | of all slots | type | what |
//! |---|---|---|
//! | `version` | number | the format of all records |
//! | `positions` | hash | where the reader of each partition stands |
//! | `opted_out`, `account` | | accounts that opted out: see `accounts.lua` |
//! | `records` … | | all other records, in the same keys |
//!
//! The keys that nodes share have the tag `{<head>:cluster}`:
//!
//! | of all nodes | type | what |
//! |---|---|---|
//! | `nodes` | hash | until when each node lives, and its stage: see `heartbeat.lua` |
//! | `slots`, `partitions` | hash | of each the node that has it, and in which epoch |
//! | `feed` | stream | what nodes tell each other, the last of it |

use super::slot::Slot;

/// The heads of all keys of a store.
#[derive(Debug, Clone)]
pub(super) struct Keys {
    tags: Vec<String>,
    shared: String,
    cluster: String,
}

impl Keys {
    pub(super) fn new(prefix: &str) -> Self {
        let tags = Slot::all().map(|slot| format!("{{{prefix}:{slot}}}")).collect();
        let [shared, cluster] = ["all", "cluster"].map(|name| format!("{{{prefix}:{name}}}"));
        Self { tags, shared, cluster }
    }

    /// Returns the tag of a slot, with which each of its keys begins.
    pub(super) fn tag(&self, slot: Slot) -> &str {
        &self.tags[slot.index()]
    }

    /// Returns the tag of the things that are kept together in one place, because they change together.
    pub(super) fn shared(&self) -> &str {
        &self.shared
    }

    /// Returns the tag of the keys that nodes share.
    pub(super) fn cluster(&self) -> &str {
        &self.cluster
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{super::script, *};

    /// Returns the words between backticks in the tables.
    fn described() -> BTreeSet<&'static str> {
        let rows = include_str!("keys.rs").lines().filter(|line| line.starts_with("//! | `"));
        let names = |row: &'static str| row.split('|').nth(1).unwrap_or_default().split('`');
        rows.flat_map(|row| names(row).skip(1).step_by(2)).collect()
    }

    #[test]
    fn every_key_of_the_scripts_is_described() {
        let mut used = BTreeSet::new();
        for source in script::sources() {
            used.extend(source.split("key('").skip(1).filter_map(|name| name.split('\'').next()));
        }
        assert_eq!(used, described());
    }

    #[test]
    fn the_keys_of_a_slot_share_a_hash_tag() {
        let keys = Keys::new("ssf");
        let slot = Slot::numbered(12).expect("there is one");
        assert_eq!(keys.tag(slot), "{ssf:12}");
        assert_eq!(keys.shared(), "{ssf:all}");
    }
}
