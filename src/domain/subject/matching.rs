//! The rule by which subjects match (SSF §8.1.3.1), written like the specification. The store finds
//! the same matches by look-up, with the keys of [`super::keys`].

use serde_json::{Map, Value};

use super::{COMPLEX, SubjectId};

impl SubjectId {
    /// Tells whether two subjects match. Simple subjects match if they are identical. Complex
    /// subjects match if all members that both have are equal, because an absent member matches
    /// anything. A simple subject never matches a complex one. Each identifier in `aliases` may
    /// match.
    pub fn matches(&self, other: &Self) -> bool {
        let others = other.forms();
        self.forms().iter().any(|form| others.iter().any(|other| form.agrees_with(other)))
    }

    /// Matches like [`Self::matches`], but treats `aliases` as one identifier.
    fn agrees_with(&self, other: &Self) -> bool {
        match (self.members(), other.members()) {
            (Some(ours), Some(theirs)) => {
                ours.iter().all(|(name, part)| theirs.get(name).is_none_or(|other| other == part))
            }
            _ => self == other,
        }
    }

    /// Returns the members of a complex subject, including `format`, or `None` for a simple
    /// subject.
    pub(super) fn members(&self) -> Option<&Map<String, Value>> {
        self.0.as_object().filter(|_| self.format() == COMPLEX)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::{collection::btree_map, prelude::*};
    use serde_json::json;

    use super::{super::forms::tests::any_subject, *};

    pub(in crate::domain::subject) fn subject(value: Value) -> SubjectId {
        SubjectId::try_from(value).expect("a valid subject")
    }

    fn email(local: &str) -> Value {
        json!({"format": "email", "email": format!("{local}@example.com")})
    }

    /// Makes a complex subject; each member is an e-mail address.
    fn complex(members: &[(&str, &str)]) -> SubjectId {
        let members = members.iter().map(|(name, local)| ((*name).to_owned(), email(local)));
        let format = ("format".to_owned(), json!("complex"));
        subject(Value::Object(members.chain([format]).collect()))
    }

    /// E-mail addresses and complex subjects of them, with so few values that they often match.
    fn addresses() -> impl Strategy<Value = SubjectId> {
        let name = prop::sample::select(vec!["user", "device", "session", "tenant"]);
        let value = prop::sample::select(vec!["a", "b"]);
        let complex = btree_map(name, value.clone(), 1..4)
            .prop_map(|members| complex(&members.into_iter().collect::<Vec<_>>()));
        prop_oneof![1 => value.prop_map(|local| subject(email(local))), 4 => complex]
    }

    /// Subjects of every format. Half of them have so few values that they often match.
    pub(in crate::domain::subject) fn subjects() -> impl Strategy<Value = SubjectId> {
        prop_oneof![addresses(), any_subject()]
    }

    #[track_caller]
    fn check(one: &SubjectId, other: &SubjectId, expected: bool) {
        assert_eq!(one.matches(other), expected, "{one:?} {other:?}");
        assert_eq!(other.matches(one), expected, "{other:?} {one:?}");
    }

    /// SID-07, SSF §8.1.3.1
    #[test]
    fn simple_subjects_match_only_if_identical() {
        let parse = |text: &str| subject(serde_json::from_str(text).expect("JSON"));
        let one = parse(r#"{"format": "iss_sub", "iss": "https://idp.example", "sub": "u-1"}"#);
        let turned = parse(r#"{"sub": "u-1", "iss": "https://idp.example", "format": "iss_sub"}"#);
        check(&one, &turned, true);
        check(&one, &subject(json!({"format": "opaque", "id": "u-1"})), false);
        check(&subject(email("kim")), &subject(email("Kim")), false);
        let addresses =
            |list: Value| subject(json!({"format": "ip-addresses", "ip-addresses": list}));
        check(
            &addresses(json!(["10.0.0.1", "::1"])),
            &addresses(json!(["::1", "10.0.0.1"])),
            false,
        );
    }

    /// SID-08, SID-09, SSF §8.1.3.1
    #[test]
    fn an_absent_member_matches_anything_and_a_common_member_must_be_equal() {
        check(&complex(&[("tenant", "t")]), &complex(&[("tenant", "t"), ("user", "u")]), true);
        check(&complex(&[("user", "u"), ("device", "d")]), &complex(&[("user", "u")]), true);
        let in_group = |group| complex(&[("user", "u"), ("group", group)]);
        check(&in_group("g"), &in_group("h"), false);
        // The two have no member in common, so no member differs.
        check(&complex(&[("user", "a")]), &complex(&[("device", "b")]), true);
    }

    /// SID-11
    #[test]
    fn a_simple_subject_never_matches_a_complex_one() {
        check(&subject(email("kim")), &complex(&[("user", "kim")]), false);
    }

    #[test]
    fn aliases_match_by_each_of_their_identifiers() {
        let aliases = |locals: &[&str]| json!({"format": "aliases", "identifiers": locals.iter().map(|local| email(local)).collect::<Vec<_>>()});
        let both = subject(aliases(&["kim", "k"]));
        check(&both, &subject(email("k")), true);
        check(&both, &subject(aliases(&["k", "lee"])), true);
        check(&both, &subject(email("lee")), false);
        let of_user =
            |user: Value| subject(json!({"format": "complex", "user": user, "tenant": email("t")}));
        check(&of_user(aliases(&["kim", "k"])), &of_user(email("k")), true);
        check(&of_user(aliases(&["kim", "k"])), &of_user(email("lee")), false);
        check(&of_user(aliases(&["kim", "k"])), &subject(email("k")), false);
    }

    /// Returns everything that a value stands for, in the words of RFC 9493 §3.2.8.
    fn meant(value: &Value) -> Vec<String> {
        let canonical = |value: &Value| subject(value.clone()).canonical();
        let within = value.get("identifiers").and_then(Value::as_array);
        within.into_iter().flatten().chain([value]).map(canonical).collect()
    }

    proptest! {
        /// Compares field by field, in the words of SSF §8.1.3.1.
        #[test]
        fn matching_is_what_the_specification_says(one in subjects(), other in subjects()) {
            let fields = ["user", "device", "session", "tenant"];
            let same = |ours: &Value, theirs: &Value| {
                meant(ours).iter().any(|meaning| meant(theirs).contains(meaning))
            };
            let agree = |name| match (one.0.get(name), other.0.get(name)) {
                (Some(ours), Some(theirs)) => same(ours, theirs),
                _ => true,
            };
            let naive = match (one.format(), other.format()) {
                (COMPLEX, COMPLEX) => fields.into_iter().all(agree),
                (COMPLEX, _) | (_, COMPLEX) => false,
                _ => same(&one.0, &other.0),
            };
            prop_assert_eq!(one.matches(&other), naive);
            prop_assert_eq!(other.matches(&one), naive);
            prop_assert!(one.matches(&one));
        }
    }
}
