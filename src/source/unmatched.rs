//! The native types that no rule takes, so that an operator sees what a mapping leaves out.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::domain::time::Timestamp;

/// The most types that are told apart. Further ones are counted together.
pub(super) const TYPES_MAX: usize = 256;
/// The longest name of a type that is kept, in characters.
const NAME_CHARS_MAX: usize = 128;

/// One type that no rule takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnmatchedType {
    pub count: u64,
    pub last_at: Timestamp,
}

/// The types of one source on this node, since its start.
#[derive(Debug, Default)]
pub(super) struct Unmatched(Mutex<BTreeMap<String, UnmatchedType>>);

/// Stands for types beyond [`TYPES_MAX`], and for records without a type.
const OTHERS: &str = "(others)";

impl Unmatched {
    pub(super) fn count(&self, native_type: Option<&str>, now: Timestamp) {
        let name: String = native_type.unwrap_or(OTHERS).chars().take(NAME_CHARS_MAX).collect();
        let mut types = self.types();
        let name =
            if types.len() < TYPES_MAX || types.contains_key(&name) { &name } else { OTHERS };
        match types.get_mut(name) {
            Some(known) => {
                known.count += 1;
                known.last_at = now;
            }
            None => {
                types.insert(name.to_owned(), UnmatchedType { count: 1, last_at: now });
            }
        }
    }

    /// Returns all types, the most frequent first.
    pub(super) fn all(&self) -> Vec<(String, UnmatchedType)> {
        let types = self.types();
        let mut all: Vec<_> = types.iter().map(|(name, seen)| (name.clone(), *seen)).collect();
        all.sort_by(|(one, seen), (other, more)| (more.count, one).cmp(&(seen.count, other)));
        all
    }

    fn types(&self) -> MutexGuard<'_, BTreeMap<String, UnmatchedType>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_counted_within_a_bound() {
        let unmatched = Unmatched::default();
        let at = Timestamp::from_millis;
        for n in 0..TYPES_MAX + 50 {
            unmatched.count(Some(&format!("type-{n}")), at(1));
        }
        unmatched.count(Some("type-7"), at(2));
        unmatched.count(None, at(3));
        let all = unmatched.all();
        assert_eq!(all.len(), TYPES_MAX + 1);
        assert_eq!(all[0], (OTHERS.to_owned(), UnmatchedType { count: 51, last_at: at(3) }));
        assert_eq!(all[1], ("type-7".to_owned(), UnmatchedType { count: 2, last_at: at(2) }));
        unmatched.count(Some(&"x".repeat(1000)), at(4));
        assert!(unmatched.all().iter().all(|(name, _)| name.len() <= NAME_CHARS_MAX));
    }
}
