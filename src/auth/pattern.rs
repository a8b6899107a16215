//! Patterns for the claims that a client's own token must have (`require`). Pure.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A text in which each `*` stands for any characters, also none. All else, and case, is literal.
///
/// Invariant: the text is not empty.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Pattern(String);

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a pattern must not be empty")]
pub struct EmptyPattern;

impl Pattern {
    /// Tells whether a claim matches. A claim with several values matches if one of them does. An
    /// absent claim, an object and `null` never match.
    pub(super) fn fits(&self, claim: Option<&Value>) -> bool {
        match claim {
            Some(Value::String(text)) => self.matches(text),
            Some(value @ (Value::Bool(_) | Value::Number(_))) => self.matches(&value.to_string()),
            Some(Value::Array(values)) => {
                values.iter().any(|value| !value.is_array() && self.fits(Some(value)))
            }
            Some(Value::Object(_) | Value::Null) | None => false,
        }
    }

    fn matches(&self, text: &str) -> bool {
        let Some((first, rest)) = self.0.split_once('*') else { return text == self.0 };
        let Some(mut text) = text.strip_prefix(first) else { return false };
        let (middle, last) = rest.rsplit_once('*').unwrap_or(("", rest));
        // The earliest place of each part leaves the most room for the parts behind it.
        for part in middle.split('*') {
            match text.find(part) {
                Some(at) => text = &text[at + part.len()..],
                None => return false,
            }
        }
        text.ends_with(last)
    }
}

impl TryFrom<String> for Pattern {
    type Error = EmptyPattern;

    fn try_from(raw: String) -> Result<Self, EmptyPattern> {
        if raw.is_empty() { Err(EmptyPattern) } else { Ok(Self(raw)) }
    }
}

impl From<Pattern> for String {
    fn from(pattern: Pattern) -> Self {
        pattern.0
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn pattern(raw: &str) -> Pattern {
        Pattern::try_from(raw.to_owned()).expect("not empty")
    }

    #[track_caller]
    fn check(raw: &str, claim: Value, expected: bool) {
        assert_eq!(pattern(raw).fits(Some(&claim)), expected, "{raw} {claim}");
    }

    #[test]
    fn a_star_stands_for_any_characters() {
        check("service-account-*", json!("service-account-acme"), true);
        check("service-account-*", json!("service-account-"), true);
        check("service-account-*", json!("kim"), false);
        check("service-account-*", json!("x-service-account-acme"), false);
        check("*", json!(""), true);
        check("*-m2m", json!("acme-m2m"), true);
        check("*-m2m", json!("acme-m2m-x"), false);
        check("a*b*c", json!("a-b-b-c"), true);
        check("a*b*c", json!("a-c"), false);
        check("ab*ba", json!("aba"), false);
        check("**", json!("x"), true);
        check("acme", json!("acme"), true);
        check("acme", json!("Acme"), false);
    }

    #[test]
    fn a_claim_of_any_plain_type_can_be_required() {
        check("true", json!(true), true);
        check("7", json!(7), true);
        check("client-*", json!(["user", "client-x"]), true);
        check("client-*", json!(["user", ["client-x"]]), false);
        for claim in [json!(null), json!({}), json!([])] {
            check("*", claim, false);
        }
        assert!(!pattern("*").fits(None));
        assert_eq!(Pattern::try_from(String::new()), Err(EmptyPattern));
    }

    proptest! {
        #[test]
        fn a_text_whose_parts_are_replaced_by_stars_still_matches(
            parts in proptest::collection::vec("[a-c]{0,3}", 1..6), gaps in "[a-c]{0,4}",
        ) {
            let raw = parts.join("*");
            prop_assume!(!raw.is_empty());
            prop_assert!(pattern(&raw).matches(&parts.join(&gaps)) || parts.len() == 1);
        }
    }
}
