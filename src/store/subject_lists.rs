//! The lists of subjects that streams have (SSF §8.1.3).

use async_trait::async_trait;

use super::StoreError;
use crate::domain::{
    id::{ProviderName, StreamId},
    subject::{
        keys::{Filing, SubjectKeys},
        list::{ListChange, Listed},
    },
    time::Timestamp,
};

/// The most shapes that the complex subjects on one stream's list may have. Each shape that exists
/// at a provider costs one look-up for each of its complex events.
pub const SHAPES_PER_STREAM_MAX: usize = 16;

/// The subjects on the lists of streams. Most calls are about one entry, and there may be many calls.
#[async_trait]
pub trait SubjectLists: Send + Sync {
    /// Changes an entry of a stream's list. Entering a subject that is on the list, or removing one
    /// that is not, is no error. The entry holds from the earliest beginning that was asked for, and
    /// until the earliest end that was asked for since. Returns [`StoreError::SubjectLimit`] if the
    /// list already has `limit` entries, and [`StoreError::Conflict`] if there is no such stream.
    async fn change_list(
        &self,
        stream: &StreamId,
        entry: Filing,
        change: ListChange,
        limit: usize,
        now: Timestamp,
    ) -> Result<(), StoreError>;

    /// Returns, for each of these subjects of a provider and in their order, the streams that have
    /// the subject on their list under any of its identifiers.
    async fn listed(
        &self,
        provider: &ProviderName,
        subjects: Vec<SubjectKeys>,
        now: Timestamp,
    ) -> Result<Vec<Listed>, StoreError>;

    /// Returns the streams whose list is not empty.
    async fn streams_with_list(&self) -> Result<Vec<StreamId>, StoreError>;
}
