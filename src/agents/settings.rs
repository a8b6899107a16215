//! The settings of one table of agents.
//!
//! [`AgentsSettings`] is the table as it is written. [`AgentsSettings::read`] checks it and returns an
//! [`AgentsConfig`], or the key that is wrong and the remedy.

use std::{collections::BTreeSet, path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    domain::{
        id::PostureRuleName,
        posture::{
            CHECK_IN, FactPointer, InvalidVersion, LossPolicy, Missing, PostureRule, PostureRules,
            Requirement,
        },
    },
    source::verify::secrets::SECRETS_MAX,
};

/// The most rules of one table.
pub const RULES_MAX: usize = 256;
/// The longest time that a challenge may be valid for.
const CHALLENGE_LIFETIME_MAX: Duration = Duration::from_hours(1);
/// The shortest interval of check-ins, and the longest.
const INTERVAL_MIN: Duration = Duration::from_secs(1);
const INTERVAL_MAX: Duration = Duration::from_hours(31 * 24);
/// The most intervals that a device may be silent for.
const LOST_AFTER_MAX: u32 = 1000;
/// The largest difference of clocks that may be allowed.
const CLOCK_SKEW_MAX: Duration = Duration::from_hours(24);
/// The largest facts that may be allowed, in bytes.
pub const FACTS_BYTES_MAX: usize = 4 << 20;
/// The most challenges whose use may be remembered. They are a part of the device's record.
const CHALLENGES_MAX: usize = 64;
/// The longest name of a platform, in bytes, and the longest audience.
const PLATFORM_BYTES_MAX: usize = 64;
const AUDIENCE_BYTES_MAX: usize = 512;

/// The treatment of a device that nobody has registered and that knows the enrolment secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UnknownDevices {
    /// The device is refused.
    #[default]
    Drop,
    /// The device is registered and judged, but nothing is told of it until an operator approves it.
    Quarantine,
    /// The device is registered.
    Accept,
}

/// The table of agents, as it is written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AgentsSettings {
    /// The `aud` that every answer must have. `None` stands for the issuer of the provider, `/agents/` and
    /// the name of the table.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audience: Option<String>,
    /// How long a challenge can be answered.
    #[serde(with = "humantime_serde")]
    pub challenge_lifetime: Duration,
    /// The most challenges that one device may use up within the lifetime of one.
    pub challenges_max: usize,
    /// How often devices check in.
    #[serde(with = "humantime_serde")]
    pub interval: Duration,
    /// After how many intervals without a check-in a device is lost.
    pub lost_after: u32,
    /// The percentage of the devices that may be lost within `losses_within`.
    pub losses_percent_max: u32,
    #[serde(with = "humantime_serde")]
    pub losses_within: Duration,
    pub unknown_devices: UnknownDevices,
    /// The secrets by which a device may register itself.
    pub enrolment_secret_files: Vec<PathBuf>,
    /// The most devices that may register themselves in a minute.
    pub enrolments_per_minute_max: u32,
    /// Whether a device that becomes not compliant ends its sessions as well.
    pub session_revoked: bool,
    /// The largest facts of one check-in, in bytes.
    pub facts_bytes_max: usize,
    /// Where the facts name the platform of a device that was registered without one.
    pub platform: String,
    /// How far the clock of a device may be off.
    #[serde(with = "humantime_serde")]
    pub clock_skew_max: Duration,
    /// After how many answers without a good signature from one address the device is locked for that
    /// address.
    pub failures_max: u32,
    #[serde(with = "humantime_serde")]
    pub lock_for: Duration,
    pub rules: Vec<RuleSettings>,
}

impl Default for AgentsSettings {
    fn default() -> Self {
        Self {
            audience: None,
            challenge_lifetime: Duration::from_mins(5),
            challenges_max: 8,
            interval: Duration::from_mins(15),
            lost_after: 8,
            losses_percent_max: 20,
            losses_within: Duration::from_hours(1),
            unknown_devices: UnknownDevices::Drop,
            enrolment_secret_files: Vec::new(),
            enrolments_per_minute_max: 60,
            session_revoked: false,
            facts_bytes_max: 64 << 10,
            platform: "/os/platform".to_owned(),
            clock_skew_max: Duration::from_mins(5),
            failures_max: 10,
            lock_for: Duration::from_mins(15),
            rules: Vec::new(),
        }
    }
}

/// One rule, as it is written. Exactly one of `equals`, `at_least` and `one_of` is set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleSettings {
    pub name: PostureRuleName,
    /// The place of the fact, as a JSON Pointer.
    pub fact: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub equals: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_least: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub one_of: Option<Vec<Value>>,
    #[serde(default)]
    pub missing: MissingFact,
    /// The platforms that the rule is for. An empty list stands for all.
    #[serde(default)]
    pub platforms: Vec<String>,
    /// How long a device may fail the rule before it is not compliant.
    #[serde(default, with = "humantime_serde")]
    pub grace: Duration,
}

/// The judgement of a fact that is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MissingFact {
    #[default]
    Fail,
    Pass,
}

/// A table of agents, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct AgentsConfig {
    pub audience: String,
    pub challenge_lifetime: Duration,
    pub challenges_max: usize,
    pub losses: LossPolicy,
    pub unknown_devices: UnknownDevices,
    pub enrolment_secret_files: Vec<PathBuf>,
    pub enrolments_per_minute_max: u32,
    pub session_revoked: bool,
    pub facts_bytes_max: usize,
    pub clock_skew_max: Duration,
    pub failures_max: u32,
    pub lock_for: Duration,
    pub rules: PostureRules,
}

/// A mistake in a table of agents. The key is relative to the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentsMistake {
    pub key: String,
    pub rule: String,
}

fn mistake<T>(key: impl Into<String>, rule: impl Into<String>) -> Result<T, AgentsMistake> {
    Err(AgentsMistake { key: key.into(), rule: rule.into() })
}

impl AgentsSettings {
    /// Checks the table. `audience` is the audience unless the table names another.
    pub fn read(&self, audience: String) -> Result<AgentsConfig, AgentsMistake> {
        self.check_spans()?;
        self.check_numbers()?;
        self.check_enrolment()?;
        let audience = self.audience.clone().unwrap_or(audience);
        if audience.is_empty() || AUDIENCE_BYTES_MAX < audience.len() {
            let rule = format!("must have 1 to {AUDIENCE_BYTES_MAX} bytes");
            return mistake("audience", rule);
        }
        Ok(AgentsConfig {
            audience,
            challenge_lifetime: self.challenge_lifetime,
            challenges_max: self.challenges_max,
            losses: LossPolicy {
                interval: self.interval,
                lost_after: self.lost_after,
                percent_max: self.losses_percent_max,
                within: self.losses_within,
            },
            unknown_devices: self.unknown_devices,
            enrolment_secret_files: self.enrolment_secret_files.clone(),
            enrolments_per_minute_max: self.enrolments_per_minute_max,
            session_revoked: self.session_revoked,
            facts_bytes_max: self.facts_bytes_max,
            clock_skew_max: self.clock_skew_max,
            failures_max: self.failures_max,
            lock_for: self.lock_for,
            rules: self.posture_rules()?,
        })
    }

    fn check_spans(&self) -> Result<(), AgentsMistake> {
        // The claims of a challenge have whole seconds.
        let lifetime = self.challenge_lifetime;
        if lifetime < Duration::from_secs(1) || CHALLENGE_LIFETIME_MAX < lifetime {
            return mistake("challenge_lifetime", "must be at least 1s and at most 1h");
        }
        if lifetime.subsec_nanos() != 0 {
            return mistake("challenge_lifetime", "must be a whole number of seconds");
        }
        if self.interval < INTERVAL_MIN || INTERVAL_MAX < self.interval {
            return mistake("interval", "must be at least 1s and at most 31days");
        }
        if CLOCK_SKEW_MAX < self.clock_skew_max {
            return mistake("clock_skew_max", "must be at most 24h");
        }
        for (key, span) in [("losses_within", self.losses_within), ("lock_for", self.lock_for)] {
            if span.is_zero() || INTERVAL_MAX < span {
                return mistake(key, "must be longer than 0 and at most 31days");
            }
        }
        Ok(())
    }

    fn check_numbers(&self) -> Result<(), AgentsMistake> {
        if !(1..=CHALLENGES_MAX).contains(&self.challenges_max) {
            return mistake("challenges_max", format!("must be from 1 to {CHALLENGES_MAX}"));
        }
        // A device that checks in a little late once is not lost.
        if !(2..=LOST_AFTER_MAX).contains(&self.lost_after) {
            return mistake("lost_after", format!("must be from 2 to {LOST_AFTER_MAX} intervals"));
        }
        if !(0..=100).contains(&self.losses_percent_max) {
            return mistake("losses_percent_max", "must be a percentage from 0 to 100");
        }
        if !(1..=FACTS_BYTES_MAX).contains(&self.facts_bytes_max) {
            return mistake("facts_bytes_max", format!("must be from 1 to {FACTS_BYTES_MAX}"));
        }
        for (key, number) in [
            ("failures_max", self.failures_max),
            ("enrolments_per_minute_max", self.enrolments_per_minute_max),
        ] {
            if number == 0 {
                return mistake(key, "must be at least 1");
            }
        }
        Ok(())
    }

    fn check_enrolment(&self) -> Result<(), AgentsMistake> {
        let files = self.enrolment_secret_files.len();
        if SECRETS_MAX < files {
            let rule = format!("must name at most {SECRETS_MAX} files");
            return mistake("enrolment_secret_files", rule);
        }
        match (self.unknown_devices, files) {
            (UnknownDevices::Drop, 0) => Ok(()),
            (UnknownDevices::Drop, _) => {
                let rule = "has no effect with `unknown_devices = \"drop\"`; remove it, or set \
                            `unknown_devices` to \"quarantine\" or \"accept\"";
                mistake("enrolment_secret_files", rule)
            }
            (UnknownDevices::Quarantine | UnknownDevices::Accept, 0) => {
                let rule = "must name a file with a secret that devices enrol with, because anybody could \
                            register devices otherwise; or set `unknown_devices = \"drop\"`";
                mistake("enrolment_secret_files", rule)
            }
            (UnknownDevices::Quarantine | UnknownDevices::Accept, _) => Ok(()),
        }
    }

    fn posture_rules(&self) -> Result<PostureRules, AgentsMistake> {
        let platform = self.platform.parse::<FactPointer>();
        let platform = platform.or_else(|error| mistake("platform", error.to_string()))?;
        if self.rules.is_empty() {
            let rule =
                "must have at least one rule, because a device without rules is always compliant";
            return mistake("rules", rule);
        }
        if RULES_MAX < self.rules.len() {
            return mistake("rules", format!("must have at most {RULES_MAX} rules"));
        }
        let mut names = BTreeSet::new();
        let mut rules = Vec::with_capacity(self.rules.len());
        for rule in &self.rules {
            if !names.insert(&rule.name) {
                return mistake(rule.key(""), "has the name of another rule; choose another name");
            }
            rules.push(rule.read()?);
        }
        Ok(PostureRules { rules, platform })
    }
}

impl RuleSettings {
    fn key(&self, member: &str) -> String {
        let key = format!("rules.{}", self.name);
        if member.is_empty() { key } else { format!("{key}.{member}") }
    }

    fn read(&self) -> Result<PostureRule, AgentsMistake> {
        if self.name.as_str() == CHECK_IN {
            let rule = "has a name that stands for the check-in itself; choose another name";
            return mistake(self.key(""), rule);
        }
        let fact = self.fact.parse::<FactPointer>();
        let fact = fact.or_else(|error| mistake(self.key("fact"), error.to_string()))?;
        for platform in &self.platforms {
            if platform.is_empty() || PLATFORM_BYTES_MAX < platform.len() {
                let rule = format!("must have names of 1 to {PLATFORM_BYTES_MAX} bytes");
                return mistake(self.key("platforms"), rule);
            }
        }
        Ok(PostureRule {
            name: self.name.clone(),
            fact,
            requirement: self.requirement()?,
            missing: match self.missing {
                MissingFact::Fail => Missing::Fail,
                MissingFact::Pass => Missing::Pass,
            },
            platforms: self.platforms.clone(),
            grace: self.grace,
        })
    }

    fn requirement(&self) -> Result<Requirement, AgentsMistake> {
        match (&self.equals, &self.at_least, &self.one_of) {
            (Some(value), None, None) => match value {
                Value::Array(_) | Value::Object(_) | Value::Null => {
                    mistake(self.key("equals"), "must be a text, a number, true or false")
                }
                value => Ok(Requirement::Equals(value.clone())),
            },
            (None, Some(version), None) => match version.parse() {
                Ok(version) => Ok(Requirement::AtLeast(version)),
                Err(error @ InvalidVersion) => mistake(self.key("at_least"), error.to_string()),
            },
            (None, None, Some(values)) if values.is_empty() => {
                mistake(self.key("one_of"), "must list at least one value")
            }
            (None, None, Some(values)) => Ok(Requirement::OneOf(values.clone())),
            _ => {
                let rule = "must have exactly one of `equals`, `at_least` and `one_of`";
                mistake(self.key(""), rule)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn table(more: Value) -> Value {
        let mut table = json!({
            "rules": [{"name": "disk", "fact": "/disk/encrypted", "equals": true}],
        });
        for (name, value) in more.as_object().expect("members") {
            table[name] = value.clone();
        }
        table
    }

    fn read(more: Value) -> Result<AgentsConfig, AgentsMistake> {
        let settings: AgentsSettings = serde_json::from_value(table(more)).expect("a table");
        settings.read("https://tx.example/agents/laptops".to_owned())
    }

    #[track_caller]
    fn refuses(more: Value, key: &str, rule: &str) {
        let found = read(more.clone()).expect_err("refused");
        assert_eq!(found.key, key, "{more}");
        assert!(found.rule.contains(rule), "{more}: {}", found.rule);
    }

    #[test]
    fn a_table_with_a_rule_is_enough() {
        let config = read(json!({})).expect("valid");
        assert_eq!(config.audience, "https://tx.example/agents/laptops");
        assert_eq!(config.rules.rules.len(), 1);
        assert_eq!(config.challenge_lifetime, Duration::from_mins(5));
        assert_eq!(read(json!({"audience": "x"})).expect("valid").audience, "x");
    }

    #[test]
    fn a_mistake_is_named_by_its_key_with_the_rule() {
        for (more, key, rule) in [
            (json!({"audience": ""}), "audience", "1 to 512 bytes"),
            (json!({"challenge_lifetime": "2h"}), "challenge_lifetime", "at most 1h"),
            (json!({"challenge_lifetime": "0s"}), "challenge_lifetime", "at least 1s"),
            (json!({"challenge_lifetime": "1500ms"}), "challenge_lifetime", "whole number"),
            (json!({"challenges_max": 0}), "challenges_max", "from 1 to 64"),
            (json!({"interval": "500ms"}), "interval", "at least 1s"),
            (json!({"interval": "60days"}), "interval", "at most 31days"),
            (json!({"lost_after": 1}), "lost_after", "from 2"),
            (json!({"losses_percent_max": 101}), "losses_percent_max", "from 0 to 100"),
            (json!({"losses_within": "0s"}), "losses_within", "longer than 0"),
            (json!({"clock_skew_max": "2days"}), "clock_skew_max", "at most 24h"),
            (json!({"facts_bytes_max": 0}), "facts_bytes_max", "from 1"),
            (json!({"failures_max": 0}), "failures_max", "at least 1"),
            (json!({"lock_for": "0s"}), "lock_for", "longer than 0"),
            (json!({"enrolments_per_minute_max": 0}), "enrolments_per_minute_max", "at least 1"),
            (json!({"platform": "os"}), "platform", "JSON Pointer"),
            (json!({"unknown_devices": "accept"}), "enrolment_secret_files", "anybody could"),
            (json!({"unknown_devices": "quarantine"}), "enrolment_secret_files", "anybody could"),
            (json!({"enrolment_secret_files": ["/x"]}), "enrolment_secret_files", "no effect"),
            (
                json!({"enrolment_secret_files": vec!["/x"; 9]}),
                "enrolment_secret_files",
                "at most 8",
            ),
            (json!({"rules": []}), "rules", "at least one rule"),
        ] {
            refuses(more, key, rule);
        }
        let quarantine = json!({"unknown_devices": "quarantine", "enrolment_secret_files": ["/x"]});
        assert!(read(quarantine).is_ok());
    }

    #[test]
    fn a_mistake_in_a_rule_is_named_by_the_rule() {
        let os = |more: Value| {
            let mut rule = json!({"name": "os", "fact": "/os/version"});
            for (name, value) in more.as_object().expect("members") {
                rule[name] = value.clone();
            }
            json!({"rules": [rule]})
        };
        for (more, key, rule) in [
            (os(json!({})), "rules.os", "exactly one of"),
            (os(json!({"equals": 1, "at_least": "1"})), "rules.os", "exactly one of"),
            (os(json!({"at_least": "new"})), "rules.os.at_least", "begin with a number"),
            (os(json!({"one_of": []})), "rules.os.one_of", "at least one value"),
            (os(json!({"equals": [1]})), "rules.os.equals", "a text, a number"),
            (os(json!({"equals": 1, "fact": "os"})), "rules.os.fact", "JSON Pointer"),
            (os(json!({"equals": 1, "platforms": [""]})), "rules.os.platforms", "1 to 64 bytes"),
            (os(json!({"equals": 1, "name": "check-in"})), "rules.check-in", "another name"),
        ] {
            refuses(more, key, rule);
        }
        let twice = json!({"name": "a", "fact": "/a", "equals": 1});
        refuses(json!({"rules": [twice, twice]}), "rules.a", "the name of another rule");
        let many: Vec<_> = (0..=RULES_MAX)
            .map(|n| json!({"name": format!("r{n}"), "fact": "/a", "equals": 1}))
            .collect();
        refuses(json!({"rules": many}), "rules", "at most 256");
    }

    #[test]
    fn an_unknown_key_is_an_error() {
        let unknown = |more: Value| serde_json::from_value::<AgentsSettings>(table(more));
        assert!(unknown(json!({"intervall": "1m"})).is_err());
        let rule = json!({"name": "a", "fact": "/a", "equals": 1, "graze": "1h"});
        assert!(unknown(json!({"rules": [rule]})).is_err());
    }
}
