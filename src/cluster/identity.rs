//! What this node is called among the others.

use super::membership::NodeId;
use crate::clock;

/// Where the system keeps the name of the host.
const HOST_NAME: &str = "/proc/sys/kernel/hostname";

/// The name that stays; each of its [`NodeId`]s has something drawn behind it.
#[derive(Debug)]
pub(super) struct Identity(String);

impl Identity {
    /// The name of the host unless another is given.
    pub(super) fn new(name: Option<&str>) -> Self {
        let host = || std::fs::read_to_string(HOST_NAME).unwrap_or_default();
        let name = name.map_or_else(host, str::to_owned);
        let plain = |c: &char| c.is_ascii_alphanumeric() || "-._".contains(*c);
        let name: String = name.trim().chars().filter(plain).take(64).collect();
        Self(if name.is_empty() { "node".to_owned() } else { name })
    }

    /// One that nobody has had.
    pub(super) fn draw(&self) -> NodeId {
        NodeId(format!("{}~{}", self.0, clock::random_uuid().simple()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_known_by_its_name_and_never_twice_by_the_same() {
        let identity = Identity::new(Some("tx 1\n"));
        let (one, other) = (identity.draw(), identity.draw());
        assert!(one.to_string().starts_with("tx1~") && one != other, "{one} {other}");
        assert!(Identity::new(Some("")).draw().to_string().starts_with("node~"));
        assert!(!Identity::new(None).0.is_empty());
    }
}
