//! The parts that the daemon still waits for.

use std::{
    collections::BTreeSet,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// The names of the parts that are missing. The daemon is ready when there are none.
#[derive(Debug, Default)]
pub struct Readiness {
    missing: Mutex<BTreeSet<String>>,
}

impl Readiness {
    pub fn lost(&self, part: &str) {
        self.missing().insert(part.to_owned());
    }

    pub fn gained(&self, part: &str) {
        self.missing().remove(part);
    }

    pub fn waiting_for(&self) -> Vec<String> {
        self.missing().iter().cloned().collect()
    }

    fn missing(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.missing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_part_is_missing_until_it_is_back() {
        let readiness = Readiness::default();
        readiness.lost("redis");
        readiness.lost("redis");
        assert_eq!(readiness.waiting_for(), ["redis"]);
        readiness.gained("redis");
        assert!(readiness.waiting_for().is_empty());
    }
}
