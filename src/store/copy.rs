//! One store's contents in another: compares two, writes what the second lacks, and compares again.
//! It knows no backend, and holds a bounded number of records at a time; of the streams it holds all
//! configurations, as a daemon does.
//!
//! A stream that is not the same is removed and written anew, with all that belongs to it, and so is
//! each kind of what belongs to no stream. So a copy can be repeated, and one that broke off is
//! completed by another; until then the target cannot be served from.

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

/// Streams that are read at once: a server that is far away answers them together.
const AT_ONCE: usize = 8;

/// About the most records that are read in one call.
const PAGE: usize = 250;

/// About how many are written in one.
const BATCH: usize = 500;

/// Makes the target hold what the source holds, and nothing else. With `replace` whatever it has; or
/// else it is left as it is if there is an [objection](Comparison::objection). Returns how the two
/// compared before.
pub async fn copy(
    source: &dyn Portable,
    target: &dyn Portable,
    replace: bool,
    tell: Tell<'_>,
) -> Result<Comparison, CopyError> {
    let before = compare(source, target, Step::Compare, tell).await?;
    if let Some(objection) = before.objection()
        && !replace
    {
        return Err(objection);
    }
    if before.difference().is_some() {
        target.set_incomplete(true).await.map_err(CopyError::Target)?;
        Writing::new(source, target, &before, tell).write().await?;
        let after = compare(source, target, Step::Verify, tell).await?;
        if let Some(difference) = after.difference() {
            return Err(CopyError::Different(difference));
        }
    }
    target.set_incomplete(false).await.map_err(CopyError::Target)?;
    Ok(before)
}

/// How far a copy is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    pub step: Step,
    /// So many streams, or while they are written records, of so many.
    pub done: u64,
    pub of: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
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
    /// The copy would undo what has happened since.
    #[error("the target has what is newer than all of the source: it was served from since")]
    Newer,
    /// Something was written meanwhile, or we do not write what we read.
    #[error("the target is not what the source is: {0}")]
    Different(Difference),
}
