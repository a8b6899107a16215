//! A notice of changes, and its representation as an entry of the change feed.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::id::StreamId;

/// The most streams that a notice names for each kind of change. With more of them, a flag stands
/// for all.
const NAMED_MAX: usize = 1000;

/// Changes made on one node that the others have to apply. A lost wake-up only delays delivery
/// until the next sweep; a node that misses any other notice compares its streams with the store.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Notice {
    /// Streams that were created, updated or deleted.
    pub changed: BTreeSet<StreamId>,
    /// Streams from which a subject was removed.
    pub narrowed: BTreeSet<StreamId>,
    /// Streams that may have new SETs; `true` if one of them may be a control event.
    pub woken: BTreeMap<StreamId, bool>,
    /// More streams were changed or narrowed than are named.
    pub more_changed: bool,
    /// More streams may have new SETs than are named.
    pub more_woken: bool,
    /// A node joined, departed or returned shares.
    pub nodes: bool,
}

impl Notice {
    pub fn changed(id: &StreamId) -> Self {
        Self { changed: [id.clone()].into(), ..Self::default() }
    }

    pub fn narrowed(id: &StreamId) -> Self {
        Self { narrowed: [id.clone()].into(), ..Self::default() }
    }

    pub fn woken<'a>(ids: impl IntoIterator<Item = &'a StreamId>, control: bool) -> Self {
        let woken = ids.into_iter().map(|id| (id.clone(), control)).collect();
        Self { woken, ..Self::default() }
    }

    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Adds the changes of another notice.
    pub(super) fn merge(&mut self, other: Self) {
        self.changed.extend(other.changed);
        self.narrowed.extend(other.narrowed);
        for (id, control) in other.woken {
            *self.woken.entry(id).or_default() |= control;
        }
        self.more_changed |= other.more_changed;
        self.more_woken |= other.more_woken;
        self.nodes |= other.nodes;
        if NAMED_MAX < self.changed.len().max(self.narrowed.len()) {
            self.more_changed = true;
        }
        if self.more_changed {
            self.changed.clear();
            self.narrowed.clear();
        }
        if NAMED_MAX < self.woken.len() {
            self.more_woken = true;
            self.woken.clear();
        }
    }

    /// Returns the fields of the feed entry for this notice.
    pub(super) fn fields(&self) -> Vec<(&'static str, String)> {
        let woken = |wanted: bool| {
            self.woken.iter().filter(move |(_, control)| **control == wanted).map(|(id, _)| id)
        };
        let flags =
            [(self.more_changed, MORE_CHANGED), (self.more_woken, MORE_WOKEN), (self.nodes, NODES)];
        let flags = flags.into_iter().filter_map(|(is, flag)| is.then_some(flag));
        let fields = [
            ("changed", joined(&self.changed)),
            ("narrowed", joined(&self.narrowed)),
            ("woken", joined(woken(false))),
            ("controlled", joined(woken(true))),
            ("also", flags.collect::<Vec<_>>().join(" ")),
        ];
        fields.into_iter().filter(|(_, value)| !value.is_empty()).collect()
    }

    /// Reads a notice from the fields of a feed entry. Ignores unknown fields and flags, because a
    /// node of a later version may have written them.
    pub(super) fn of_fields<'a>(fields: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut notice = Self::default();
        for (field, value) in fields {
            let words = value.split(' ');
            let ids = words.clone().filter_map(|word| word.parse::<StreamId>().ok());
            match field {
                "changed" => notice.changed.extend(ids),
                "narrowed" => notice.narrowed.extend(ids),
                "woken" => notice.woken.extend(ids.map(|id| (id, false))),
                "controlled" => notice.woken.extend(ids.map(|id| (id, true))),
                "also" => words.for_each(|word| match word {
                    MORE_CHANGED => notice.more_changed = true,
                    MORE_WOKEN => notice.more_woken = true,
                    NODES => notice.nodes = true,
                    _ => {}
                }),
                _ => {}
            }
        }
        notice
    }
}

const MORE_CHANGED: &str = "more_changed";
const MORE_WOKEN: &str = "more_woken";
const NODES: &str = "nodes";

fn joined<'a>(ids: impl IntoIterator<Item = &'a StreamId>) -> String {
    ids.into_iter().map(StreamId::as_str).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn id(n: usize) -> StreamId {
        format!("st_{n}").parse().expect("a valid id")
    }

    fn ids() -> impl Strategy<Value = BTreeSet<StreamId>> {
        prop::collection::btree_set((0..30_usize).prop_map(id), 0..6)
    }

    fn notice() -> impl Strategy<Value = Notice> {
        let woken = prop::collection::btree_map((0..30_usize).prop_map(id), any::<bool>(), 0..6);
        (ids(), ids(), woken, any::<[bool; 3]>()).prop_map(|(changed, narrowed, woken, flags)| {
            let [more_changed, more_woken, nodes] = flags;
            Notice { changed, narrowed, woken, more_changed, more_woken, nodes }
        })
    }

    proptest! {
        #[test]
        fn a_notice_is_read_back_from_its_fields(notice in notice()) {
            let fields = notice.fields();
            let read = Notice::of_fields(fields.iter().map(|(field, value)| (*field, value.as_str())));
            prop_assert_eq!(read, notice);
        }

        #[test]
        fn a_merged_notice_covers_both_notices(one in notice(), other in notice()) {
            let mut both = one.clone();
            both.merge(other.clone());
            for part in [one, other] {
                prop_assert!(both.more_changed || part.changed.is_subset(&both.changed));
                prop_assert!(both.more_changed || part.narrowed.is_subset(&both.narrowed));
                let woken = |(id, control): (&StreamId, &bool)| {
                    both.woken.get(id).is_some_and(|both| *both || !control)
                };
                prop_assert!(part.woken.iter().all(woken));
                prop_assert!(both.nodes || !part.nodes);
            }
        }
    }

    #[test]
    fn a_flag_replaces_the_names_of_too_many_streams() {
        let mut notice = Notice::default();
        (0..NAMED_MAX).for_each(|n| notice.merge(Notice::woken([&id(n)], false)));
        assert!(!notice.more_woken);
        notice.merge(Notice::woken([&id(NAMED_MAX)], true));
        assert!(notice.more_woken && notice.woken.is_empty());
        (0..=NAMED_MAX).for_each(|n| notice.merge(Notice::changed(&id(n))));
        notice.merge(Notice::narrowed(&id(0)));
        assert!(notice.more_changed && notice.changed.is_empty() && notice.narrowed.is_empty());
    }

    #[test]
    fn fields_and_flags_of_a_later_version_are_ignored() {
        let fields = [("later", "st_1"), ("changed", "st_2 a/b"), ("also", "later nodes")];
        let expected = Notice { nodes: true, ..Notice::changed(&id(2)) };
        assert_eq!(Notice::of_fields(fields), expected);
        assert!(Notice::default().is_empty() && Notice::default().fields().is_empty());
    }
}
