//! Copies the contents of one store into another.
//!
//! ```text
//!  source ──▶ reading ──▶ tally ──┐
//!                                 ├──▶ comparison ──▶ writing ──▶ target, then compared again
//!  target ──▶ reading ──▶ tally ──┘
//! ```
//!
//! The code knows no backend. It holds a bounded number of items at a time, and the configurations of all
//! streams, as a daemon does. A stream that differs is removed and written anew with all that belongs to
//! it, and so is each group of items that belong to no stream. So a copy can be repeated, and another copy
//! completes one that was interrupted. Until then the target cannot be served from.

mod comparison;
mod reading;
mod tally;
mod writing;

use self::writing::Writing;
pub use self::{
    comparison::{Comparison, Difference, compare},
    tally::{Tallies, Tally},
};
use super::{StoreError, portable::Portable};
use crate::domain::id::StreamId;

/// How many streams are read at once, because a server that is far away answers them together.
const AT_ONCE: usize = 8;

/// About how many items are read in one call.
const PAGE: usize = 250;

/// About how many items are written in one call.
const BATCH: usize = 500;

/// Makes the target hold exactly the contents of the source. Without `replace`, the target is left as it is
/// if there is an [objection](Comparison::objection). Returns the comparison of the two before the copy.
pub async fn copy(
    source: &dyn Portable,
    target: &dyn Portable,
    replace: bool,
    tell: Tell<'_>,
) -> Result<Comparison, CopyError> {
    let before = compare(source, target, CopyStep::Compare, tell).await?;
    if let Some(objection) = before.objection()
        && !replace
    {
        return Err(objection);
    }
    if before.difference().is_some() {
        target.set_incomplete(true).await.map_err(CopyError::Target)?;
        Writing::new(source, target, &before, tell).write().await?;
        let after = compare(source, target, CopyStep::Verify, tell).await?;
        if let Some(difference) = after.difference() {
            return Err(CopyError::Different(difference));
        }
    }
    target.set_incomplete(false).await.map_err(CopyError::Target)?;
    Ok(before)
}

/// The progress of a copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    pub step: CopyStep,
    /// How many streams are done, or while items are written how many items, out of `of`.
    pub done: u64,
    pub of: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CopyStep {
    Compare,
    Write,
    Verify,
}

/// Reports the progress of a copy.
pub type Tell<'a> = &'a dyn Fn(Progress);

/// Why a store was not copied.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    #[error("the source")]
    Source(#[source] StoreError),
    #[error("the target")]
    Target(#[source] StoreError),
    /// The target has streams that the source lacks. A copy would delete them, and they may be
    /// wanted.
    #[error("the target has streams that the source has not: {count}, {first} among them")]
    OtherStreams { count: usize, first: StreamId },
    /// The target has newer SETs or positions, which the copy would undo.
    #[error("the target has what is newer than all of the source: it was served from since")]
    Newer,
    /// Somebody wrote into a store meanwhile, or the copy has a fault.
    #[error("the target is not what the source is: {0}")]
    Different(Difference),
}
