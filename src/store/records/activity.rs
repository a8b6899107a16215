//! When streams were last active, for streams that are stopped without activity (SSF §8.1.1).

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::{BelongsTo, Condition, Record, RecordFilter, RecordWrite, Records, list, mark, raw};
use crate::{
    domain::{id::StreamId, time::Timestamp},
    store::StoreError,
};

/// The mark until when all activity is recorded.
const RECORDED: &str = "activity_recorded";

/// Stands for the activity of a stream that nobody watches. Any later activity takes its place.
const UNWATCHED: Timestamp = Timestamp::from_millis(i64::MAX);

/// When one stream was last active. The record belongs to the stream.
#[derive(Serialize, Deserialize)]
struct ActivityMark {
    stream: StreamId,
    at: i64,
}

impl ActivityMark {
    fn at(&self) -> Timestamp {
        Timestamp::from_millis(self.at)
    }
}

impl Record for ActivityMark {
    const KIND: &'static str = "activity";

    fn key(&self) -> String {
        self.stream.to_string()
    }

    /// Counts a stream that nobody watches as the oldest, so that any later activity is newer.
    fn made_at(&self) -> Timestamp {
        if self.at() == UNWATCHED { Timestamp::EPOCH } else { self.at() }
    }
}

/// When streams were last active, as far as it was recorded.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ActivityRecord {
    pub last: Vec<(StreamId, Timestamp)>,
    /// All activity until then is recorded, so there was a daemon until then.
    pub recorded_at: Option<Timestamp>,
}

/// The activity of streams in a store.
#[async_trait]
pub trait ActivityStore: Records {
    /// Records when streams were last active. A stream that does not exist is ignored. Of the times
    /// that several nodes record, the latest stays. With `recorded_at`, all activity until then is
    /// recorded now.
    async fn record_activity(
        &self,
        last: Vec<(StreamId, Timestamp)>,
        recorded_at: Option<Timestamp>,
    ) -> Result<(), StoreError> {
        let write = |(stream, at): (StreamId, Timestamp)| {
            let condition = if at == UNWATCHED { Condition::Always } else { Condition::Newer };
            let belongs_to = BelongsTo::Stream(stream.clone());
            let record = raw(&ActivityMark { stream, at: at.as_millis() }, belongs_to);
            RecordWrite { record, condition, keep_youngest: None }
        };
        self.write_records(last.into_iter().map(write).collect()).await?;
        // Behind the activity, because it promises that all of that is there.
        match recorded_at {
            Some(at) => mark::set(self, RECORDED, at).await,
            None => Ok(()),
        }
    }

    /// Reads the activity of all streams.
    async fn activity(&self) -> Result<ActivityRecord, StoreError> {
        // Before the activity: what is read afterwards may be newer, and must not be older.
        let recorded_at = mark::read(self, RECORDED).await?;
        let all = list::<ActivityMark>(self, RecordFilter::OfStreams).await?;
        let last = all.into_iter().map(|one| (one.record.stream.clone(), one.record.at()));
        Ok(ActivityRecord { last: last.collect(), recorded_at })
    }
}

impl<T: Records + ?Sized> ActivityStore for T {}
