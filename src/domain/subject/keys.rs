//! Keys of subjects, for look-ups in the lists of streams. A look-up finds exactly the entries that
//! [`SubjectId::matches`] finds, without a comparison with each entry.
//!
//! [`SubjectKeys`] computes everything from one subject: [`Filing`] is the set of keys under which
//! an entry is stored, and [`Probe`] is a look-up for an event.

use std::{
    collections::{BTreeMap, HashSet},
    hash::Hash,
};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::{Uuid, uuid};

use super::{Subject, SubjectId, write_sorted};
use crate::domain::id::ProviderName;

/// A random value, fixed for this daemon.
const NAMESPACE: Uuid = uuid!("6b0f5a3c-6c1e-4f0e-9d5b-0a52b7f3a1de");

/// A hash of a subject, or of a part of it, at one provider. It has 122 bits, so that collisions
/// are practically impossible, and the subject cannot be read from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubjectKey(pub [u8; 16]);

/// The sorted names of a complex subject's members. Entries with the same names share a look-up.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SubjectShape(Vec<String>);

/// An entry of a list, with the keys under which it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filing {
    /// The first key of `under`, which names the entry.
    pub entry: SubjectKey,
    pub under: Vec<SubjectKey>,
    /// The shape of a complex subject, and the key in `under` that stands for the shape. A look-up
    /// for a complex subject needs all shapes that exist.
    pub shape: Option<(SubjectKey, SubjectShape)>,
}

/// One look-up for entries.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Probe {
    /// Every entry that is stored under this key matches.
    Whole(SubjectKey),
    /// Every entry that is stored under all of these keys matches. Never empty.
    Members(Vec<SubjectKey>),
}

/// The keys of one subject at one provider. The provider is part of each key, so that events of one
/// provider never match entries of another.
#[derive(Debug, Clone)]
pub struct SubjectKeys {
    namespace: Uuid,
    /// One element for each form of the subject; never empty.
    forms: Vec<FormKeys>,
}

/// The keys of a subject in one of its forms.
#[derive(Debug, Clone)]
struct FormKeys {
    whole: SubjectKey,
    /// The key of each member of a complex subject, by the member's name.
    members: BTreeMap<String, SubjectKey>,
}

impl FormKeys {
    fn of(namespace: Uuid, form: &SubjectId) -> Self {
        let simple = |value: &Value| {
            let mut canonical = String::new();
            write_sorted(value, &mut canonical);
            hash(namespace, "simple", [canonical.as_bytes()])
        };
        let Some(parts) = form.members() else {
            return Self { whole: simple(&form.0), members: BTreeMap::new() };
        };
        let parts = parts.iter().filter(|(name, _)| *name != "format");
        let members: BTreeMap<_, _> =
            parts.map(|(name, part)| (name.clone(), simple(part))).collect();
        Self { whole: complex(namespace, members.iter()), members }
    }
}

impl SubjectKeys {
    /// Computes the keys of a subject that a Receiver gives.
    pub fn of(provider: &ProviderName, subject: &SubjectId) -> Self {
        Self::of_forms(provider, &subject.forms())
    }

    /// Computes the keys of an event's subject with all its identifiers.
    pub fn of_event(provider: &ProviderName, subject: &Subject) -> Self {
        Self::of_forms(provider, &subject.forms())
    }

    fn of_forms(provider: &ProviderName, forms: &[SubjectId]) -> Self {
        let namespace = Uuid::new_v5(&NAMESPACE, provider.as_str().as_bytes());
        let forms = forms.iter().map(|form| FormKeys::of(namespace, form)).collect();
        Self { namespace, forms }
    }

    pub fn is_complex(&self) -> bool {
        self.forms.iter().any(|form| !form.members.is_empty())
    }

    /// Returns the entry that stands for every subject that matches this one.
    pub fn matching(&self) -> Filing {
        let mut under: Vec<_> = self.forms.iter().map(|form| form.whole).collect();
        let entry = under[0];
        // A Receiver gives one identifier, so all of its forms have the same members.
        let names = &self.forms[0].members;
        let mut shape = None;
        if !names.is_empty() {
            let of_entry = SubjectShape(names.keys().cloned().collect());
            let key = self.shape_key(&of_entry);
            under.push(key);
            for form in &self.forms {
                under.extend(form.members.keys().map(|name| self.member_key(key, form, name)));
            }
            shape = Some((key, of_entry));
        }
        Filing { entry, under: distinct(under), shape }
    }

    /// Returns the entry that stands only for the identical subject.
    pub fn identical(&self) -> Filing {
        let under = self.identities();
        Filing { entry: under[0], under, shape: None }
    }

    /// Returns the keys of entries that [`Self::identical`] makes for the same subject, or for one
    /// that shares an identifier with it.
    pub fn identities(&self) -> Vec<SubjectKey> {
        let identity = |form: &FormKeys| hash(self.namespace, "identical", [&form.whole.0[..]]);
        distinct(self.forms.iter().map(identity).collect())
    }

    /// Returns the keys of the account that the subject is (RISC §2.8), one for each identifier. A
    /// complex subject with only a `user` is that user.
    pub fn account(&self) -> Vec<SubjectKey> {
        let account = |form: &FormKeys| match form.members.get("user") {
            Some(user) if form.members.len() == 1 => *user,
            _ => form.whole,
        };
        distinct(self.forms.iter().map(account).collect())
    }

    /// Returns the keys of the accounts that the subject is or belongs to. A session, for example,
    /// belongs to the account of its user.
    pub fn accounts(&self) -> Vec<SubjectKey> {
        let users = self.forms.iter().filter_map(|form| form.members.get("user")).copied();
        distinct(self.account().into_iter().chain(users).collect())
    }

    /// Returns the look-ups that find the entries made by [`Self::matching`] that match this
    /// subject. `shapes` are the shapes of all complex entries of this provider.
    pub fn probes(&self, shapes: &[SubjectShape]) -> Vec<Probe> {
        let probes = self.forms.iter().flat_map(|form| {
            let complex = shapes.iter().filter(|_| !form.members.is_empty());
            let simple = form.members.is_empty().then_some(Probe::Whole(form.whole));
            simple.into_iter().chain(complex.map(|shape| self.probe(form, shape)))
        });
        distinct(probes.collect())
    }

    fn probe(&self, form: &FormKeys, shape: &SubjectShape) -> Probe {
        let shared: Vec<_> =
            shape.0.iter().filter_map(|name| form.members.get_key_value(name)).collect();
        if shared.len() == shape.0.len() {
            // The event has all members of the shape. Its other members match anything, so exactly
            // one entry can match.
            return Probe::Whole(complex(self.namespace, shared.into_iter()));
        }
        let key = self.shape_key(shape);
        if shared.is_empty() {
            // The event and the entries of this shape have no member in common, so no member
            // differs.
            return Probe::Members(vec![key]);
        }
        Probe::Members(shared.iter().map(|(name, _)| self.member_key(key, form, name)).collect())
    }

    fn shape_key(&self, shape: &SubjectShape) -> SubjectKey {
        hash(self.namespace, "shape", shape.0.iter().map(String::as_bytes))
    }

    /// Returns the key of one of the form's members for entries of this shape.
    fn member_key(&self, shape: SubjectKey, form: &FormKeys, name: &str) -> SubjectKey {
        hash(self.namespace, "member", [&shape.0[..], name.as_bytes(), &form.members[name].0[..]])
    }
}

/// Removes duplicates and keeps the first of each.
fn distinct<T: Clone + Eq + Hash>(mut all: Vec<T>) -> Vec<T> {
    if 1 < all.len() {
        let mut seen = HashSet::new();
        all.retain(|one| seen.insert(one.clone()));
    }
    all
}

/// Hashes the members, which must be sorted by name.
fn complex<'a>(
    namespace: Uuid,
    members: impl Iterator<Item = (&'a String, &'a SubjectKey)>,
) -> SubjectKey {
    hash(namespace, "complex", members.flat_map(|(name, key)| [name.as_bytes(), &key.0[..]]))
}

/// Computes a key. Keys are stored, so the result must stay the same from build to build. The
/// length of each part is hashed as well, so that different parts never give the same text.
fn hash<'a>(namespace: Uuid, kind: &str, parts: impl IntoIterator<Item = &'a [u8]>) -> SubjectKey {
    let mut text = kind.as_bytes().to_vec();
    for part in parts {
        text.extend((part.len() as u64).to_be_bytes());
        text.extend(part);
    }
    SubjectKey(Uuid::new_v5(&namespace, &text).into_bytes())
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeSet, HashMap};

    use proptest::{collection::vec, prelude::*};
    use serde_json::json;

    use super::{
        super::{
            forms::tests::any_named_subject,
            matching::tests::{subject, subjects},
        },
        *,
    };

    fn acme() -> ProviderName {
        "acme".parse().expect("a valid name")
    }

    fn keys(subject: &SubjectId) -> SubjectKeys {
        SubjectKeys::of(&acme(), subject)
    }

    #[test]
    fn a_key_never_changes_and_differs_between_providers() {
        let opaque = subject(json!({"format": "opaque", "id": "s-88"}));
        let text = |key: SubjectKey| Uuid::from_bytes(key.0).to_string();
        assert_eq!(text(keys(&opaque).forms[0].whole), "02a7ac8e-b95f-5000-9f05-cb8b8024271a");
        let elsewhere = SubjectKeys::of(&"globex".parse().expect("a valid name"), &opaque);
        assert_ne!(elsewhere.forms[0].whole, keys(&opaque).forms[0].whole);
        assert_ne!(elsewhere.identities(), keys(&opaque).identities());
    }

    #[test]
    fn different_member_names_never_give_the_same_key() {
        let part = json!({"format": "opaque", "id": "x"});
        let one = subject(json!({"format": "complex", "ab": part, "c": part}));
        let other = subject(json!({"format": "complex", "a": part, "bc": part}));
        assert_ne!(keys(&one).matching().shape, keys(&other).matching().shape);
        assert_ne!(keys(&one).forms[0].whole, keys(&other).forms[0].whole);
    }

    proptest! {
        /// SID-08, SID-09: the look-up agrees with the specification for all identifiers of an
        /// event.
        #[test]
        fn a_look_up_finds_what_matches(
            entries in vec(subjects(), 0..12),
            event in prop_oneof![subjects().prop_map(Subject::from), any_named_subject()],
        ) {
            let mut filed: HashMap<SubjectKey, BTreeSet<usize>> = HashMap::new();
            let mut shapes = BTreeSet::new();
            for (n, entry) in entries.iter().enumerate() {
                let filing = keys(entry).matching();
                for key in filing.under {
                    filed.entry(key).or_default().insert(n);
                }
                shapes.extend(filing.shape.map(|(_, shape)| shape));
            }
            let at = |key: &SubjectKey| filed.get(key).cloned().unwrap_or_default();
            let mut found = BTreeSet::new();
            let shapes: Vec<_> = shapes.into_iter().collect();
            for probe in SubjectKeys::of_event(&acme(), &event).probes(&shapes) {
                found.extend(match probe {
                    Probe::Whole(key) => at(&key),
                    Probe::Members(keys) => {
                        let each = keys.iter().map(at);
                        each.reduce(|a, b| &a & &b).expect("never empty")
                    }
                });
            }
            let matches = |n: &usize| event.forms().iter().any(|form| entries[*n].matches(form));
            let matching: BTreeSet<_> = (0..entries.len()).filter(matches).collect();
            prop_assert_eq!(found, matching);
        }

        #[test]
        fn subjects_with_a_common_identifier_share_an_identity(
            one in subjects(),
            other in any_named_subject(),
        ) {
            let theirs = SubjectKeys::of_event(&acme(), &other).identities();
            let same = keys(&one).identities().iter().any(|key| theirs.contains(key));
            let shared = one.forms().iter().any(|form| other.forms().contains(form));
            prop_assert_eq!(same, shared);
            let filing = keys(&one).identical();
            prop_assert_eq!((filing.entry, &filing.under), (filing.under[0], &keys(&one).identities()));
        }
    }
}
