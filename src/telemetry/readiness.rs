//! The parts that the daemon still waits for, and whom each of them hinders.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The users of the daemon. A load balancer for Receivers must not drop a node because publishers' Redis
/// is away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReadyFor {
    Receivers,
    Publishers,
    All,
}

impl ReadyFor {
    /// Whether a part that hinders `self` matters to `asked`.
    pub fn concerns(self, asked: Self) -> bool {
        self == asked || self == Self::All || asked == Self::All
    }
}

/// The names of the parts that are missing. The daemon is ready when there are none.
#[derive(Debug, Default)]
pub struct Readiness {
    missing: Mutex<BTreeMap<String, ReadyFor>>,
    /// Matters for an operator that hinder nobody, by the part that each is about.
    warnings: Mutex<BTreeMap<String, String>>,
}

impl Readiness {
    /// Notes that a part is missing without which nobody is served.
    pub fn lost(&self, part: &str) {
        self.lost_for(part, ReadyFor::All);
    }

    /// Notes that a part is missing, and whom that hinders.
    pub fn lost_for(&self, part: &str, hinders: ReadyFor) {
        self.missing().insert(part.to_owned(), hinders);
    }

    pub fn gained(&self, part: &str) {
        self.missing().remove(part);
    }

    /// Returns all parts that are missing.
    pub fn waiting_for(&self) -> Vec<String> {
        self.missing_for(ReadyFor::All)
    }

    /// Returns the missing parts that matter to those who ask.
    pub fn missing_for(&self, asked: ReadyFor) -> Vec<String> {
        let missing = self.missing();
        let concerning = missing.iter().filter(|(_, hinders)| hinders.concerns(asked));
        concerning.map(|(part, _)| part.clone()).collect()
    }

    /// Notes that an operator should look at a part, although it hinders nobody.
    pub fn warn(&self, part: &str, text: String) {
        self.noted().insert(part.to_owned(), text);
    }

    pub fn calm(&self, part: &str) {
        self.noted().remove(part);
    }

    /// Returns what an operator should look at.
    pub fn warnings(&self) -> Vec<String> {
        self.noted().values().cloned().collect()
    }

    fn noted(&self) -> MutexGuard<'_, BTreeMap<String, String>> {
        self.warnings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn missing(&self) -> MutexGuard<'_, BTreeMap<String, ReadyFor>> {
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

    #[test]
    fn a_part_matters_to_those_whom_it_hinders() {
        use ReadyFor::*;
        let readiness = Readiness::default();
        readiness.lost_for("a", Receivers);
        readiness.lost_for("b", Publishers);
        readiness.lost("c");
        for (asked, missing) in
            [(Receivers, &["a", "c"][..]), (Publishers, &["b", "c"]), (All, &["a", "b", "c"])]
        {
            assert_eq!(readiness.missing_for(asked), missing, "{asked:?}");
        }
    }
}
