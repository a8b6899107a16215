//! The `[cluster]` settings.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How the nodes of one Redis store divide the work. With SQLite there is a single node, and none
/// of these settings has an effect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClusterSettings {
    /// The name of the node in logs and in the store, which is followed there by a random part. The
    /// default is the host name.
    pub node_name: Option<String>,
    /// The interval between two heartbeats of a node.
    #[serde(with = "humantime_serde")]
    pub heartbeat: Duration,
    /// How long after its last heartbeat the other nodes take over a node's slots and partitions.
    #[serde(with = "humantime_serde")]
    pub lease_ttl: Duration,
    /// How often a node compares its streams with the store, to find changes of a node that crashed
    /// before it could notify the others.
    #[serde(with = "humantime_serde")]
    pub compare_interval: Duration,
    /// About how many entries the change feed keeps. A node that has missed more than these
    /// compares all streams with the store.
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
    /// Returns the first key that breaks a rule, and the rule.
    pub fn validate(&self) -> Result<(), (&'static str, &'static str)> {
        let check = |valid: bool, key, rule| if valid { Ok(()) } else { Err((key, rule)) };
        let heartbeats_fit = !self.heartbeat.is_zero() && self.heartbeat * 3 <= self.lease_ttl;
        check(
            heartbeats_fit,
            "heartbeat",
            "must be longer than 0 and at most a third of `cluster.lease_ttl`",
        )?;
        check(!self.compare_interval.is_zero(), "compare_interval", "must be longer than 0")?;
        check(0 < self.feed_max, "feed_max", "must be at least 1")?;
        let name = self.node_name.as_deref().unwrap_or("x");
        let plain = !name.is_empty()
            && name.len() <= 64
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b));
        check(plain, "node_name", "must have 1 to 64 of the characters A-Z a-z 0-9 - . _")
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
    fn a_lease_must_outlast_two_lost_heartbeats() {
        let default = ClusterSettings::default;
        assert_eq!(default().validate(), Ok(()));
        check(ClusterSettings { lease_ttl: Duration::from_millis(2999), ..default() }, "heartbeat");
        check(ClusterSettings { heartbeat: Duration::ZERO, ..default() }, "heartbeat");
        check(ClusterSettings { node_name: Some("a b".into()), ..default() }, "node_name");
        check(ClusterSettings { feed_max: 0, ..default() }, "feed_max");
    }
}
