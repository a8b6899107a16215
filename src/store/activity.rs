//! When streams were last active, for streams that are stopped without activity (SSF §8.1.1).

use async_trait::async_trait;

use super::StoreError;
use crate::domain::{id::StreamId, time::Timestamp};

#[async_trait]
pub trait Activity: Send + Sync {
    /// Records when streams were last active; one that there is not is ignored. Of what several nodes
    /// record, the latest stays. With `recorded_at` all is recorded now that was seen until then.
    async fn record_activity(
        &self,
        last: Vec<(StreamId, Timestamp)>,
        recorded_at: Option<Timestamp>,
    ) -> Result<(), StoreError>;

    async fn activity(&self) -> Result<ActivityRecord, StoreError>;
}

/// When streams were last active, as far as it was recorded.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ActivityRecord {
    pub last: Vec<(StreamId, Timestamp)>,
    /// Until when all was recorded: so long at least there was a daemon to be asked.
    pub recorded_at: Option<Timestamp>,
}
