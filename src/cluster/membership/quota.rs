//! The quota: how many shares each node should hold.

use std::collections::BTreeMap;

use super::{NodeId, NodeStage};

/// Returns how many of `total` shares the node `me` should hold: as many as each other serving
/// node, give or take one. A node above its quota returns shares and a node below it takes free
/// ones, so that no more shares move than necessary.
pub(super) fn quota(total: usize, nodes: &BTreeMap<NodeId, NodeStage>, me: &NodeId) -> usize {
    let mut serving = nodes.iter().filter(|(_, stage)| **stage == NodeStage::Serving);
    let count = serving.clone().count();
    match serving.position(|(node, _)| node == me) {
        Some(rank) => total / count + usize::from(rank < total % count),
        None => 0,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn nodes(serving: usize, draining: usize) -> BTreeMap<NodeId, NodeStage> {
        let stage = |n| if n < serving { NodeStage::Serving } else { NodeStage::Draining };
        (0..serving + draining).map(|n| (NodeId(format!("n{n}")), stage(n))).collect()
    }

    proptest! {
        #[test]
        fn all_shares_are_assigned_and_quotas_differ_by_one_at_most(
            total in 0..300_usize, serving in 1..40_usize, draining in 0..3_usize,
        ) {
            let nodes = nodes(serving, draining);
            let quotas: Vec<_> = nodes.keys().map(|me| quota(total, &nodes, me)).collect();
            prop_assert_eq!(quotas.iter().sum::<usize>(), total);
            let of_serving = nodes.iter().zip(&quotas).filter(|((_, stage), _)| **stage == NodeStage::Serving);
            let of_serving: Vec<_> = of_serving.map(|(_, quota)| *quota).collect();
            let (least, most) = (of_serving.iter().min(), of_serving.iter().max());
            prop_assert!(most.unwrap_or(&0) - least.unwrap_or(&0) <= 1);
        }
    }

    #[test]
    fn a_draining_or_unknown_node_has_a_quota_of_zero() {
        assert_eq!(quota(256, &nodes(2, 1), &NodeId("n2".into())), 0);
        assert_eq!(quota(256, &nodes(2, 1), &NodeId("n9".into())), 0);
        assert_eq!(quota(256, &nodes(0, 1), &NodeId("n0".into())), 0);
    }
}
