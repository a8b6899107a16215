//! The parties that a SET is meant for.

use serde::{Deserialize, Serialize};

/// The `aud` of a stream and of its SETs (SSF §4.1.8, §8.1.1). It keeps the JSON form in which it
/// was given: one string, or a list of strings.
///
/// Invariant: no value is empty, and there is at least one.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "OneOrMany", into = "OneOrMany")]
pub struct Audience(OneOrMany);

#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("an audience must be a non-empty string or a non-empty list of such strings")]
pub struct InvalidAudience;

impl Audience {
    pub fn one(value: impl Into<String>) -> Result<Self, InvalidAudience> {
        OneOrMany::One(value.into()).try_into()
    }

    /// Makes a list of any number of values.
    pub fn list(values: Vec<String>) -> Result<Self, InvalidAudience> {
        OneOrMany::Many(values).try_into()
    }

    /// Makes a string of one value and a list of several.
    pub fn from_values(mut values: Vec<String>) -> Result<Self, InvalidAudience> {
        match (values.pop(), values.is_empty()) {
            (Some(only), true) => Self::one(only),
            (Some(last), false) => {
                values.push(last);
                OneOrMany::Many(values).try_into()
            }
            (None, _) => Err(InvalidAudience),
        }
    }
}

impl TryFrom<OneOrMany> for Audience {
    type Error = InvalidAudience;

    fn try_from(values: OneOrMany) -> Result<Self, InvalidAudience> {
        let valid = match &values {
            OneOrMany::One(value) => !value.is_empty(),
            OneOrMany::Many(values) => !values.is_empty() && values.iter().all(|v| !v.is_empty()),
        };
        if valid { Ok(Self(values)) } else { Err(InvalidAudience) }
    }
}

impl From<Audience> for OneOrMany {
    fn from(audience: Audience) -> Self {
        audience.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn prints_back(json: &str) {
        let audience: Audience = serde_json::from_str(json).expect("a valid audience");
        assert_eq!(serde_json::to_string(&audience).expect("an audience is JSON"), json);
    }

    #[test]
    fn an_audience_keeps_its_json_shape() {
        prints_back(r#""https://rx.example""#);
        prints_back(r#"["https://rx.example"]"#);
        prints_back(r#"["https://rx.example/web","https://rx.example/app"]"#);
    }

    #[test]
    fn one_value_is_a_string_unless_a_list_is_wanted() {
        let json = |audience: Result<Audience, InvalidAudience>| {
            serde_json::to_string(&audience.expect("valid")).expect("an audience is JSON")
        };
        let one = || vec!["a".to_owned()];
        assert_eq!(json(Audience::from_values(one())), r#""a""#);
        assert_eq!(json(Audience::list(one())), r#"["a"]"#);
        assert!(Audience::list(Vec::new()).is_err());
    }

    #[test]
    fn an_empty_audience_is_refused() {
        for json in [r#""""#, "[]", r#"["a",""]"#, "1"] {
            assert!(serde_json::from_str::<Audience>(json).is_err(), "{json}");
        }
    }
}
