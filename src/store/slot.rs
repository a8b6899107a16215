//! Slots: the shares into which the streams of all nodes are divided.

use std::fmt;

use crate::domain::id::StreamId;

/// The number of slots. It must never change, because stored streams would no longer be found.
pub const SLOTS: u16 = 256;

/// A share of the streams. All keys of a slot hash alike in a Redis Cluster, so that each call about one
/// stream is one atomic step. One node serves all streams of a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(u16);

/// Some of the slots.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SlotSet([u64; WORDS]);

const WORDS: usize = SLOTS as usize / 64;

impl Slot {
    /// Returns the slot for a name of these parts. The hash, FNV-1a, must be the same in every build,
    /// because stored data is found by it. A byte that is in no name separates the parts.
    pub fn of(parts: &[&str]) -> Self {
        let bytes = parts.iter().flat_map(|part| part.bytes().chain([0]));
        let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        // The low bits alone depend on little more than the low bits of the last byte.
        let folded = (hash ^ (hash >> 32)) % u64::from(SLOTS);
        Self(u16::try_from(folded).expect("below the number of slots"))
    }

    pub fn of_stream(id: &StreamId) -> Self {
        Self::of(&[id.as_str()])
    }

    /// Returns `None` for a number beyond the last slot.
    pub fn numbered(number: u16) -> Option<Self> {
        (number < SLOTS).then_some(Self(number))
    }

    pub fn all() -> impl Iterator<Item = Self> {
        (0..SLOTS).map(Self)
    }

    pub fn number(self) -> u16 {
        self.0
    }

    pub(super) fn index(self) -> usize {
        usize::from(self.0)
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl SlotSet {
    pub const NONE: Self = Self([0; WORDS]);
    pub const ALL: Self = Self([u64::MAX; WORDS]);

    pub fn contains(&self, slot: Slot) -> bool {
        let (word, bit) = place(slot);
        self.0[word] & bit != 0
    }

    pub fn insert(&mut self, slot: Slot) {
        let (word, bit) = place(slot);
        self.0[word] |= bit;
    }

    pub fn remove(&mut self, slot: Slot) {
        let (word, bit) = place(slot);
        self.0[word] &= !bit;
    }

    pub fn len(&self) -> usize {
        self.iter().count()
    }

    pub fn is_empty(&self) -> bool {
        *self == Self::NONE
    }

    /// Returns the slots in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = Slot> + use<> {
        let slots = *self;
        Slot::all().filter(move |slot| slots.contains(*slot))
    }
}

fn place(slot: Slot) -> (usize, u64) {
    (slot.index() / 64, 1 << (slot.index() % 64))
}

impl FromIterator<Slot> for SlotSet {
    fn from_iter<T: IntoIterator<Item = Slot>>(slots: T) -> Self {
        slots.into_iter().fold(Self::NONE, |mut set, slot| {
            set.insert(slot);
            set
        })
    }
}

impl fmt::Debug for SlotSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter().map(Slot::number)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_the_same_in_every_build() {
        let numbers = ["st_1", "st_2", ""].map(|name| Slot::of(&[name]).number());
        assert_eq!(numbers, [104, 51, 147]);
        assert_ne!(Slot::of(&["ab", "c"]), Slot::of(&["a", "bc"]));
    }

    #[test]
    fn names_spread_over_all_slots() {
        let mut counts = vec![0; usize::from(SLOTS)];
        for n in 0..25_600 {
            counts[Slot::of(&[&format!("stream-{n}")]).index()] += 1;
        }
        let (least, most) = (counts.iter().min(), counts.iter().max());
        assert!(Some(&50) < least && most < Some(&150), "{least:?} to {most:?} of 100 each");
    }

    #[test]
    fn a_set_holds_what_was_put_in_and_not_taken_out() {
        let slot = |number| Slot::numbered(number).expect("a slot");
        let mut slots: SlotSet = [0, 63, 64, 255].map(slot).into_iter().collect();
        slots.remove(slot(63));
        slots.remove(slot(1));
        assert_eq!(slots.iter().map(Slot::number).collect::<Vec<_>>(), [0, 64, 255]);
        assert!(slots.contains(slot(64)) && !slots.contains(slot(65)));
        assert_eq!((SlotSet::NONE.len(), slots.len(), SlotSet::ALL.len()), (0, 3, 256));
    }
}
