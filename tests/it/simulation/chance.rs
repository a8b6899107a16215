//! Chance, from a seed: the same seed brings the same run.

use std::{ops::RangeInclusive, time::Duration};

/// `SplitMix64`, which is all the randomness that this takes.
pub(super) struct Chance(u64);

impl Chance {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(super) fn number(&mut self, range: RangeInclusive<u64>) -> u64 {
        range.start() + self.draw() % (range.end() - range.start() + 1)
    }

    pub(super) fn size(&mut self, range: RangeInclusive<usize>) -> usize {
        let (start, end) = (*range.start() as u64, *range.end() as u64);
        usize::try_from(self.number(start..=end)).expect("it came from one")
    }

    pub(super) fn millis(&mut self, range: RangeInclusive<u64>) -> Duration {
        Duration::from_millis(self.number(range))
    }

    /// So many times in a thousand.
    pub(super) fn happens(&mut self, per_mille: u64) -> bool {
        self.draw() % 1000 < per_mille
    }

    /// In `0.0..=1.0`.
    pub(super) fn dice(&mut self) -> f64 {
        f64::from(u32::try_from(self.draw() >> 32).expect("32 bits")) / f64::from(u32::MAX)
    }

    pub(super) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.size(0..=from.len() - 1)]
    }
}
