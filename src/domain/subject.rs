//! The user, device, session or other party that an event is about (RFC 9493, SSF §3).
//!
//! [`SubjectId`] is one identifier, and [`Subject`] is all identifiers by which an event names its
//! subject. [`mod@format`] chooses the identifier that a SET carries. [`list`] is the list of subjects
//! of a stream. Subjects match by the rule in `matching`; [`keys`] finds the same matches by
//! look-up, and only saves comparisons.

pub mod format;
mod forms;
pub mod keys;
pub mod list;
mod matching;

use std::{
    hash::{Hash, Hasher},
    net::IpAddr,
};

use serde::Serialize;
use serde_json::{Map, Value};
use url::Url;

use super::json;

#[cfg(test)]
pub(in crate::domain) use self::forms::tests::any_subject;
pub use self::forms::{FURTHER_MAX, Subject};

/// A subject identifier: simple (RFC 9493 §3.2, SSF §3.5) or complex (SSF §3.3).
///
/// Invariant: an object with a known `format` and with exactly the members of that format, none of
/// them null or empty.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct SubjectId(Value);

/// A simple format: its members and the rule for the value of each.
struct Format {
    name: &'static str,
    members: &'static [(&'static str, MemberRule)],
    /// The prefix of the event types that the format was made for, if the format is neither
    /// registered nor defined by SSF. Only parties that agreed on such a format use it (SSF §3.4).
    made_for: Option<&'static str>,
}

const fn format(name: &'static str, members: &'static [(&'static str, MemberRule)]) -> Format {
    Format { name, members, made_for: None }
}

#[derive(Clone, Copy)]
enum MemberRule {
    Text,
    Email,
    Phone,
    Uri,
    Scheme(&'static str),
    Addresses,
    Identifiers,
    TokenType,
    TokenAlgorithm,
}

const FORMATS: [Format; 13] = [
    format("account", &[("uri", MemberRule::Scheme("acct:"))]),
    format("email", &[("email", MemberRule::Email)]),
    format("iss_sub", &[("iss", MemberRule::Text), ("sub", MemberRule::Text)]),
    format("opaque", &[("id", MemberRule::Text)]),
    format("phone_number", &[("phone_number", MemberRule::Phone)]),
    format("did", &[("url", MemberRule::Scheme("did:"))]),
    format("uri", &[("uri", MemberRule::Uri)]),
    format(ALIASES, &[("identifiers", MemberRule::Identifiers)]),
    format("jwt_id", &[("iss", MemberRule::Text), ("jti", MemberRule::Text)]),
    format(
        "saml_assertion_id",
        &[("issuer", MemberRule::Text), ("assertion_id", MemberRule::Text)],
    ),
    format("ip-addresses", &[("ip-addresses", MemberRule::Addresses)]),
    // OET §2.1, §2.2
    Format {
        made_for: Some("oauth:"),
        ..format(
            "oauth_token",
            &[
                ("token_type", MemberRule::TokenType),
                ("token_identifier_alg", MemberRule::TokenAlgorithm),
                ("token", MemberRule::Text),
            ],
        )
    },
    Format {
        made_for: Some("oauth:"),
        ..format("oauth_client", &[("client_id", MemberRule::Text)])
    },
];

/// The format of a subject that consists of several identifiers (SSF §3.3).
const COMPLEX: &str = "complex";

/// The format of several identifiers of one subject (RFC 9493 §3.2.8).
const ALIASES: &str = "aliases";

/// The largest number of identifiers in `aliases`, of addresses in `ip-addresses`, and of members
/// in a complex subject.
const PARTS_MAX: usize = 64;

/// The longest name of a member of a complex subject, in bytes. Stores keep the names of all members
/// that Receivers list, because matching needs them.
const PART_NAME_LENGTH_MAX: usize = 64;

/// An identifier that breaks a rule, and the member that breaks it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{member}` {rule}")]
pub struct InvalidSubject {
    member: String,
    rule: String,
}

impl InvalidSubject {
    /// Makes the error for a format that the provider does not take.
    pub(super) fn of_format(rule: String) -> Self {
        Self { member: "format".to_owned(), rule }
    }
}

fn invalid<T>(member: &str, rule: impl Into<String>) -> Result<T, InvalidSubject> {
    Err(InvalidSubject { member: member.to_owned(), rule: rule.into() })
}

impl SubjectId {
    /// Returns the subject of a stream's control events, which is the stream itself (SSF §8.1.4.1,
    /// §8.1.5).
    pub fn of_stream(id: &super::id::StreamId) -> Self {
        Self(serde_json::json!({"format": "opaque", "id": id.as_str()}))
    }

    /// Returns the stream that this identifier would name, if a stream with that id exists.
    pub fn stream(&self) -> Option<super::id::StreamId> {
        self.0.get("id").filter(|_| self.format() == "opaque")?.as_str()?.parse().ok()
    }

    pub fn format(&self) -> &str {
        format_of(&self.0)
    }

    /// Returns a format in this identifier that is not for every Receiver, together with the prefix
    /// of the event types that the format was made for (SSF §3.4).
    pub fn made_for(&self) -> Option<(&'static str, &'static str)> {
        made_for(&self.0)
    }

    /// Returns the same text for equal identifiers, whatever the order of their members.
    pub fn canonical(&self) -> String {
        let mut text = String::new();
        write_sorted(&self.0, &mut text);
        text
    }
}

/// Returns the members that a simple format has besides `format`, or `None` if there is no such format.
pub(in crate::domain) fn members_of(format: &str) -> Option<Vec<&'static str>> {
    let format = FORMATS.iter().find(|known| known.name == format)?;
    Some(format.members.iter().map(|(name, _)| *name).collect())
}

fn format_of(identifier: &Value) -> &str {
    identifier["format"].as_str().expect("a subject has a format: checked when it was made")
}

fn made_for(identifier: &Value) -> Option<(&'static str, &'static str)> {
    let own = FORMATS.iter().find(|format| format.name == format_of(identifier));
    match own {
        None => identifier.as_object()?.values().filter(|part| part.is_object()).find_map(made_for),
        Some(Format { name: ALIASES, .. }) => {
            identifier["identifiers"].as_array()?.iter().find_map(made_for)
        }
        Some(format) => format.made_for.map(|prefix| (prefix, format.name)),
    }
}

/// Sorts the members here, because `serde_json` may keep the order in which they came.
fn write_sorted(value: &Value, out: &mut String) {
    match value {
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_by_key(|(name, _)| name.as_str());
            out.push('{');
            for (name, value) in members {
                out.push_str(&Value::from(name.as_str()).to_string());
                write_sorted(value, out);
            }
            out.push('}');
        }
        Value::Array(values) => {
            out.push('[');
            for value in values {
                write_sorted(value, out);
            }
            out.push(']');
        }
        leaf => out.push_str(&leaf.to_string()),
    }
}

impl Hash for SubjectId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.canonical().hash(state);
    }
}

impl TryFrom<Value> for SubjectId {
    type Error = InvalidSubject;

    fn try_from(mut value: Value) -> Result<Self, InvalidSubject> {
        let Some(members) = value.as_object_mut() else {
            return invalid("sub_id", "must be an object with a `format` (RFC 9493 §3)");
        };
        if members.get("format").and_then(Value::as_str) == Some(COMPLEX) {
            // Every member of a complex subject is optional.
            json::without_nulls(members);
            check_complex(members)?;
        } else {
            check_simple(members)?;
        }
        Ok(Self(value))
    }
}

fn check_complex(members: &Map<String, Value>) -> Result<(), InvalidSubject> {
    if members.len() < 2 || PARTS_MAX < members.len() {
        return invalid(
            "complex",
            format!("must have 1 to {} members besides `format` (SSF §3.3)", PARTS_MAX - 1),
        );
    }
    for (name, part) in members.iter().filter(|(name, _)| *name != "format") {
        if PART_NAME_LENGTH_MAX < name.len() {
            let shown: String = name.chars().take(PART_NAME_LENGTH_MAX).collect();
            return invalid(&shown, format!("must be at most {PART_NAME_LENGTH_MAX} bytes long"));
        }
        let Some(part) = part.as_object() else {
            return invalid(name, "must be a simple subject identifier (SSF §3.3)");
        };
        if part.get("format").and_then(Value::as_str) == Some(COMPLEX) {
            return invalid(name, "must not be a complex subject itself (SSF §3.3)");
        }
        check_simple(part)?;
    }
    forms::check(members)
}

fn check_simple(members: &Map<String, Value>) -> Result<(), InvalidSubject> {
    let Some(name) = members.get("format").and_then(Value::as_str) else {
        return invalid("format", "is required and must be a string (RFC 9493 §3)");
    };
    let Some(format) = FORMATS.iter().find(|format| format.name == name) else {
        let hint = if name == "phone" { "; the registered name is `phone_number`" } else { "" };
        return invalid("format", format!("`{name}` is not a known subject format{hint}"));
    };
    for (member, rule) in format.members {
        match members.get(*member) {
            Some(value) => check_member(member, value, *rule)?,
            None => return invalid(member, format!("is required by format `{name}`")),
        }
    }
    let known = |member: &str| {
        member == "format" || format.members.iter().any(|(required, _)| *required == member)
    };
    match members.keys().find(|member| !known(member)) {
        Some(stray) => invalid(stray, format!("is not a member of format `{name}` (RFC 9493 §3)")),
        None => Ok(()),
    }
}

fn check_member(member: &str, value: &Value, rule: MemberRule) -> Result<(), InvalidSubject> {
    match rule {
        MemberRule::Addresses => return check_addresses(member, value),
        MemberRule::Identifiers => return check_identifiers(member, value),
        _ => {}
    }
    let text = match value.as_str() {
        Some(text) if !text.is_empty() => text,
        _ => return invalid(member, "must be a non-empty string"),
    };
    let (valid, rule) = match rule {
        MemberRule::Email => (is_email(text), "must be an e-mail address (RFC 5322)"),
        MemberRule::Phone => (is_phone(text), "must be an E.164 number: `+` and up to 15 digits"),
        MemberRule::Uri => (Url::parse(text).is_ok(), "must be an absolute URI (RFC 3986)"),
        MemberRule::Scheme(scheme) => {
            let rest = text.strip_prefix(scheme);
            let valid = rest.is_some_and(|rest| !rest.is_empty());
            return if valid {
                Ok(())
            } else {
                invalid(member, format!("must start with `{scheme}`"))
            };
        }
        MemberRule::TokenType => (
            ["access_token", "authorization_code", "refresh_token"].contains(&text),
            "must be `access_token`, `authorization_code` or `refresh_token` (OET §2.1)",
        ),
        MemberRule::TokenAlgorithm => (
            ["plain", "prefix"].contains(&text)
                || text.strip_prefix("hash_").is_some_and(|name| !name.is_empty()),
            "must be `plain`, `prefix`, or `hash_` and a name (OET §2.1)",
        ),
        MemberRule::Text | MemberRule::Addresses | MemberRule::Identifiers => (true, ""),
    };
    if valid { Ok(()) } else { invalid(member, rule) }
}

/// Checks the outline of an addr-spec. Only the Receiver can judge mailbox names (RFC 9493 §3.2.2).
pub(in crate::domain) fn is_email(text: &str) -> bool {
    let plain = !text.chars().any(|c| c.is_whitespace() || c.is_control());
    let parts = text.rsplit_once('@');
    plain && parts.is_some_and(|(local, domain)| !local.is_empty() && !domain.is_empty())
}

fn is_phone(text: &str) -> bool {
    let digits = text.strip_prefix('+').unwrap_or("");
    let counts = (2..=15).contains(&digits.len());
    counts && digits.bytes().all(|b| b.is_ascii_digit()) && !digits.starts_with('0')
}

fn check_addresses(member: &str, value: &Value) -> Result<(), InvalidSubject> {
    let address = |v: &Value| v.as_str().is_some_and(|text| text.parse::<IpAddr>().is_ok());
    match value.as_array() {
        Some(list) if (1..=PARTS_MAX).contains(&list.len()) && list.iter().all(address) => Ok(()),
        _ => invalid(member, format!("must be 1 to {PARTS_MAX} IP addresses (SSF §3.5.3)")),
    }
}

fn check_identifiers(member: &str, value: &Value) -> Result<(), InvalidSubject> {
    let list = match value.as_array() {
        Some(list) if (1..=PARTS_MAX).contains(&list.len()) => list,
        _ => return invalid(member, format!("must be 1 to {PARTS_MAX} identifiers")),
    };
    for identifier in list {
        let Some(members) = identifier.as_object() else {
            return invalid(member, "must hold subject identifiers only");
        };
        if members.get("format").and_then(Value::as_str) == Some(ALIASES) {
            return invalid(member, "must not hold `aliases` again (RFC 9493 §3.2.8)");
        }
        check_simple(members)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn accepts(value: Value) {
        let subject = SubjectId::try_from(value.clone()).expect("a valid subject");
        assert_eq!(serde_json::to_value(&subject).expect("a subject is JSON"), value);
    }

    #[track_caller]
    fn refuses(value: Value, error: &str) {
        let found = SubjectId::try_from(value).expect_err("an invalid subject").to_string();
        assert!(found.contains(error), "{found}");
    }

    #[test]
    fn every_registered_format_is_accepted() {
        accepts(json!({"format": "account", "uri": "acct:kim@example.com"}));
        accepts(json!({"format": "email", "email": "kim@example.com"}));
        accepts(json!({"format": "iss_sub", "iss": "https://idp.example", "sub": "u-1"}));
        accepts(json!({"format": "opaque", "id": "s-88"}));
        accepts(json!({"format": "phone_number", "phone_number": "+12065550100"}));
        accepts(json!({"format": "did", "url": "did:example:123456/did/url/path"}));
        accepts(json!({"format": "uri", "uri": "urn:uuid:4e851e98-83c4-4743-a5da-150ecb53042f"}));
        accepts(json!({"format": "aliases", "identifiers": [
            {"format": "email", "email": "kim@example.com"}, {"format": "opaque", "id": "u-1"}]}));
        accepts(json!({"format": "jwt_id", "iss": "https://idp.example", "jti": "B70BA622"}));
        accepts(json!({"format": "saml_assertion_id", "issuer": "idp", "assertion_id": "_8e8"}));
        accepts(json!({"format": "ip-addresses", "ip-addresses": ["10.29.37.75", "2001:db8::1"]}));
        accepts(json!({"format": "oauth_token", "token_type": "refresh_token",
            "token_identifier_alg": "hash_base64_sha512_sha512", "token": "x"}));
        accepts(json!({"format": "oauth_client", "client_id": "c-1"}));
        accepts(json!({"format": "complex",
            "user": {"format": "email", "email": "kim@example.com"},
            "session": {"format": "opaque", "id": "s-88"}}));
    }

    #[test]
    fn a_broken_identifier_names_the_member_and_the_rule() {
        refuses(json!("kim"), "`sub_id` must be an object");
        refuses(json!({"email": "kim@example.com"}), "`format` is required");
        refuses(json!({"subject_type": "email", "email": "k@x.y"}), "`format` is required");
        refuses(json!({"format": "phone", "phone_number": "+1"}), "is `phone_number`");
        refuses(json!({"format": "email"}), "`email` is required");
        refuses(json!({"format": "email", "email": null}), "non-empty string");
        refuses(json!({"format": "email", "email": ""}), "non-empty string");
        refuses(json!({"format": "email", "email": "kim"}), "e-mail address");
        refuses(json!({"format": "email", "email": "k@x.y", "name": "Kim"}), "`name` is not");
        refuses(json!({"format": "phone_number", "phone_number": "+1 206"}), "E.164");
        refuses(json!({"format": "account", "uri": "kim@example.com"}), "`acct:`");
        refuses(json!({"format": "uri", "uri": "/relative"}), "absolute URI");
        refuses(json!({"format": "aliases", "identifiers": []}), "1 to 64 identifiers");
        refuses(
            json!({"format": "aliases", "identifiers": [{"format": "aliases", "identifiers": []}]}),
            "must not hold `aliases`",
        );
        refuses(json!({"format": "ip-addresses", "ip-addresses": ["10.0.0"]}), "IP addresses");
        let token = |kind: &str, algorithm: &str| {
            json!({"format": "oauth_token", "token_type": kind, "token_identifier_alg": algorithm,
                "token": "x"})
        };
        refuses(token("id_token", "plain"), "`token_type` must be `access_token`");
        refuses(token("access_token", "hash_"), "`token_identifier_alg` must be `plain`");
        refuses(json!({"format": "complex"}), "1 to 63 members");
        refuses(json!({"format": "complex", "user": "kim"}), "`user` must be a simple");
        refuses(json!({"format": "complex", "user": null}), "1 to 63 members");
        let named = |length: usize| json!({"format": "complex", "x".repeat(length): {"format": "opaque", "id": "u-1"}});
        accepts(named(PART_NAME_LENGTH_MAX));
        refuses(named(PART_NAME_LENGTH_MAX + 1), "must be at most 64 bytes long");
        refuses(
            json!({"format": "complex", "user": {"format": "complex"}}),
            "`user` must not be a complex",
        );
    }

    #[test]
    fn a_member_of_a_complex_subject_that_is_null_is_absent() {
        let user = json!({"format": "email", "email": "kim@example.com"});
        let subject = |value: Value| SubjectId::try_from(value).expect("a valid subject");
        assert_eq!(
            subject(json!({"format": "complex", "user": user, "session": null})),
            subject(json!({"format": "complex", "user": user})),
        );
    }

    #[test]
    fn a_format_that_is_not_for_every_receiver_is_found_wherever_it_is() {
        let made_for = |value: Value| SubjectId::try_from(value).expect("valid").made_for();
        let (client, email) = (
            json!({"format": "oauth_client", "client_id": "c-1"}),
            json!({"format": "email", "email": "kim@example.com"}),
        );
        for subject in [
            client.clone(),
            json!({"format": "complex", "user": email, "application": client}),
            json!({"format": "aliases", "identifiers": [email, client]}),
        ] {
            assert_eq!(made_for(subject), Some(("oauth:", "oauth_client")));
        }
        assert_eq!(made_for(json!({"format": "complex", "user": email})), None);
    }

    proptest! {
        /// SID-01: an identifier prints the JSON that it was parsed from.
        #[test]
        fn an_identifier_prints_back_as_it_was(subject in any_subject()) {
            let text = serde_json::to_string(&subject).expect("a subject is JSON");
            let value: Value = serde_json::from_str(&text).expect("JSON");
            prop_assert_eq!(SubjectId::try_from(value), Ok(subject));
        }

        #[test]
        fn the_canonical_text_tells_subjects_apart(a in "\\PC{1,12}", b in "\\PC{1,12}") {
            let subject = |iss: &str, sub: &str| {
                SubjectId::try_from(json!({"format": "iss_sub", "iss": iss, "sub": sub}))
                    .expect("non-empty text is a valid issuer and subject")
            };
            let (one, other) = (subject(&a, &b), subject(&b, &a));
            prop_assert_eq!(a == b, one.canonical() == other.canonical());
        }
    }
}
