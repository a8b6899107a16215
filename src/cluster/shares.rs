//! The shares of one kind, slots or partitions, that a node holds.

use std::collections::{BTreeMap, BTreeSet};

/// Grows with each owner of a share.
pub(super) type Epoch = u64;

/// What a node has of the shares of one kind, and how far each of them is from being taken to being
/// given back.
#[derive(Debug)]
pub(super) struct Shares<S> {
    all: BTreeSet<S>,
    held: BTreeMap<S, Held>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Held {
    epoch: Epoch,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Ours, and not yet known to be so where it is written to.
    Granted,
    Serving,
    /// What is under way ends; nothing begins.
    Leaving,
    /// To be given back. Whoever has it next gets an epoch beyond this one.
    Left {
        beyond: Epoch,
    },
}

/// What a node says of one kind of shares with a heartbeat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wish<S> {
    pub(super) quota: usize,
    /// What it takes if it is free, up to the quota; nothing if it has as much.
    pub(super) wanted: Vec<S>,
    pub(super) returned: Vec<Return<S>>,
}

/// A share that is given back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Return<S> {
    pub(super) share: S,
    /// The epoch in which it was held.
    pub(super) epoch: Epoch,
    /// The next owner's epoch lies beyond this one.
    pub(super) beyond: Epoch,
}

/// What is held since the last heartbeat, and what no longer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Changes<S> {
    pub(super) granted: Vec<(S, Epoch)>,
    pub(super) lost: Vec<S>,
}

impl<S: Ord + Clone> Shares<S> {
    /// `all` is what there is to be held.
    pub(super) fn new(all: impl IntoIterator<Item = S>) -> Self {
        Self { all: all.into_iter().collect(), held: BTreeMap::new() }
    }

    /// How many there are to be held, by anybody.
    pub(super) fn total(&self) -> usize {
        self.all.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    pub(super) fn serving(&self) -> impl Iterator<Item = &S> {
        self.in_state(|state| state == State::Serving)
    }

    pub(super) fn wish(&self, quota: usize) -> Wish<S> {
        let returned = self.held.iter().filter_map(|(share, held)| match held.state {
            State::Left { beyond } => {
                Some(Return { share: share.clone(), epoch: held.epoch, beyond })
            }
            State::Granted | State::Serving | State::Leaving => None,
        });
        let returned = returned.collect();
        let wanted = if self.kept() < quota {
            self.all.iter().filter(|share| !self.held.contains_key(share)).cloned().collect()
        } else {
            Vec::new()
        };
        Wish { quota, wanted, returned }
    }

    /// Takes in what this node holds by the word of the store, which is the truth.
    pub(super) fn reconcile(&mut self, mine: Vec<(S, Epoch)>) -> Changes<S> {
        let mine: BTreeMap<S, Epoch> = mine.into_iter().collect();
        let mut lost = Vec::new();
        self.held.retain(|share, held| {
            let still = mine.get(share) == Some(&held.epoch);
            if !still && !matches!(held.state, State::Left { .. }) {
                lost.push(share.clone());
            }
            still
        });
        let mut granted = Vec::new();
        for (share, epoch) in mine {
            if !self.held.contains_key(&share) {
                self.held.insert(share.clone(), Held { epoch, state: State::Granted });
                granted.push((share, epoch));
            }
        }
        Changes { granted, lost }
    }

    /// What is ours and not known to be so where it is written to.
    pub(super) fn granted(&self) -> Vec<(S, Epoch)> {
        let granted = self.held.iter().filter(|(_, held)| held.state == State::Granted);
        granted.map(|(share, held)| (share.clone(), held.epoch)).collect()
    }

    /// What was granted in this epoch can be served. `false` if it is not held so any more.
    pub(super) fn on_ready(&mut self, share: &S, epoch: Epoch) -> bool {
        let granted = Held { epoch, state: State::Granted };
        let held = self.held.get_mut(share).filter(|held| **held == granted);
        held.map(|held| held.state = State::Serving).is_some()
    }

    /// What was granted was had before by an owner of epoch `beyond`, or later: as when the store has
    /// lost what it was told last. It goes back, to be taken in a later one.
    pub(super) fn on_refused(&mut self, share: &S, epoch: Epoch, beyond: Epoch) {
        let granted = Held { epoch, state: State::Granted };
        if let Some(held) = self.held.get_mut(share).filter(|held| **held == granted) {
            held.state = State::Left { beyond };
        }
    }

    /// It was served, and somebody else has it by right. `false` if it was not served.
    pub(super) fn on_fenced(&mut self, share: &S) -> bool {
        match self.held.get_mut(share) {
            Some(held) if matches!(held.state, State::Serving | State::Leaving) => {
                held.state = State::Left { beyond: held.epoch };
                true
            }
            _ => false,
        }
    }

    /// What is to be left so that no more than `quota` stay: the highest.
    pub(super) fn leave_beyond(&mut self, quota: usize) -> Vec<S> {
        let over = self.kept().saturating_sub(quota);
        let serving = self.held.iter_mut().rev().filter(|(_, held)| held.state == State::Serving);
        let left = serving.take(over).map(|(share, held)| {
            held.state = State::Leaving;
            share.clone()
        });
        left.collect()
    }

    /// Nothing is under way any more for this share.
    pub(super) fn on_left(&mut self, share: &S) {
        if let Some(held) = self.held.get_mut(share).filter(|held| held.state == State::Leaving) {
            held.state = State::Left { beyond: held.epoch };
        }
    }

    /// All is lost; what that is.
    pub(super) fn clear(&mut self) -> Vec<S> {
        let held = std::mem::take(&mut self.held).into_iter();
        held.filter(|(_, held)| !matches!(held.state, State::Left { .. })).map(|(s, _)| s).collect()
    }

    /// Those that are not about to be given back.
    fn kept(&self) -> usize {
        self.in_state(|state| matches!(state, State::Granted | State::Serving)).count()
    }

    fn in_state(&self, is: impl Fn(State) -> bool) -> impl Iterator<Item = &S> {
        self.held.iter().filter(move |(_, held)| is(held.state)).map(|(share, _)| share)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_four() -> Shares<u16> {
        Shares::new(0..4)
    }

    fn serving(held: &[(u16, Epoch)]) -> Shares<u16> {
        let mut shares = of_four();
        shares.reconcile(held.to_vec());
        for (share, epoch) in held {
            assert!(shares.on_ready(share, *epoch));
        }
        shares
    }

    fn wish(quota: usize, wanted: &[u16], returned: &[(u16, Epoch, Epoch)]) -> Wish<u16> {
        let returned = returned.iter();
        let returned =
            returned.map(|&(share, epoch, beyond)| Return { share, epoch, beyond }).collect();
        Wish { quota, wanted: wanted.to_vec(), returned }
    }

    #[test]
    fn what_is_held_is_not_wanted_and_at_the_quota_nothing_is() {
        assert_eq!(of_four().wish(2), wish(2, &[0, 1, 2, 3], &[]));
        assert_eq!(serving(&[(1, 5)]).wish(2), wish(2, &[0, 2, 3], &[]));
        assert_eq!(serving(&[(1, 5), (2, 5)]).wish(2), wish(2, &[], &[]));
    }

    #[test]
    fn a_share_is_served_once_its_grant_is_known_and_given_back_once_it_is_left() {
        let mut shares = of_four();
        let changes = shares.reconcile(vec![(1, 5), (2, 7)]);
        assert_eq!(changes, Changes { granted: vec![(1, 5), (2, 7)], lost: vec![] });
        assert_eq!(shares.serving().count(), 0);
        assert!(!shares.on_ready(&1, 4), "an epoch that is over");
        assert!(shares.on_ready(&1, 5) && shares.on_ready(&2, 7));
        assert_eq!(shares.serving().collect::<Vec<_>>(), [&1, &2]);

        assert_eq!(shares.leave_beyond(1), [2]);
        assert_eq!(shares.leave_beyond(1), [0_u16; 0], "it is on its way");
        assert_eq!(shares.wish(1), wish(1, &[], &[]), "what is under way ends first");
        shares.on_left(&2);
        assert_eq!(shares.wish(1), wish(1, &[], &[(2, 7, 7)]));
        // The answer was lost: it is said again.
        assert_eq!(
            shares.reconcile(vec![(1, 5), (2, 7)]),
            Changes { granted: vec![], lost: vec![] }
        );
        assert_eq!(shares.wish(1), wish(1, &[], &[(2, 7, 7)]));
        assert_eq!(shares.reconcile(vec![(1, 5)]), Changes { granted: vec![], lost: vec![] });
        assert_eq!(shares.wish(2), wish(2, &[0, 2, 3], &[]));
    }

    #[test]
    fn what_the_store_does_not_know_of_is_lost_and_another_epoch_is_another_grant() {
        let mut shares = serving(&[(0, 5), (1, 5)]);
        let changes = shares.reconcile(vec![(1, 6)]);
        assert_eq!(changes, Changes { granted: vec![(1, 6)], lost: vec![0, 1] });
        assert_eq!(shares.clear(), [1]);
        assert!(shares.is_empty());
    }

    #[test]
    fn a_share_that_had_a_later_owner_goes_back_to_be_taken_later_still() {
        let mut shares = of_four();
        shares.reconcile(vec![(3, 5)]);
        shares.on_refused(&3, 5, 9);
        assert!(!shares.on_ready(&3, 5));
        assert_eq!(shares.wish(0), wish(0, &[], &[(3, 5, 9)]));
        assert_eq!(shares.clear(), [0_u16; 0], "nothing of it was served");
    }
}
