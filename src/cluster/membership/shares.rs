//! The shares of one kind, slots or partitions, that this node holds.

use std::collections::{BTreeMap, BTreeSet};

/// The fencing epoch of a share. Each change of owner raises it.
pub(in crate::cluster) type Epoch = u64;

/// The shares that this node holds, each with its epoch and state. The store's reply to a heartbeat
/// is the truth about what is held; [`Shares::reconcile`] follows it.
#[derive(Debug)]
pub(super) struct Shares<S> {
    all: BTreeSet<S>,
    held: BTreeMap<S, Held>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Held {
    epoch: Epoch,
    state: ShareState,
}

/// The states of a share, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ShareState {
    /// This node owns the share, but its epoch is not yet raised where results are written.
    Granted,
    Serving,
    /// Work in progress ends, and no new work begins.
    Draining,
    /// To be returned with the next heartbeat. The next owner's epoch is above `highest_epoch`.
    Released {
        highest_epoch: Epoch,
    },
}

/// The part of a heartbeat about the shares of one kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cluster) struct ShareRequest<S> {
    pub(in crate::cluster) quota: usize,
    /// The shares to take if they are free, up to the quota. Empty if the quota is reached.
    pub(in crate::cluster) wanted: Vec<S>,
    pub(in crate::cluster) returned: Vec<ReturnedShare<S>>,
}

/// A share that a node returns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cluster) struct ReturnedShare<S> {
    pub(in crate::cluster) share: S,
    /// The epoch in which this node held the share.
    pub(in crate::cluster) epoch: Epoch,
    /// The highest epoch that the share is known to have had. The next owner gets a higher one.
    pub(in crate::cluster) highest_epoch: Epoch,
}

/// The difference between two replies of the store.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ShareChanges<S> {
    pub(super) granted: Vec<(S, Epoch)>,
    pub(super) lost: Vec<S>,
}

impl<S: Ord + Clone> Shares<S> {
    /// `all` lists the shares that the nodes divide among them.
    pub(super) fn new(all: impl IntoIterator<Item = S>) -> Self {
        Self { all: all.into_iter().collect(), held: BTreeMap::new() }
    }

    /// Returns how many shares all nodes together hold.
    pub(super) fn total(&self) -> usize {
        self.all.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    pub(super) fn serving(&self) -> impl Iterator<Item = &S> {
        self.in_state(|state| state == ShareState::Serving)
    }

    /// Returns what the next heartbeat asks for and returns.
    pub(super) fn request(&self, quota: usize) -> ShareRequest<S> {
        let returned = self.held.iter().filter_map(|(share, held)| match held.state {
            ShareState::Released { highest_epoch } => {
                Some(ReturnedShare { share: share.clone(), epoch: held.epoch, highest_epoch })
            }
            ShareState::Granted | ShareState::Serving | ShareState::Draining => None,
        });
        let returned = returned.collect();
        let wanted = if self.retained() < quota {
            self.all.iter().filter(|share| !self.held.contains_key(share)).cloned().collect()
        } else {
            Vec::new()
        };
        ShareRequest { quota, wanted, returned }
    }

    /// Brings the shares to what the store says that this node holds.
    pub(super) fn reconcile(&mut self, mine: Vec<(S, Epoch)>) -> ShareChanges<S> {
        let mine: BTreeMap<S, Epoch> = mine.into_iter().collect();
        let mut lost = Vec::new();
        self.held.retain(|share, held| {
            let still = mine.get(share) == Some(&held.epoch);
            if !still && !matches!(held.state, ShareState::Released { .. }) {
                lost.push(share.clone());
            }
            still
        });
        let mut granted = Vec::new();
        for (share, epoch) in mine {
            if !self.held.contains_key(&share) {
                self.held.insert(share.clone(), Held { epoch, state: ShareState::Granted });
                granted.push((share, epoch));
            }
        }
        ShareChanges { granted, lost }
    }

    /// Returns the shares whose epoch is not yet raised where results are written.
    pub(super) fn granted(&self) -> Vec<(S, Epoch)> {
        let granted = self.held.iter().filter(|(_, held)| held.state == ShareState::Granted);
        granted.map(|(share, held)| (share.clone(), held.epoch)).collect()
    }

    /// A granted share can be served in this epoch. Returns `false` if it is no longer held so.
    pub(super) fn on_ready(&mut self, share: &S, epoch: Epoch) -> bool {
        let granted = Held { epoch, state: ShareState::Granted };
        let held = self.held.get_mut(share).filter(|held| **held == granted);
        held.map(|held| held.state = ShareState::Serving).is_some()
    }

    /// The epoch of a granted share is not above `highest_epoch`, which an earlier owner had. That
    /// happens if the store lost its newest writes. The share is returned, so that it is granted
    /// again in a higher epoch.
    pub(super) fn on_refused(&mut self, share: &S, epoch: Epoch, highest_epoch: Epoch) {
        let granted = Held { epoch, state: ShareState::Granted };
        if let Some(held) = self.held.get_mut(share).filter(|held| **held == granted) {
            held.state = ShareState::Released { highest_epoch };
        }
    }

    /// Another node has fenced this node off the share. Returns `false` if this node did not serve
    /// it.
    pub(super) fn on_fenced(&mut self, share: &S) -> bool {
        match self.held.get_mut(share) {
            Some(held) if matches!(held.state, ShareState::Serving | ShareState::Draining) => {
                held.state = ShareState::Released { highest_epoch: held.epoch };
                true
            }
            _ => false,
        }
    }

    /// Begins to drain the highest shares so that no more than `quota` stay, and returns them.
    pub(super) fn drain_excess(&mut self, quota: usize) -> Vec<S> {
        let excess = self.retained().saturating_sub(quota);
        let serving =
            self.held.iter_mut().rev().filter(|(_, held)| held.state == ShareState::Serving);
        let draining = serving.take(excess).map(|(share, held)| {
            held.state = ShareState::Draining;
            share.clone()
        });
        draining.collect()
    }

    /// No work of this share is in progress any more.
    pub(super) fn on_drained(&mut self, share: &S) {
        if let Some(held) =
            self.held.get_mut(share).filter(|held| held.state == ShareState::Draining)
        {
            held.state = ShareState::Released { highest_epoch: held.epoch };
        }
    }

    /// Drops everything that is held, and returns the shares that were not released yet.
    pub(super) fn clear(&mut self) -> Vec<S> {
        let held = std::mem::take(&mut self.held).into_iter();
        held.filter(|(_, held)| !matches!(held.state, ShareState::Released { .. }))
            .map(|(share, _)| share)
            .collect()
    }

    /// Returns how many shares this node keeps: those that are neither draining nor released.
    fn retained(&self) -> usize {
        self.in_state(|state| matches!(state, ShareState::Granted | ShareState::Serving)).count()
    }

    fn in_state(&self, is: impl Fn(ShareState) -> bool) -> impl Iterator<Item = &S> {
        self.held.iter().filter(move |(_, held)| is(held.state)).map(|(share, _)| share)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn four_shares() -> Shares<u16> {
        Shares::new(0..4)
    }

    fn serving(held: &[(u16, Epoch)]) -> Shares<u16> {
        let mut shares = four_shares();
        shares.reconcile(held.to_vec());
        for (share, epoch) in held {
            assert!(shares.on_ready(share, *epoch));
        }
        shares
    }

    fn request(
        quota: usize,
        wanted: &[u16],
        returned: &[(u16, Epoch, Epoch)],
    ) -> ShareRequest<u16> {
        let returned = returned.iter().map(|&(share, epoch, highest_epoch)| ReturnedShare {
            share,
            epoch,
            highest_epoch,
        });
        ShareRequest { quota, wanted: wanted.to_vec(), returned: returned.collect() }
    }

    #[test]
    fn a_node_wants_shares_that_it_does_not_hold_until_its_quota_is_reached() {
        assert_eq!(four_shares().request(2), request(2, &[0, 1, 2, 3], &[]));
        assert_eq!(serving(&[(1, 5)]).request(2), request(2, &[0, 2, 3], &[]));
        assert_eq!(serving(&[(1, 5), (2, 5)]).request(2), request(2, &[], &[]));
    }

    #[test]
    fn a_share_is_served_once_its_epoch_is_raised_and_returned_once_it_is_drained() {
        let mut shares = four_shares();
        let changes = shares.reconcile(vec![(1, 5), (2, 7)]);
        assert_eq!(changes, ShareChanges { granted: vec![(1, 5), (2, 7)], lost: vec![] });
        assert_eq!(shares.serving().count(), 0);
        assert!(!shares.on_ready(&1, 4), "an earlier epoch");
        assert!(shares.on_ready(&1, 5) && shares.on_ready(&2, 7));
        assert_eq!(shares.serving().collect::<Vec<_>>(), [&1, &2]);

        assert_eq!(shares.drain_excess(1), [2]);
        assert_eq!(shares.drain_excess(1), [0_u16; 0], "the excess share is draining already");
        assert_eq!(shares.request(1), request(1, &[], &[]), "work in progress ends first");
        shares.on_drained(&2);
        assert_eq!(shares.request(1), request(1, &[], &[(2, 7, 7)]));
        // The reply was lost, so the next heartbeat returns the share again.
        assert_eq!(
            shares.reconcile(vec![(1, 5), (2, 7)]),
            ShareChanges { granted: vec![], lost: vec![] }
        );
        assert_eq!(shares.request(1), request(1, &[], &[(2, 7, 7)]));
        assert_eq!(shares.reconcile(vec![(1, 5)]), ShareChanges { granted: vec![], lost: vec![] });
        assert_eq!(shares.request(2), request(2, &[0, 2, 3], &[]));
    }

    #[test]
    fn a_share_that_the_store_does_not_list_is_lost_and_a_new_epoch_is_a_new_grant() {
        let mut shares = serving(&[(0, 5), (1, 5)]);
        let changes = shares.reconcile(vec![(1, 6)]);
        assert_eq!(changes, ShareChanges { granted: vec![(1, 6)], lost: vec![0, 1] });
        assert_eq!(shares.clear(), [1]);
        assert!(shares.is_empty());
    }

    #[test]
    fn a_share_with_a_higher_epoch_in_the_store_is_returned_to_get_one_above_it() {
        let mut shares = four_shares();
        shares.reconcile(vec![(3, 5)]);
        shares.on_refused(&3, 5, 9);
        assert!(!shares.on_ready(&3, 5));
        assert_eq!(shares.request(0), request(0, &[], &[(3, 5, 9)]));
        assert_eq!(shares.clear(), [0_u16; 0], "it was never served");
    }
}
