//! The name of this node among the others.

use crate::{clock, cluster::membership::NodeId};

/// The file from which Linux tells the name of the host.
const HOST_NAME: &str = "/proc/sys/kernel/hostname";

/// The constant part of this node's name. Each of its [`NodeId`]s adds a random part.
#[derive(Debug)]
pub(super) struct NodeName(String);

impl NodeName {
    /// Uses the name of the host unless `name` gives another.
    pub(super) fn new(name: Option<&str>) -> Self {
        let host = || std::fs::read_to_string(HOST_NAME).unwrap_or_default();
        let name = name.map_or_else(host, str::to_owned);
        let plain = |c: &char| c.is_ascii_alphanumeric() || "-._".contains(*c);
        let name: String = name.trim().chars().filter(plain).take(64).collect();
        Self(if name.is_empty() { "node".to_owned() } else { name })
    }

    /// Returns an id that no node has had before.
    pub(super) fn new_id(&self) -> NodeId {
        NodeId(format!("{}~{}", self.0, clock::random_uuid().simple()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_id_begins_with_the_name_of_the_node_and_is_unique() {
        let name = NodeName::new(Some("tx 1\n"));
        let (one, other) = (name.new_id(), name.new_id());
        assert!(one.to_string().starts_with("tx1~") && one != other, "{one} {other}");
        assert!(NodeName::new(Some("")).new_id().to_string().starts_with("node~"));
        assert!(!NodeName::new(None).0.is_empty());
    }
}
