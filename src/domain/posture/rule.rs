//! The rules that a device has to meet, and their judgement of its facts.

use std::{str::FromStr, time::Duration};

use serde_json::Value;

use super::Version;
use crate::domain::{id::PostureRuleName, json};

/// The longest pointer to a fact, in bytes.
const POINTER_BYTES_MAX: usize = 1024;

/// The place of a fact, as a JSON Pointer (RFC 6901).
///
/// Invariant: begins with a slash, and each `~` is an escape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FactPointer(String);

/// A text that is no pointer to a fact.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be a JSON Pointer (RFC 6901) of at most {POINTER_BYTES_MAX} bytes, such as `/os/version`"
)]
pub struct InvalidFactPointer;

impl FromStr for FactPointer {
    type Err = InvalidFactPointer;

    fn from_str(text: &str) -> Result<Self, InvalidFactPointer> {
        let escapes = || text.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']));
        if text.starts_with('/') && text.len() <= POINTER_BYTES_MAX && escapes() {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidFactPointer)
        }
    }
}

impl FactPointer {
    /// Looks up the fact. One that is `null` or an empty text is missing, because some agents write both
    /// for a fact that they do not know.
    pub fn find<'f>(&self, facts: &'f Value) -> Option<&'f Value> {
        let is_there = |fact: &&Value| !fact.is_null() && fact.as_str() != Some("");
        facts.pointer(&self.0).filter(is_there)
    }
}

/// The value that a fact must have.
#[derive(Debug, Clone, PartialEq)]
pub enum Requirement {
    Equals(Value),
    /// A version as text, or a whole number, that is at least this one.
    AtLeast(Version),
    OneOf(Vec<Value>),
}

impl Requirement {
    fn is_met_by(&self, fact: &Value) -> bool {
        match self {
            Self::Equals(value) => json::same(value, fact),
            Self::OneOf(values) => values.iter().any(|value| json::same(value, fact)),
            Self::AtLeast(least) => {
                // A number with a fraction is no version: 15.10 and 15.1 are the same number.
                let whole = || json::whole(fact).map(|number| number.to_string());
                let text = fact.as_str().map(str::to_owned).or_else(whole);
                let version = text.and_then(|text| text.parse::<Version>().ok());
                version.is_some_and(|version| *least <= version)
            }
        }
    }
}

/// The judgement of a fact that is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Missing {
    /// The rule fails, so that no agent passes by saying nothing.
    #[default]
    Fail,
    Pass,
}

/// One rule.
#[derive(Debug, Clone, PartialEq)]
pub struct PostureRule {
    pub name: PostureRuleName,
    pub fact: FactPointer,
    pub requirement: Requirement,
    pub missing: Missing,
    /// The platforms that the rule is for. An empty list stands for all.
    pub platforms: Vec<String>,
    /// How long a device may fail the rule before it is not compliant.
    pub grace: Duration,
}

impl PostureRule {
    /// Tells whether the rule is for devices of this platform. A device of an unknown platform has to meet
    /// all rules, so that it does not pass by hiding its platform.
    fn is_for(&self, platform: Option<&str>) -> bool {
        let is_listed = |platform: &str| self.platforms.iter().any(|one| one == platform);
        self.platforms.is_empty() || platform.is_none_or(is_listed)
    }

    fn is_met_by(&self, facts: &Value) -> bool {
        match self.fact.find(facts) {
            Some(fact) => self.requirement.is_met_by(fact),
            None => self.missing == Missing::Pass,
        }
    }
}

/// A rule that a device fails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    pub rule: PostureRuleName,
    pub grace: Duration,
}

/// The rules of one table of agents.
#[derive(Debug, Clone, PartialEq)]
pub struct PostureRules {
    pub rules: Vec<PostureRule>,
    /// Where the facts name the platform, for devices that were registered without one.
    pub platform: FactPointer,
}

impl PostureRules {
    /// Returns the rules that these facts fail, in the order of the configuration. `registered` is the
    /// platform that the device was registered with; an agent cannot choose another one.
    pub fn judge(&self, facts: &Value, registered: Option<&str>) -> Vec<Failure> {
        let said = || self.platform.find(facts).and_then(Value::as_str);
        let platform = registered.or_else(said);
        let failed =
            self.rules.iter().filter(|rule| rule.is_for(platform) && !rule.is_met_by(facts));
        failed.map(|rule| Failure { rule: rule.name.clone(), grace: rule.grace }).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn rule(name: &str, fact: &str, requirement: Requirement) -> PostureRule {
        PostureRule {
            name: name.parse().expect("a name"),
            fact: fact.parse().expect("a pointer"),
            requirement,
            missing: Missing::Fail,
            platforms: Vec::new(),
            grace: Duration::ZERO,
        }
    }

    fn at_least(version: &str) -> Requirement {
        Requirement::AtLeast(version.parse().expect("a version"))
    }

    #[track_caller]
    fn check(requirement: &Requirement, fact: Value, expected: bool) {
        assert_eq!(requirement.is_met_by(&fact), expected, "{requirement:?}: {fact}");
    }

    #[test]
    fn a_fact_meets_its_requirement_by_value() {
        let equals = Requirement::Equals(json!(true));
        check(&equals, json!(true), true);
        for fact in [json!(false), json!("true"), json!(1)] {
            check(&equals, fact, false);
        }
        check(&Requirement::Equals(json!(2)), json!(2.0), true);
        let one_of = Requirement::OneOf(vec![json!("on"), json!(1)]);
        check(&one_of, json!("on"), true);
        check(&one_of, json!(1), true);
        check(&one_of, json!("ON"), false);
        check(&Requirement::OneOf(Vec::new()), json!("on"), false);
    }

    #[test]
    fn a_version_is_compared_as_a_version() {
        let least = at_least("15.4");
        for fact in [json!("15.4"), json!("15.4.0"), json!("15.10"), json!(16), json!(16.0)] {
            check(&least, fact, true);
        }
        for fact in
            [json!("15.3.9"), json!(15), json!(15.5), json!("new"), json!(true), json!(["16"])]
        {
            check(&least, fact, false);
        }
    }

    #[test]
    fn a_pointer_is_one_of_rfc_6901() {
        let facts = json!({"a/b": {"c~d": [null, "x", ""]}});
        let find = |pointer: &str| {
            let pointer: FactPointer = pointer.parse().expect("a pointer");
            pointer.find(&facts).cloned()
        };
        assert_eq!(find("/a~1b/c~0d/1"), Some(json!("x")));
        for missing in ["/a~1b/c~0d/0", "/a~1b/c~0d/2", "/a~1b/c~0d/7", "/nothing"] {
            assert_eq!(find(missing), None, "{missing}");
        }
        let long = format!("/{}", "x".repeat(POINTER_BYTES_MAX));
        for text in ["", "os", "$.os", "/a~2", "/a~", &long] {
            assert!(text.parse::<FactPointer>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_platform_chooses_the_rules_and_an_unknown_one_gets_all() {
        let of = |platforms: &[&str], mut rule: PostureRule| {
            rule.platforms = platforms.iter().map(|&name| name.to_owned()).collect();
            rule
        };
        let rules = PostureRules {
            rules: vec![
                rule("disk", "/disk/encrypted", Requirement::Equals(json!(true))),
                of(&["macos"], rule("mac", "/os/version", at_least("15"))),
                of(&["windows", "linux"], rule("other", "/os/version", at_least("10"))),
            ],
            platform: "/os/platform".parse().expect("a pointer"),
        };
        let failed = |facts: &Value, registered| {
            let failed = rules.judge(facts, registered).into_iter();
            failed.map(|failure| failure.rule.to_string()).collect::<Vec<_>>()
        };
        let facts =
            json!({"os": {"platform": "macos", "version": "14"}, "disk": {"encrypted": true}});
        assert_eq!(failed(&facts, None), ["mac"]);
        assert_eq!(failed(&facts, Some("macos")), ["mac"]);
        assert!(failed(&facts, Some("windows")).is_empty(), "the registered platform counts");
        assert!(failed(&facts, Some("plan9")).is_empty());
        assert_eq!(failed(&json!({}), None), ["disk", "mac", "other"]);
        assert_eq!(failed(&json!({"os": "?"}), Some("linux")), ["disk", "other"]);
    }

    #[test]
    fn a_missing_fact_fails_unless_the_rule_lets_it_pass() {
        let mut rule = rule("disk", "/disk", Requirement::Equals(json!(true)));
        for facts in [json!({}), json!({"disk": null}), json!({"disk": ""}), json!(7), json!([])] {
            rule.missing = Missing::Fail;
            assert!(!rule.is_met_by(&facts), "{facts}");
            rule.missing = Missing::Pass;
            assert!(rule.is_met_by(&facts), "{facts}");
        }
        assert!(!rule.is_met_by(&json!({"disk": false})));
    }

    proptest! {
        /// Facts that no rule looks at change nothing.
        #[test]
        fn other_facts_do_not_count(name in "[a-z]{1,8}", value: u32, encrypted: bool) {
            prop_assume!(name != "disk");
            let rules = PostureRules {
                rules: vec![rule("disk", "/disk", Requirement::Equals(json!(true)))],
                platform: "/platform".parse().expect("a pointer"),
            };
            let plain = json!({"disk": encrypted});
            let mut more = plain.clone();
            more[&name] = value.into();
            prop_assert_eq!(rules.judge(&plain, None), rules.judge(&more, None));
        }
    }
}
