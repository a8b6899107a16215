//! The outcome of each rule for a record, for people who write rules.

use serde::Serialize;

use super::{
    condition::Failed,
    rule::{Rule, RuleName},
};

/// One rule or guard, in the order in which they are tried.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RuleTrace {
    pub rule: RuleName,
    #[serde(flatten)]
    pub outcome: Outcome,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    Matched,
    /// The first condition that failed.
    Failed {
        path: String,
        /// The test, such as `equals` or `exists`. `unless` and `any` stand for their tables.
        test: &'static str,
    },
    /// An earlier rule matched.
    NotReached,
}

impl RuleTrace {
    pub(super) fn new(rule: &Rule, outcome: Outcome) -> Self {
        Self { rule: rule.name.clone(), outcome }
    }
}

impl From<Result<(), Failed<'_>>> for Outcome {
    fn from(outcome: Result<(), Failed<'_>>) -> Self {
        match outcome {
            Ok(()) => Self::Matched,
            Err(Failed { path, test }) => Self::Failed { path: path.to_owned(), test },
        }
    }
}
