//! The epochs by which this node writes results into its slots.

use std::sync::atomic::{AtomicU64, Ordering};

use super::slot::{SLOTS, Slot};

/// The fencing epoch of each slot that this node serves. The cluster sets them. The store sends them along
/// with results, and Redis refuses results of an earlier epoch ([`StoreError::Fenced`]). Without epochs
/// there is only one node, and nothing is refused.
///
/// [`StoreError::Fenced`]: crate::store::StoreError::Fenced
#[derive(Debug)]
pub struct Epochs {
    /// 0 stands for no epoch.
    slots: Vec<AtomicU64>,
}

impl Default for Epochs {
    fn default() -> Self {
        Self { slots: (0..SLOTS).map(|_| AtomicU64::new(0)).collect() }
    }
}

impl Epochs {
    /// Returns `None` for a slot without an epoch.
    pub fn epoch(&self, slot: Slot) -> Option<u64> {
        Some(self.slots[slot.index()].load(Ordering::Acquire)).filter(|epoch| *epoch != 0)
    }

    /// Sets the epoch under which results of this slot are written. Epochs begin at 1.
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
