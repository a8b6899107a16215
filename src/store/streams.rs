//! Streams as they are stored.

use async_trait::async_trait;

use super::StoreError;
use crate::{
    delivery::outbox::NewSet,
    domain::{id::StreamId, stream::StreamConfig, time::Timestamp},
};

/// The streams of all providers. Changes are rare and are made one at a time, so they may be slow.
#[async_trait]
pub trait Streams: Send + Sync {
    /// Stores a new stream. Returns [`StoreError::StreamLimit`] if the Receiver already has `limit`
    /// streams of the provider.
    async fn create_stream(&self, stream: StreamConfig, limit: usize) -> Result<(), StoreError>;

    /// Replaces a stream by its next version, which must have the same status. Returns
    /// [`StoreError::Conflict`] unless the store holds version `stream.version - 1`. If the delivery
    /// of the stream changes, all SETs that wait become due at once, because they were put off for
    /// the sake of the old endpoint.
    async fn update_stream(&self, stream: StreamConfig) -> Result<(), StoreError>;

    /// Replaces a stream by its next version, which has another status or reason, under the same
    /// conditions as [`Self::update_stream`]. In the same step the waiting announcement is withdrawn,
    /// all other waiting SETs are discarded if the new status discards, and the announcement of this
    /// change is appended. SETs that wait on a push stream become due at once when the stream is
    /// enabled again. Returns how many SETs other than announcements were discarded.
    async fn change_status(
        &self,
        stream: StreamConfig,
        announcement: Announcement,
        now: Timestamp,
    ) -> Result<u64, StoreError>;

    /// Deletes a stream and its outbox. Returns `false` if there is no such stream.
    async fn delete_stream(&self, id: &StreamId) -> Result<bool, StoreError>;

    /// Returns all streams. A starting node builds its directory from them.
    async fn streams(&self) -> Result<Vec<StreamConfig>, StoreError>;

    /// Returns one stream as it is now. A node reads a stream again after another node changed it.
    async fn stream(&self, id: &StreamId) -> Result<Option<StreamConfig>, StoreError>;
}

/// The announcement that a change of status appends. Its kind is [`SetKind::Announcement`], so at most
/// one announcement of a stream waits.
///
/// [`SetKind::Announcement`]: crate::delivery::outbox::SetKind::Announcement
#[derive(Debug, Clone)]
pub enum Announcement {
    None,
    /// Appended only if an earlier announcement was waiting.
    Instead(NewSet),
    New(NewSet),
}
