//! Which subjects are on a stream (SSF §7.1, §8.1.3). A stream keeps a list of exceptions from its
//! default: for `NONE` the subjects that were added, for `ALL` those that were removed.

use std::{collections::BTreeSet, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::keys::{Filing, SubjectKeys};
use crate::domain::{id::StreamId, time::Timestamp};

/// The subjects that a new stream has (SSF §7.1 `default_subjects`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum DefaultSubjects {
    All,
    None,
}

/// What happens to an entry of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListChange {
    /// It holds from then on.
    Enter { from: Timestamp },
    /// It holds no longer than until then.
    Leave { until: Timestamp },
}

/// The streams that have a subject on their list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Listed {
    /// By an entry that matches it: of a `NONE` stream, which therefore gets it.
    pub added: BTreeSet<StreamId>,
    /// By an entry that is identical: of an `ALL` stream, which therefore does not get it.
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

    /// Removes a subject, once `grace` is over: a thief of a credential may be noticed before what
    /// it did takes effect (SSF §8.1.3.3, §9.3).
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

    /// SUBJ-05, SUBJ-08: the list holds exceptions, and only a removal has a grace.
    #[test]
    fn a_change_enters_or_leaves_by_the_default() {
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
