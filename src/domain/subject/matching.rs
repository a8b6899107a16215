//! Which subjects a stream takes for each other (SSF §8.1.3.1), as the specification has it. The
//! store finds the same by look-up, with the keys of [`super::keys`].

use serde_json::{Map, Value};

use super::{COMPLEX, SubjectId};

impl SubjectId {
    /// Simple subjects match if they are identical; complex ones if no member that both have
    /// differs, since an absent member stands for any. A simple one never matches a complex one.
    pub fn matches(&self, other: &Self) -> bool {
        match (self.members(), other.members()) {
            (Some(ours), Some(theirs)) => {
                ours.iter().all(|(name, part)| theirs.get(name).is_none_or(|other| other == part))
            }
            _ => self == other,
        }
    }

    /// The members of a complex subject, `format` among them; `None` for a simple one.
    pub(super) fn members(&self) -> Option<&Map<String, Value>> {
        self.0.as_object().filter(|_| self.format() == COMPLEX)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::{collection::btree_map, prelude::*};
    use serde_json::json;

    use super::*;

    pub(in crate::domain::subject) fn subject(value: Value) -> SubjectId {
        SubjectId::try_from(value).expect("a valid subject")
    }

    fn email(local: &str) -> Value {
        json!({"format": "email", "email": format!("{local}@example.com")})
    }

    /// A complex subject with these members, each an e-mail address.
    fn complex(members: &[(&str, &str)]) -> SubjectId {
        let members = members.iter().map(|(name, local)| ((*name).to_owned(), email(local)));
        let format = ("format".to_owned(), json!("complex"));
        subject(Value::Object(members.chain([format]).collect()))
    }

    /// Simple and complex subjects, few enough that they meet.
    pub(in crate::domain::subject) fn subjects() -> impl Strategy<Value = SubjectId> {
        let name = prop::sample::select(vec!["user", "device", "session", "tenant"]);
        let value = prop::sample::select(vec!["a", "b"]);
        let complex = btree_map(name, value.clone(), 1..4)
            .prop_map(|members| complex(&members.into_iter().collect::<Vec<_>>()));
        prop_oneof![1 => value.prop_map(|local| subject(email(local))), 4 => complex]
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
    fn an_absent_member_stands_for_any_and_a_common_one_must_agree() {
        check(&complex(&[("tenant", "t")]), &complex(&[("tenant", "t"), ("user", "u")]), true);
        check(&complex(&[("user", "u"), ("device", "d")]), &complex(&[("user", "u")]), true);
        let in_group = |group| complex(&[("user", "u"), ("group", group)]);
        check(&in_group("g"), &in_group("h"), false);
        // Nothing in common, so nothing differs.
        check(&complex(&[("user", "a")]), &complex(&[("device", "b")]), true);
    }

    /// SID-11
    #[test]
    fn a_simple_subject_never_matches_a_complex_one() {
        check(&subject(email("kim")), &complex(&[("user", "kim")]), false);
    }

    proptest! {
        /// Field by field, as SSF §8.1.3.1 words it.
        #[test]
        fn matching_is_what_the_specification_says(one in subjects(), other in subjects()) {
            let fields = ["user", "device", "session", "tenant"];
            let field = |subject: &SubjectId, name| subject.0.get(name).cloned();
            let agree = |name| {
                let (ours, theirs) = (field(&one, name), field(&other, name));
                ours.is_none() || theirs.is_none() || ours == theirs
            };
            let naive = match (one.format(), other.format()) {
                (COMPLEX, COMPLEX) => fields.into_iter().all(agree),
                _ => one.canonical() == other.canonical(),
            };
            prop_assert_eq!(one.matches(&other), naive);
            prop_assert_eq!(other.matches(&one), naive);
            prop_assert!(one.matches(&one));
        }
    }
}
