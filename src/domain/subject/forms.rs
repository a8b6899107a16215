//! The identifiers of one subject. `aliases` stands for each identifier in it, and an event may
//! have further identifiers besides its `sub_id`. The event is about its subject under each of
//! them.

use std::{borrow::Cow, slice};

use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

use super::{ALIASES, COMPLEX, InvalidSubject, SubjectId, format_of, invalid};
use crate::domain::id::StreamId;

/// The largest number of identifiers that an event may have besides its `sub_id`.
pub const FURTHER_MAX: usize = 16;

/// The largest number of combinations that the `aliases` among the members of a complex subject may
/// give.
const COMBINATIONS_MAX: usize = 128;

/// The subject of an event with all its identifiers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    id: SubjectId,
    /// Invariant: at most [`FURTHER_MAX`], no two equal, none equal to `id`, and without `aliases`.
    further: Vec<SubjectId>,
}

impl Subject {
    /// Makes a subject of its main identifier and further ones. An identifier that is given twice
    /// counts once.
    pub fn new(id: SubjectId, further: Vec<SubjectId>) -> Result<Self, InvalidSubject> {
        let mut subject = Self::from(id);
        for identifier in further {
            if identifier.has_aliases() {
                return invalid("format", "must not be `aliases`: list the identifiers themselves");
            }
            if identifier != subject.id && !subject.further.contains(&identifier) {
                subject.further.push(identifier);
            }
        }
        if FURTHER_MAX < subject.further.len() {
            return invalid("identifiers", format!("must be at most {FURTHER_MAX}"));
        }
        Ok(subject)
    }

    /// Returns the identifier that the event was published under, `sub_id`.
    pub fn id(&self) -> &SubjectId {
        &self.id
    }

    pub fn has_further(&self) -> bool {
        !self.further.is_empty()
    }

    /// Returns every identifier without `aliases`. The identifiers of [`Self::id`] come first.
    pub fn plain(&self) -> Vec<SubjectId> {
        let mut plain = self.id.plain();
        plain.extend_from_slice(&self.further);
        plain
    }

    /// Returns every identifier that the subject is matched by; see [`SubjectId::forms`].
    pub fn forms(&self) -> Cow<'_, [SubjectId]> {
        let mut forms = self.id.forms();
        if self.has_further() {
            forms.to_mut().extend_from_slice(&self.further);
        }
        forms
    }

    /// Returns the streams that the identifiers may name.
    pub fn streams(&self) -> Vec<StreamId> {
        self.forms().iter().filter_map(SubjectId::stream).collect()
    }
}

impl From<SubjectId> for Subject {
    fn from(id: SubjectId) -> Self {
        Self { id, further: Vec::new() }
    }
}

/// Writes an array, with `id` first.
impl Serialize for Subject {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq([&self.id].into_iter().chain(&self.further))
    }
}

impl TryFrom<Vec<Value>> for Subject {
    type Error = InvalidSubject;

    fn try_from(identifiers: Vec<Value>) -> Result<Self, InvalidSubject> {
        let mut identifiers = identifiers.into_iter().map(SubjectId::try_from);
        match identifiers.next() {
            Some(id) => Self::new(id?, identifiers.collect::<Result<_, _>>()?),
            None => invalid("sub_id", "is required"),
        }
    }
}

impl SubjectId {
    /// Returns every combination without `aliases`, in the order of the identifiers in each
    /// `aliases`. The result is never empty.
    pub fn plain(&self) -> Vec<Self> {
        let Some(members) = self.members() else {
            return ways(&self.0).iter().cloned().map(Self).collect();
        };
        let mut plain = vec![Map::new()];
        for (name, part) in members {
            let with = |way: &Value, so_far: &Map<String, Value>| {
                let mut longer = so_far.clone();
                longer.insert(name.clone(), way.clone());
                longer
            };
            plain = plain
                .iter()
                .flat_map(|so_far| ways(part).iter().map(move |way| with(way, so_far)))
                .collect();
        }
        plain.into_iter().map(|members| Self(Value::Object(members))).collect()
    }

    /// Returns the first value of [`Self::plain`].
    pub fn first_plain(&self) -> Cow<'_, Self> {
        if self.has_aliases() {
            Cow::Owned(self.plain().swap_remove(0))
        } else {
            Cow::Borrowed(self)
        }
    }

    /// Returns everything that the identifier is matched by: itself and, if it has `aliases`, each
    /// identifier in them.
    pub fn forms(&self) -> Cow<'_, [Self]> {
        if !self.has_aliases() {
            return slice::from_ref(self).into();
        }
        let mut forms = vec![self.clone()];
        forms.append(&mut self.plain());
        forms.into()
    }

    /// Returns the format of a simple identifier, or of the `user` of a complex subject.
    pub(super) fn user_format(&self) -> Option<&str> {
        match self.members() {
            None => Some(self.format()),
            Some(members) => members.get("user").map(format_of),
        }
    }

    fn has_aliases(&self) -> bool {
        match self.members() {
            None => self.format() == ALIASES,
            Some(members) => members.values().any(is_aliases),
        }
    }
}

fn is_aliases(part: &Value) -> bool {
    part.get("format").and_then(Value::as_str) == Some(ALIASES)
}

/// Returns the identifiers that a value stands for: those in `aliases`, or the value itself.
fn ways(part: &Value) -> &[Value] {
    let identifiers = part.get("identifiers").filter(|_| is_aliases(part));
    identifiers.and_then(Value::as_array).map_or(slice::from_ref(part), Vec::as_slice)
}

/// Limits the number of combinations that the `aliases` in these members of a complex subject give.
pub(super) fn check(members: &Map<String, Value>) -> Result<(), InvalidSubject> {
    let product = members.values().try_fold(1_usize, |so_far, part| {
        so_far.checked_mul(ways(part).len()).filter(|ways| *ways <= COMBINATIONS_MAX)
    });
    match product {
        Some(_) => Ok(()),
        None => invalid(
            COMPLEX,
            format!("must not have more than {COMBINATIONS_MAX} combinations of its `aliases`"),
        ),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::{
        collection::{btree_map, vec},
        prelude::*,
        sample::{Index, select},
    };
    use serde_json::json;

    use super::*;

    /// A simple identifier with few possible values, of any format except `aliases`.
    fn simple() -> impl Strategy<Value = Value> {
        let value = select(vec!["a", "b"]);
        (0..12_usize, value).prop_map(|(format, value)| match format {
            0 => json!({"format": "account", "uri": format!("acct:{value}@example.com")}),
            1 => json!({"format": "email", "email": format!("{value}@example.com")}),
            2 => json!({"format": "iss_sub", "iss": "https://idp.example", "sub": value}),
            3 => json!({"format": "opaque", "id": value}),
            4 => json!({"format": "phone_number",
                "phone_number": if value == "a" { "+12065550100" } else { "+12065550101" }}),
            5 => json!({"format": "did", "url": format!("did:example:{value}")}),
            6 => json!({"format": "uri", "uri": format!("urn:example:{value}")}),
            7 => json!({"format": "jwt_id", "iss": "https://idp.example", "jti": value}),
            8 => json!({"format": "saml_assertion_id", "issuer": "idp", "assertion_id": value}),
            9 => json!({"format": "ip-addresses",
                "ip-addresses": if value == "a" { ["10.0.0.1", "::1"] } else { ["::1", "10.0.0.1"] }}),
            10 => json!({"format": "oauth_client", "client_id": value}),
            _ => json!({"format": "oauth_token", "token_type": "access_token",
                "token_identifier_alg": "plain", "token": value}),
        })
    }

    fn simple_or_aliases() -> impl Strategy<Value = Value> {
        let aliases = vec(simple(), 1..4)
            .prop_map(|identifiers| json!({"format": "aliases", "identifiers": identifiers}));
        prop_oneof![3 => simple(), 1 => aliases]
    }

    fn complex(part: impl Strategy<Value = Value>) -> impl Strategy<Value = Value> {
        let name = select(vec!["user", "device", "session", "tenant"]);
        btree_map(name, part, 1..4).prop_map(|members| {
            let members = members.into_iter().map(|(name, part)| (name.to_owned(), part));
            Value::Object(members.chain([("format".to_owned(), json!("complex"))]).collect())
        })
    }

    fn parse(value: Value) -> SubjectId {
        SubjectId::try_from(value).expect("a valid subject")
    }

    /// Subjects of every format, with so few values that they often match.
    pub(in crate::domain) fn any_subject() -> impl Strategy<Value = SubjectId> {
        prop_oneof![simple_or_aliases(), complex(simple_or_aliases())].prop_map(parse)
    }

    /// Subjects of events, some of them with further identifiers.
    pub(in crate::domain::subject) fn any_named_subject() -> impl Strategy<Value = Subject> {
        let further = vec(prop_oneof![simple(), complex(simple())].prop_map(parse), 0..4);
        let new = |(id, further)| Subject::new(id, further).expect("few and no aliases");
        (any_subject(), further).prop_map(new)
    }

    fn email(local: &str) -> Value {
        json!({"format": "email", "email": format!("{local}@example.com")})
    }

    fn opaque(id: &str) -> Value {
        json!({"format": "opaque", "id": id})
    }

    fn aliases(identifiers: &[Value]) -> Value {
        json!({"format": "aliases", "identifiers": identifiers})
    }

    #[test]
    fn aliases_stand_for_each_of_their_identifiers() {
        let both = parse(aliases(&[email("kim"), opaque("u-1")]));
        assert_eq!(both.plain(), [parse(email("kim")), parse(opaque("u-1"))]);
        assert_eq!(*both.forms(), [both.clone(), parse(email("kim")), parse(opaque("u-1"))]);

        let user = aliases(&[email("kim"), opaque("u-1")]);
        let session = parse(json!({"format": "complex", "user": user, "session": opaque("s-1")}));
        let named =
            |user| parse(json!({"format": "complex", "user": user, "session": opaque("s-1")}));
        assert_eq!(session.plain(), [named(email("kim")), named(opaque("u-1"))]);
        assert_eq!(session.forms().len(), 3);
    }

    #[test]
    fn a_subject_has_further_identifiers_within_bounds() {
        let new = |further: Vec<Value>| {
            Subject::new(parse(email("kim")), further.into_iter().map(parse).collect())
        };
        let subject = new(vec![opaque("u-1"), email("kim"), opaque("u-1")]).expect("valid");
        assert_eq!(subject.plain(), [parse(email("kim")), parse(opaque("u-1"))]);
        assert!(new((0..FURTHER_MAX).map(|n| opaque(&n.to_string())).collect()).is_ok());
        assert!(new((0..=FURTHER_MAX).map(|n| opaque(&n.to_string())).collect()).is_err());
        let hidden = json!({"format": "complex", "user": aliases(&[email("kim")])});
        for within in [aliases(&[email("lee")]), hidden] {
            let error = new(vec![within]).expect_err("it has aliases").to_string();
            assert!(error.contains("must not be `aliases`"), "{error}");
        }
    }

    #[test]
    fn the_combinations_of_aliases_are_limited() {
        let of = |count: usize| {
            let part = aliases(&(0..count).map(|n| opaque(&n.to_string())).collect::<Vec<_>>());
            SubjectId::try_from(json!({"format": "complex", "user": part, "device": part}))
        };
        assert_eq!(of(11).expect("121 ways").plain().len(), 121);
        let error = of(12).expect_err("144 ways").to_string();
        assert!(error.contains("more than 128 combinations"), "{error}");
    }

    proptest! {
        #[test]
        fn a_named_subject_prints_back_as_it_was(subject in any_named_subject()) {
            let text = serde_json::to_string(&subject).expect("a subject is JSON");
            let values: Vec<Value> = serde_json::from_str(&text).expect("an array");
            prop_assert_eq!(Subject::try_from(values), Ok(subject));
        }

        /// A plain form consists of the given identifiers, member by member, and has no `aliases`.
        #[test]
        fn plain_forms_are_made_of_what_was_given(subject in any_subject(), at in any::<Index>()) {
            let plain = subject.plain();
            let one = at.get(&plain);
            prop_assert!(!one.has_aliases());
            prop_assert_eq!(SubjectId::try_from(one.0.clone()), Ok(one.clone()));
            match (subject.members(), one.members()) {
                (None, None) => prop_assert!(ways(&subject.0).contains(&one.0)),
                (Some(given), Some(made)) => {
                    prop_assert!(given.keys().eq(made.keys()));
                    for (name, part) in made {
                        prop_assert!(ways(&given[name]).contains(part));
                    }
                }
                _ => prop_assert!(false, "a complex subject stays one, and a simple one too"),
            }
        }
    }
}
