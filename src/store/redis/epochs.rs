//! By which right this node writes results into a slot.

use std::sync::atomic::{AtomicU64, Ordering};

use super::slot::{SLOTS, Slot};

/// The fencing epoch of each slot that this node serves. Whoever takes the slots sets them; the
/// store sends them along with results, and Redis refuses those of an epoch that is over
/// ([`StoreError::Fenced`]). Without epochs there is one node, and nothing to be refused.
///
/// [`StoreError::Fenced`]: crate::store::StoreError::Fenced
#[derive(Debug)]
pub struct Epochs {
    /// 0 for none.
    slots: Vec<AtomicU64>,
}

impl Default for Epochs {
    fn default() -> Self {
        Self { slots: (0..SLOTS).map(|_| AtomicU64::new(0)).collect() }
    }
}

impl Epochs {
    /// `None` where no epoch was given.
    pub fn epoch(&self, slot: Slot) -> Option<u64> {
        Some(self.slots[slot.index()].load(Ordering::Acquire)).filter(|epoch| *epoch != 0)
    }

    /// From now on results of this slot are written under this epoch. Epochs begin at 1.
    pub fn set(&self, slot: Slot, epoch: Option<u64>) {
        self.slots[slot.index()].store(epoch.unwrap_or(0), Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_has_the_epoch_that_it_was_given() {
        let (epochs, slot) = (Epochs::default(), Slot::of(&["st_1"]));
        assert_eq!(epochs.epoch(slot), None);
        epochs.set(slot, Some(7));
        assert_eq!(epochs.epoch(slot), Some(7));
        let others = Slot::all().filter(|other| *other != slot);
        assert!(others.into_iter().all(|other| epochs.epoch(other).is_none()));
        epochs.set(slot, None);
        assert_eq!(epochs.epoch(slot), None);
    }
}
