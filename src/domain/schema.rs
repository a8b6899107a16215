//! The definitions of event types as tables, one file for each family of types. [`super::lint`]
//! compares events with them.
//!
//! A [`Family`] has the types of one specification. A [`Schema`] defines one type by its
//! [`Member`]s. A [`ValueRule`] judges the value of a member.

mod caep;
mod oauth;
mod risc;
mod scim;
mod ssf;

use serde_json::{Map, Value};

use super::subject::SubjectId;

/// All families.
pub const FAMILIES: [&Family; 5] =
    [&caep::FAMILY, &risc::FAMILY, &ssf::FAMILY, &oauth::FAMILY, &scim::FAMILY];

/// The event types of one specification.
#[derive(Debug)]
pub struct Family {
    /// The text that replaces `base` in a short name.
    pub prefix: &'static str,
    /// The first part of each type's URI; the name of the type follows.
    pub base: &'static str,
    pub origin: FamilyOrigin,
    /// Members that every type of the family may have.
    pub common: &'static [Member],
    pub types: &'static [Schema],
}

/// The relation of a family to SSF. It decides who may issue and ask for its types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FamilyOrigin {
    /// CAEP and RISC. Every provider takes and offers them.
    Profile,
    /// The control events of SSF. Only the Transmitter issues them (SSF §8.1.4, §8.1.5).
    Control,
    /// Types that were defined outside SSF, for providers that list them.
    Elsewhere,
}

/// The definition of one event type.
#[derive(Debug)]
pub struct Schema {
    pub name: &'static str,
    /// The section of the specification that defines the type.
    pub section: &'static str,
    /// The formats that the subject may have. An empty list allows every format.
    pub subjects: &'static [&'static str],
    pub members: &'static [Member],
    /// The short name of the type that new Transmitters send instead of this one.
    pub replaced_by: Option<&'static str>,
    /// The section of the CAEP interoperability profile that has the type as a use case.
    pub interop: Option<&'static str>,
}

/// One member of an event.
#[derive(Debug)]
pub struct Member {
    pub name: &'static str,
    pub presence: Presence,
    pub rule: ValueRule,
    /// The rule is only advice.
    pub advised: bool,
    /// The section that defines the member, if it is not the section of the type.
    pub section: Option<&'static str>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    Required,
    Recommended,
    /// Recommended if the other member is present.
    RecommendedWith(&'static str),
    Optional,
}

/// The rule that a value follows.
#[derive(Debug, Clone, Copy)]
pub enum ValueRule {
    Text,
    /// A time in seconds since 1970.
    Seconds,
    /// One value of a closed list.
    OneOf(&'static [&'static str]),
    /// One value of an open list. Parties may agree on other values.
    Known(&'static [&'static str]),
    ArrayOfStrings,
    /// At least one text, each under a language tag (BCP 47).
    Reasons,
    NonEmptyObject,
    Subject,
}

/// The judgement of a value by its rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conformity {
    Holds,
    /// Allowed, but probably a mistake.
    Doubtful,
    Broken,
}

/// A greater number is taken for milliseconds, because as seconds it is three thousand years ahead.
const SECONDS_MAX: f64 = 1e11;

/// Looks up the definition of a type by its URI.
pub fn find(uri: &str) -> Option<(&'static Family, &'static Schema)> {
    FAMILIES.into_iter().find_map(|family| {
        let schema = family.of_name(uri.strip_prefix(family.base)?)?;
        Some((family, schema))
    })
}

impl Family {
    pub fn of_name(&self, name: &str) -> Option<&'static Schema> {
        self.types.iter().find(|schema| schema.name == name)
    }
}

impl Schema {
    const fn new(name: &'static str, section: &'static str, members: &'static [Member]) -> Self {
        Self { name, section, subjects: &[], members, replaced_by: None, interop: None }
    }

    const fn about(self, subjects: &'static [&'static str]) -> Self {
        Self { subjects, ..self }
    }

    const fn replaced_by(self, short_name: &'static str) -> Self {
        Self { replaced_by: Some(short_name), ..self }
    }

    const fn interop(self, section: &'static str) -> Self {
        Self { interop: Some(section), ..self }
    }
}

impl Member {
    const fn new(name: &'static str, presence: Presence, rule: ValueRule) -> Self {
        Self { name, presence, rule, advised: false, section: None }
    }

    const fn required(name: &'static str, rule: ValueRule) -> Self {
        Self::new(name, Presence::Required, rule)
    }

    const fn recommended(name: &'static str, rule: ValueRule) -> Self {
        Self::new(name, Presence::Recommended, rule)
    }

    const fn optional(name: &'static str, rule: ValueRule) -> Self {
        Self::new(name, Presence::Optional, rule)
    }

    const fn recommended_with(self, other: &'static str) -> Self {
        Self { presence: Presence::RecommendedWith(other), ..self }
    }

    const fn advised(self) -> Self {
        Self { advised: true, ..self }
    }

    const fn defined_in(self, section: &'static str) -> Self {
        Self { section: Some(section), ..self }
    }
}

impl ValueRule {
    pub fn judge(self, value: &Value) -> Conformity {
        let holds = match self {
            Self::Text => value.is_string(),
            Self::Seconds => value.as_f64().is_some_and(|seconds| seconds < SECONDS_MAX),
            Self::OneOf(names) => value.as_str().is_some_and(|text| names.contains(&text)),
            Self::Known(names) => {
                return match value.as_str() {
                    Some(text) if names.contains(&text) => Conformity::Holds,
                    Some(_) => Conformity::Doubtful,
                    None => Conformity::Broken,
                };
            }
            Self::ArrayOfStrings => {
                value.as_array().is_some_and(|list| list.iter().all(Value::is_string))
            }
            Self::Reasons => value.as_object().is_some_and(are_reasons),
            Self::NonEmptyObject => value.as_object().is_some_and(|members| !members.is_empty()),
            Self::Subject => SubjectId::try_from(value.clone()).is_ok(),
        };
        match value.as_str() {
            _ if !holds => Conformity::Broken,
            Some("") => Conformity::Doubtful,
            _ => Conformity::Holds,
        }
    }

    /// Returns the text that follows "must" or "should". It describes the rule and never repeats
    /// the value, so that it can be logged.
    pub fn demand(self) -> String {
        let listed = |names: &[&str]| {
            let names: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
            names.join(", ")
        };
        match self {
            Self::Text => "be a string, and not an empty one".into(),
            Self::Seconds => "be a number of seconds since 1970, not of milliseconds".into(),
            Self::OneOf(names) => format!("be one of {}", listed(names)),
            Self::Known(names) => {
                format!("be one of {}, or a string that the Receiver agreed on", listed(names))
            }
            Self::ArrayOfStrings => "be an array of strings".into(),
            Self::Reasons => {
                r#"be an object of language tags and texts, such as {"en": "signed out"}"#.into()
            }
            Self::NonEmptyObject => "be an object with at least one member".into(),
            Self::Subject => "be a subject identifier (RFC 9493 §3)".into(),
        }
    }
}

fn are_reasons(members: &Map<String, Value>) -> bool {
    !members.is_empty()
        && members.iter().all(|(tag, text)| is_language_tag(tag) && text.is_string())
}

/// Checks the outline of BCP 47: subtags of letters and digits, joined by `-`.
fn is_language_tag(tag: &str) -> bool {
    let mut subtags = tag.split('-');
    let language = subtags.next().unwrap_or_default();
    let plain = |subtag: &str| {
        (1..=8).contains(&subtag.len()) && subtag.bytes().all(|b| b.is_ascii_alphanumeric())
    };
    plain(language) && !language.bytes().any(|b| b.is_ascii_digit()) && subtags.all(plain)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(rule: ValueRule, verdict: Conformity, values: &[Value]) {
        for value in values {
            assert_eq!(rule.judge(value), verdict, "{rule:?} of {value}");
        }
    }

    #[test]
    fn each_rule_accepts_and_refuses_the_right_values() {
        use Conformity::*;
        check(ValueRule::Text, Holds, &[json!("x")]);
        check(ValueRule::Text, Doubtful, &[json!("")]);
        check(ValueRule::Text, Broken, &[json!(null), json!(1), json!(["x"]), json!({"en": "x"})]);

        check(ValueRule::Seconds, Holds, &[json!(1_775_000_099), json!(1_775_000_099.5), json!(0)]);
        check(ValueRule::Seconds, Broken, &[json!(1_775_000_099_000_i64), json!("1775000099")]);
        check(ValueRule::Seconds, Broken, &[json!(null), json!("2026-04-01T00:00:00Z")]);

        check(ValueRule::OneOf(&["LOW", "HIGH"]), Holds, &[json!("LOW")]);
        check(
            ValueRule::OneOf(&["LOW"]),
            Broken,
            &[json!("low"), json!(""), json!(null), json!(1)],
        );

        check(ValueRule::Known(&["pin", "app"]), Holds, &[json!("app")]);
        check(ValueRule::Known(&["pin"]), Doubtful, &[json!("palm"), json!("PIN"), json!("")]);
        check(ValueRule::Known(&["pin"]), Broken, &[json!(null), json!(["pin"])]);

        check(ValueRule::ArrayOfStrings, Holds, &[json!(["pwd", "otp"]), json!([])]);
        check(ValueRule::ArrayOfStrings, Broken, &[json!("pwd"), json!(["pwd", 1]), json!(null)]);

        check(ValueRule::Reasons, Holds, &[json!({"en": "x", "de-CH-1996": "y"})]);
        check(ValueRule::Reasons, Broken, &[json!("x"), json!({}), json!({"en": 1}), json!(null)]);
        check(ValueRule::Reasons, Broken, &[json!({"en_US": "x"}), json!({"": "x"}), json!(["x"])]);

        check(ValueRule::NonEmptyObject, Holds, &[json!({"role": null})]);
        check(ValueRule::NonEmptyObject, Broken, &[json!({}), json!([1]), json!("x"), json!(null)]);

        check(ValueRule::Subject, Holds, &[json!({"format": "opaque", "id": "u-1"})]);
        check(ValueRule::Subject, Broken, &[json!({"format": "opaque"}), json!("u-1")]);
    }

    #[test]
    fn every_uri_is_defined_once_and_found_again() {
        let mut uris = BTreeSet::new();
        for family in FAMILIES {
            for schema in family.types {
                let uri = format!("{}{}", family.base, schema.name);
                let (found, of_type) = find(&uri).expect("it stands in the tables");
                assert_eq!((found.prefix, of_type.name), (family.prefix, schema.name));
                assert!(uris.insert(uri), "{} twice", schema.name);
            }
        }
        assert_eq!(uris.len(), 8 + 14 + 2 + 6 + 12);
        assert!(find("https://schemas.openid.net/secevent/caep/event-type/").is_none());
        assert!(find("urn:example:badge-lost").is_none());
    }
}
