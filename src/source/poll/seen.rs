//! Remembers records that were taken in, because each round asks for some of them again. It only saves work:
//! a record that is forgotten gives the same events, which are duplicates.

use std::collections::HashSet;

/// Remembers the youngest digests: between `max` and twice as many.
#[derive(Debug)]
pub(super) struct Seen {
    max: usize,
    young: HashSet<String>,
    old: HashSet<String>,
}

impl Seen {
    pub(super) fn new(max: usize) -> Self {
        Self { max, young: HashSet::new(), old: HashSet::new() }
    }

    pub(super) fn has(&self, digest: &str) -> bool {
        self.young.contains(digest) || self.old.contains(digest)
    }

    pub(super) fn note(&mut self, digest: String) {
        self.young.insert(digest);
        if self.max <= self.young.len() {
            self.old = std::mem::take(&mut self.young);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_youngest_are_remembered_and_the_number_is_bounded() {
        let mut seen = Seen::new(3);
        for n in 0..100 {
            seen.note(n.to_string());
            let oldest = u32::saturating_sub(n, 2);
            assert!((oldest..=n).all(|n| seen.has(&n.to_string())), "{n}");
            assert!(seen.young.len() + seen.old.len() < 6);
        }
        assert!(!seen.has("90"));
    }
}
