//! A mapping as it is written in TOML, in a preset's file and in the table of a source alike.
//!
//! Values, conditions and subjects have several forms, so they stay JSON here and are read by
//! [`super::Mapping::compile`], which can name the rule and the path that it refuses.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};

/// The rules that turn native records into events.
///
/// The structs of this file accept no other members, except this one: it is often flattened into the
/// table of a source, which has further keys. Its own keys are [`MappingSettings::KEYS`].
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct MappingSettings {
    /// A path to the records of one body. Without it, the body is one record or an array of them.
    pub records: Option<String>,
    /// A path to the native event type, by which rules are found.
    #[serde(rename = "type")]
    pub native_type: Option<String>,
    /// The native id of the event, as a value.
    pub id: Option<Value>,
    pub time: Option<TimeSettings>,
    pub decode: Vec<DecodeSettings>,
    /// Named values, each computed once for each record.
    #[serde(rename = "let")]
    pub lets: BTreeMap<String, Value>,
    pub maps: BTreeMap<String, MapSettings>,
    /// In a preset, a declaration for each variable ([`VarSettings`]). In a source, the values.
    pub vars: BTreeMap<String, Value>,
    /// Rules that drop or reject before all others.
    pub guards: Vec<RuleSettings>,
    pub rules: Vec<RuleSettings>,
    /// The result of a record that no rule takes.
    pub unmatched: Option<Unmatched>,
    /// Names rules with `opt_in` that are active.
    pub enable: Vec<String>,
    /// Names rules of the preset that are not active.
    pub disable: Vec<String>,
    /// `user` allows rules that end all sessions of a user.
    pub scope: Option<Scope>,
}

impl MappingSettings {
    /// The keys of a mapping, for a table that has further ones.
    pub const KEYS: [&'static str; 14] = [
        "records",
        "type",
        "id",
        "time",
        "decode",
        "let",
        "maps",
        "vars",
        "guards",
        "rules",
        "unmatched",
        "enable",
        "disable",
        "scope",
    ];
}

/// The time of the native event.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TimeSettings {
    /// A path, or a value in its long form.
    pub from: Value,
    #[serde(default)]
    pub unit: TimeUnit,
}

/// How a native time is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TimeUnit {
    /// Seconds since 1970.
    S,
    /// Milliseconds since 1970.
    Ms,
    /// RFC 3339 §5.6, with a zone.
    Rfc3339,
    /// Any of the above. A number of at least 10¹¹ counts as milliseconds.
    #[default]
    Auto,
}

/// A place of the record that holds another document as text.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DecodeSettings {
    /// A JSON Pointer.
    pub at: String,
    #[serde(rename = "as")]
    pub encoding: Encoding,
    /// A record without the document, or with a text that cannot be decoded, stays as it is.
    #[serde(default)]
    pub optional: bool,
}

/// The encoding of a document inside a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Encoding {
    Json,
    /// JSON in base64, with or without padding, of either alphabet (RFC 4648 §4, §5).
    Base64Json,
    /// The claims of a JWS in compact form (RFC 7515 §7.1). Its signature is not verified.
    Jwt,
}

/// A table of values, such as the names of credentials.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MapSettings {
    pub values: BTreeMap<String, Value>,
    /// Without a default, a value that has no entry is missing.
    pub default: Option<Value>,
}

/// The declaration of a variable in a preset.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct VarSettings {
    /// The source must give a value.
    pub required: bool,
    pub default: Option<Value>,
    pub description: String,
    /// The value that the preset's examples use, if they give none.
    pub example: Option<Value>,
}

/// One rule: conditions and one action, which is one of `emit`, `drop`, `reject` and `alarm`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RuleSettings {
    pub name: String,
    /// Tests by path. All must hold.
    pub when: Map<String, Value>,
    /// Tests by path. The rule does not match if all hold.
    pub unless: Map<String, Value>,
    /// Alternatives, each like `when`. One must hold.
    pub any: Vec<Map<String, Value>>,
    /// A path to several values. The rule is applied to each of them.
    pub each: Option<String>,
    /// The event type, as a value.
    pub emit: Option<Value>,
    /// All types that `emit` may give, if they cannot be read from `emit`.
    pub emits: Vec<String>,
    pub drop: Option<String>,
    pub reject: Option<String>,
    /// Rejects, and tells an operator.
    pub alarm: Option<String>,
    pub subject: Option<Value>,
    pub subject_identifiers: Vec<Value>,
    /// The members of the event, as values.
    pub event: Map<String, Value>,
    /// The idempotency key, as a value. Rules that describe one happening share a key.
    pub id: Option<Value>,
    pub txn: Option<Value>,
    /// `user` says that the rule ends all sessions of a user.
    pub scope: Option<Scope>,
    /// The rule is active only if the source enables it.
    pub opt_in: bool,
    /// The rules behind this one are tried too.
    pub also: bool,
    pub on_change: Option<OnChangeSettings>,
}

/// A stored value that must have changed before an event goes out.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OnChangeSettings {
    /// Names the state, so that several rules can share it. The default is the name of the rule.
    pub state: Option<String>,
    /// Says whose state it is, as a value.
    pub key: Value,
    /// The state, as a value.
    pub value: Value,
    /// `silent` (the default), `emit`, or the list of values that give an event at first sight.
    pub first: Option<Value>,
}

/// How many sessions a rule may end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    #[default]
    Session,
    /// All sessions of a user.
    User,
}

/// The result of a record that no rule takes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unmatched {
    #[default]
    Drop,
    Reject,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_list_of_keys_is_that_of_the_struct() {
        let written = json!({
            "records": "/r", "type": "/t", "id": "{/i}", "time": {"from": "/t"},
            "decode": [{"at": "/d", "as": "json"}], "let": {"a": 1}, "maps": {"m": {}},
            "vars": {"v": 1}, "guards": [{"name": "g"}], "rules": [{"name": "r"}],
            "unmatched": "reject", "enable": ["r"], "disable": ["r"], "scope": "user",
        });
        let keys: Vec<_> = written.as_object().expect("an object").keys().cloned().collect();
        let mut listed = MappingSettings::KEYS;
        listed.sort_unstable();
        assert_eq!(keys, listed);
        let MappingSettings {
            records: Some(_),
            native_type: Some(_),
            id: Some(_),
            time: Some(_),
            decode,
            lets,
            maps,
            vars,
            guards,
            rules,
            unmatched: Some(_),
            enable,
            disable,
            scope: Some(_),
        } = serde_json::from_value(written).expect("all are known")
        else {
            panic!("a key was not read");
        };
        assert_eq!([lets.len(), maps.len(), vars.len()], [1; 3]);
        assert_eq!([decode.len(), guards.len(), rules.len(), enable.len(), disable.len()], [1; 5]);
    }

    #[test]
    fn a_rule_takes_no_other_member() {
        let error = serde_json::from_value::<RuleSettings>(json!({"name": "a", "wen": {}}));
        assert!(error.expect_err("an unknown key").to_string().contains("`wen`"));
    }
}
