//! How far each URL of a source that polls was read.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::{
    Record, RecordFilter, Records, Versioned, create, get, held_event::prefix, list, replace,
};
use crate::{
    domain::{
        id::{ProviderName, SourceName},
        time::Timestamp,
    },
    store::StoreError,
};

/// The position of one URL. All records before it were taken in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PollPosition {
    pub provider: ProviderName,
    pub source: SourceName,
    /// The URL without its query.
    pub url: String,
    /// The time of the newest record, or the time from which the source began to poll. Times are in
    /// milliseconds since 1970.
    pub newest: i64,
    /// Where a round begins that does not go on at `next`: at the newest record, or at the begin of the last
    /// round if that was before. Records that were shown during that round may have been passed over.
    pub base: i64,
    /// When the round began that is not complete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub begun: Option<i64>,
    /// Where to go on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<NextPage>,
    pub moved_at: i64,
}

/// A page that was not read yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "lowercase")]
pub enum NextPage {
    /// The records from a time on, without the first `first` of them.
    Time {
        since: i64,
        first: u64,
    },
    Link {
        url: String,
    },
    Cursor {
        cursor: String,
    },
}

impl Record for PollPosition {
    const KIND: &'static str = "poll_positions";

    fn key(&self) -> String {
        key(&self.provider, &self.source, &self.url)
    }

    fn made_at(&self) -> Timestamp {
        Timestamp::from_millis(self.moved_at)
    }
}

fn key(provider: &ProviderName, source: &SourceName, url: &str) -> String {
    format!("{}{url}", prefix(provider, source))
}

/// The positions in a store.
#[async_trait]
pub trait PollPositionStore: Records {
    async fn poll_position(
        &self,
        provider: &ProviderName,
        source: &SourceName,
        url: &str,
    ) -> Result<Option<Versioned<PollPosition>>, StoreError> {
        get(self, &key(provider, source, url)).await
    }

    /// Returns all positions of a source, in the order of their URLs.
    async fn poll_positions(
        &self,
        provider: &ProviderName,
        source: &SourceName,
    ) -> Result<Vec<PollPosition>, StoreError> {
        let of_source = RecordFilter::All { prefix: prefix(provider, source) };
        let all = list::<PollPosition>(self, of_source).await?;
        Ok(all.into_iter().map(|found| found.record).collect())
    }

    /// Moves a position that was read with this version, or begins one. Returns the new version, or
    /// [`StoreError::Conflict`] if another node has moved it meanwhile.
    async fn move_poll(
        &self,
        position: &PollPosition,
        version: Option<u64>,
    ) -> Result<u64, StoreError> {
        match version {
            None => create(self, position).await,
            Some(version) => replace(self, position, version).await,
        }
    }
}

impl<T: Records + ?Sized> PollPositionStore for T {}
