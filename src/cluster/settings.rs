//! What an operator may set about several nodes.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How nodes that share a store live together. A store in a file has one node, and none of this
/// counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClusterSettings {
    /// What the node is called in logs and in the store, with something drawn behind it; the name of
    /// the host unless given.
    pub node_name: Option<String>,
    /// How often a node says that it lives.
    #[serde(with = "humantime_serde")]
    pub heartbeat: Duration,
    /// How long after it last did others take over what it had.
    #[serde(with = "humantime_serde")]
    pub lease_ttl: Duration,
    /// How often it is looked for changes of streams that nobody told of, as when a node died between
    /// the two.
    #[serde(with = "humantime_serde")]
    pub compare_interval: Duration,
    /// How much of what nodes tell each other is kept, in entries, about. A node that missed more
    /// compares everything.
    pub feed_max: usize,
}

impl Default for ClusterSettings {
    fn default() -> Self {
        Self {
            node_name: None,
            heartbeat: Duration::from_secs(1),
            lease_ttl: Duration::from_secs(5),
            compare_interval: Duration::from_mins(1),
            feed_max: 10_000,
        }
    }
}

impl ClusterSettings {
    /// The key that is not as it must be, and what is wrong with it.
    pub fn validate(&self) -> Result<(), (&'static str, &'static str)> {
        let check = |valid: bool, key, rule| if valid { Ok(()) } else { Err((key, rule)) };
        let beats = !self.heartbeat.is_zero() && self.heartbeat * 3 <= self.lease_ttl;
        check(beats, "heartbeat", "must be longer than 0, and three of it within `lease_ttl`")?;
        check(!self.compare_interval.is_zero(), "compare_interval", "must be longer than 0")?;
        check(0 < self.feed_max, "feed_max", "must be at least 1")?;
        let name = self.node_name.as_deref().unwrap_or("x");
        let plain = !name.is_empty()
            && name.len() <= 64
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b));
        check(plain, "node_name", "must be 1 to 64 characters out of A-Z a-z 0-9 - . _")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(settings: ClusterSettings, wrong: &str) {
        assert_eq!(settings.validate().map_err(|(key, _)| key), Err(wrong));
    }

    #[test]
    fn a_lease_outlasts_two_lost_heartbeats() {
        let default = ClusterSettings::default;
        assert_eq!(default().validate(), Ok(()));
        check(ClusterSettings { lease_ttl: Duration::from_millis(2999), ..default() }, "heartbeat");
        check(ClusterSettings { heartbeat: Duration::ZERO, ..default() }, "heartbeat");
        check(ClusterSettings { node_name: Some("a b".into()), ..default() }, "node_name");
        check(ClusterSettings { feed_max: 0, ..default() }, "feed_max");
    }
}
