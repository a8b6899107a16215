//! How many shares each node is to hold.

use std::collections::BTreeMap;

use super::membership::{NodeId, Stage};

/// How many of `total` shares this node holds once all are given out: as many as any other node that
/// serves, give or take one. Whoever holds more gives back, whoever holds fewer takes what is free,
/// so that no more moves than has to.
pub(super) fn quota(total: usize, nodes: &BTreeMap<NodeId, Stage>, me: &NodeId) -> usize {
    let mut serving = nodes.iter().filter(|(_, stage)| **stage == Stage::Serving);
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

    fn nodes(serving: usize, leaving: usize) -> BTreeMap<NodeId, Stage> {
        let stage = |n| if n < serving { Stage::Serving } else { Stage::Leaving };
        (0..serving + leaving).map(|n| (NodeId(format!("n{n}")), stage(n))).collect()
    }

    proptest! {
        #[test]
        fn all_is_given_out_and_nobody_has_two_more_than_another(
            total in 0..300_usize, serving in 1..40_usize, leaving in 0..3_usize,
        ) {
            let nodes = nodes(serving, leaving);
            let quotas: Vec<_> = nodes.keys().map(|me| quota(total, &nodes, me)).collect();
            prop_assert_eq!(quotas.iter().sum::<usize>(), total);
            let of_serving = nodes.iter().zip(&quotas).filter(|((_, stage), _)| **stage == Stage::Serving);
            let of_serving: Vec<_> = of_serving.map(|(_, quota)| *quota).collect();
            let (least, most) = (of_serving.iter().min(), of_serving.iter().max());
            prop_assert!(most.unwrap_or(&0) - least.unwrap_or(&0) <= 1);
        }
    }

    #[test]
    fn who_leaves_or_is_unknown_gets_nothing() {
        assert_eq!(quota(256, &nodes(2, 1), &NodeId("n2".into())), 0);
        assert_eq!(quota(256, &nodes(2, 1), &NodeId("n9".into())), 0);
        assert_eq!(quota(256, &nodes(0, 1), &NodeId("n0".into())), 0);
    }
}
