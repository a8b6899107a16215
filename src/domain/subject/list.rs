//! The list of a stream's subjects (SSF §7.1, §8.1.3). It holds the exceptions from the stream's
//! default: for `NONE` the subjects that were added, for `ALL` the subjects that were removed.

use std::{collections::BTreeSet, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::keys::{Filing, SubjectKeys};
use crate::domain::{id::StreamId, time::Timestamp};

/// The subjects of a new stream (SSF §7.1 `default_subjects`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum DefaultSubjects {
    All,
    None,
}

/// A change of one entry in a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListChange {
    /// The entry is valid from this time on.
    Enter { from: Timestamp },
    /// The entry is valid until this time.
    Leave { until: Timestamp },
}

/// The streams whose lists have a subject.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Listed {
    /// `NONE` streams with an entry that matches the subject. They get the event.
    pub added: BTreeSet<StreamId>,
    /// `ALL` streams with an entry that is identical to the subject. They do not get the event.
    pub removed: BTreeSet<StreamId>,
}

impl DefaultSubjects {
    /// Adds a subject to a stream with this default (SSF §8.1.3.2).
    pub fn add(self, subject: &SubjectKeys, now: Timestamp) -> (Filing, ListChange) {
        match self {
            Self::All => (subject.identical(), ListChange::Leave { until: now }),
            Self::None => (subject.matching(), ListChange::Enter { from: now }),
        }
    }

    /// Removes a subject from a stream with this default when `grace` is over. During that time a
    /// thief of the Receiver's credential may be noticed before the removal takes effect (SSF
    /// §8.1.3.3, §9.3).
    pub fn remove(
        self,
        subject: &SubjectKeys,
        now: Timestamp,
        grace: Duration,
    ) -> (Filing, ListChange) {
        match self {
            Self::All => (subject.identical(), ListChange::Enter { from: now + grace }),
            Self::None => (subject.matching(), ListChange::Leave { until: now + grace }),
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::All => "ALL",
            Self::None => "NONE",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::matching::tests::subject, *};

    /// SUBJ-05, SUBJ-08: the list has exceptions, and only a removal has a grace period.
    #[test]
    fn a_change_adds_or_removes_an_entry_depending_on_the_default() {
        let subject = subject(serde_json::json!({"format": "opaque", "id": "s-88"}));
        let keys = SubjectKeys::of(&"acme".parse().expect("a valid name"), &subject);
        let (now, grace) = (Timestamp::from_millis(1000), Duration::from_secs(9));
        let ends = now + grace;
        let (all, none) = (DefaultSubjects::All, DefaultSubjects::None);
        let left = |until| ListChange::Leave { until };
        let entered = |from| ListChange::Enter { from };
        assert_eq!(all.add(&keys, now), (keys.identical(), left(now)));
        assert_eq!(all.remove(&keys, now, grace), (keys.identical(), entered(ends)));
        assert_eq!(none.add(&keys, now), (keys.matching(), entered(now)));
        assert_eq!(none.remove(&keys, now, grace), (keys.matching(), left(ends)));
    }
}
