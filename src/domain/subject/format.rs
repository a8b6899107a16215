//! The choice of one identifier for a SET. An event may name its subject by several identifiers,
//! and a SET carries the one that the stream's Receiver knows (SSF §10.1).

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{COMPLEX, Subject, SubjectId};

/// The identifier that the SETs of a stream carry.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum SubjectFormat {
    /// The `sub_id` of the event, in any format.
    AsPublished,
    IssSub,
    Email,
    Opaque,
    PhoneNumber,
    /// A complex subject with any members.
    Complex,
}

impl SubjectFormat {
    pub const ALL: [Self; 6] = [
        Self::AsPublished,
        Self::IssSub,
        Self::Email,
        Self::Opaque,
        Self::PhoneNumber,
        Self::Complex,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::AsPublished => "as_published",
            Self::IssSub => "iss_sub",
            Self::Email => "email",
            Self::Opaque => "opaque",
            Self::PhoneNumber => "phone_number",
            Self::Complex => COMPLEX,
        }
    }

    /// Chooses one of the identifiers by which the event names its subject, or returns `None` if
    /// none has this format. A complex subject keeps all its members, because without them it would
    /// be another subject; only its `user` must have the format. The first match counts, and simple
    /// identifiers come before complex ones.
    ///
    /// `fixed` means that the event is about the identifier itself, so that no other identifier can
    /// replace it (RISC §2.5, §2.6).
    pub fn choose(self, subject: &Subject, fixed: bool) -> Option<Cow<'_, SubjectId>> {
        let id = subject.id();
        match self {
            Self::AsPublished => Some(Cow::Borrowed(id)),
            _ if fixed => Some(Cow::Borrowed(id)).filter(|id| id.format() == self.as_str()),
            _ => {
                let mut plain = subject.plain();
                let simple = plain.iter().position(|one| one.format() == self.as_str());
                let user = || plain.iter().position(|one| one.user_format() == Some(self.as_str()));
                simple.or_else(user).map(|at| Cow::Owned(plain.swap_remove(at)))
            }
        }
    }
}

impl std::str::FromStr for SubjectFormat {
    type Err = String;

    fn from_str(raw: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|format| format.as_str() == raw).ok_or_else(|| {
            let known: Vec<_> = Self::ALL.map(|format| format!("`{}`", format.as_str())).into();
            format!("must be one of {}, not `{raw}`", known.join(", "))
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::{prelude::*, sample::select};
    use serde_json::{Value, json};

    use super::{super::forms::tests::any_named_subject, *};

    fn email() -> Value {
        json!({"format": "email", "email": "kim@example.com"})
    }

    fn iss_sub() -> Value {
        json!({"format": "iss_sub", "iss": "https://idp.example", "sub": "u-17"})
    }

    fn opaque() -> Value {
        json!({"format": "opaque", "id": "s-88"})
    }

    fn named(identifiers: &[Value]) -> Subject {
        Subject::try_from(identifiers.to_vec()).expect("a valid subject")
    }

    #[track_caller]
    fn check(identifiers: &[Value], format: SubjectFormat, expected: Option<Value>) {
        let subject = named(identifiers);
        let chosen = format.choose(&subject, false).map(|chosen| json!(chosen));
        assert_eq!(chosen, expected, "{format:?} {identifiers:?}");
    }

    /// SEC-03 (SSF §10.1)
    #[test]
    fn a_simple_subject_gets_the_identifier_that_the_receiver_knows() {
        use SubjectFormat::*;
        let both = [iss_sub(), email()];
        check(&both, AsPublished, Some(iss_sub()));
        check(&both, IssSub, Some(iss_sub()));
        check(&both, Email, Some(email()));
        for absent in [Opaque, PhoneNumber, Complex] {
            check(&both, absent, None);
        }
        let aliases = json!({"format": "aliases", "identifiers": [opaque(), email()]});
        let with_more = [aliases.clone(), iss_sub()];
        check(&with_more, AsPublished, Some(aliases));
        check(&with_more, Email, Some(email()));
        check(&with_more, IssSub, Some(iss_sub()));
    }

    #[test]
    fn a_complex_subject_keeps_its_members_and_its_user_has_the_format() {
        use SubjectFormat::*;
        let session = |user: Value| json!({"format": "complex", "user": user, "session": opaque()});
        let both = json!({"format": "aliases", "identifiers": [iss_sub(), email()]});
        check(&[session(both.clone())], Email, Some(session(email())));
        check(&[session(both.clone())], Complex, Some(session(iss_sub())));
        check(&[session(both.clone())], AsPublished, Some(session(both)));
        // The identifier names the session and not its user.
        check(&[session(email())], Opaque, None);
        check(&[json!({"format": "complex", "device": email()})], Email, None);
        // The publisher may give another identifier for the whole subject.
        check(&[session(email()), opaque()], Opaque, Some(opaque()));
        check(&[session(email()), email()], Email, Some(email()));
        check(&[email(), session(email())], Complex, Some(session(email())));
    }

    /// RISC-02 (RISC §2.5, §2.6)
    #[test]
    fn an_identifier_that_the_event_is_about_is_not_replaced() {
        use SubjectFormat::*;
        let phone = json!({"format": "phone_number", "phone_number": "+12065550100"});
        let subject = named(&[email(), phone, iss_sub()]);
        for format in SubjectFormat::ALL {
            let chosen = format.choose(&subject, true).map(|chosen| json!(chosen));
            let kept = matches!(format, AsPublished | Email);
            assert_eq!(chosen, kept.then(email), "{format:?}");
        }
    }

    #[test]
    fn a_format_is_read_by_its_name() {
        for format in SubjectFormat::ALL {
            assert_eq!(format.as_str().parse(), Ok(format));
            assert_eq!(json!(format), format.as_str());
        }
        let error = "phone".parse::<SubjectFormat>().expect_err("no format");
        assert!(error.contains("`phone_number`") && error.contains("not `phone`"), "{error}");
    }

    proptest! {
        /// A chosen identifier is one that the event has, in the format that was asked for. If the
        /// event has such an identifier, one is chosen.
        #[test]
        fn no_identifier_is_invented_and_none_that_fits_is_missed(
            subject in any_named_subject(),
            format in select(SubjectFormat::ALL.to_vec()),
            fixed in any::<bool>(),
        ) {
            let chosen = format.choose(&subject, fixed);
            let fits = |one: &SubjectId| {
                let value = json!(one);
                let user = value.get("user").map_or(&value["format"], |user| &user["format"]);
                value["format"] == format.as_str() || user == format.as_str()
            };
            match &chosen {
                Some(chosen) if format == SubjectFormat::AsPublished || fixed => {
                    prop_assert_eq!(&**chosen, subject.id());
                }
                Some(chosen) => {
                    prop_assert!(subject.plain().contains(chosen) && fits(chosen));
                }
                None if fixed => prop_assert!(subject.id().format() != format.as_str()),
                None => prop_assert!(!subject.plain().iter().any(fits)),
            }
            // The chosen identifier matches everything that the subject is matched by.
            if let Some(chosen) = chosen {
                prop_assert!(subject.forms().contains(&chosen));
            }
        }
    }
}
