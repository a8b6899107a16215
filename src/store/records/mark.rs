//! Times that the store keeps once, each by its name.

use serde::{Deserialize, Serialize};

use super::{BelongsTo, Condition, Record, RecordWrite, Records, get, put, raw};
use crate::{domain::time::Timestamp, store::StoreError};

#[derive(Serialize, Deserialize)]
struct Mark {
    name: String,
    at: i64,
}

impl Record for Mark {
    const KIND: &'static str = "time_marks";

    fn key(&self) -> String {
        self.name.clone()
    }

    fn made_at(&self) -> Timestamp {
        Timestamp::from_millis(self.at)
    }
}

fn mark(name: &str, at: Timestamp) -> Mark {
    Mark { name: name.to_owned(), at: at.as_millis() }
}

/// Reads a mark.
pub(super) async fn read(
    store: &(impl Records + ?Sized),
    name: &str,
) -> Result<Option<Timestamp>, StoreError> {
    Ok(get::<Mark>(store, name).await?.map(|found| found.record.made_at()))
}

/// Moves a mark on to `at`. A mark that is further on already stays.
pub(super) async fn advance(
    store: &(impl Records + ?Sized),
    name: &str,
    at: Timestamp,
) -> Result<(), StoreError> {
    let record = raw(&mark(name, at), BelongsTo::Nothing);
    let write = RecordWrite { record, condition: Condition::Newer, keep_youngest: None };
    store.write_records(vec![write]).await.map(|_| ())
}

/// Sets a mark, also to an earlier time.
pub(super) async fn set(
    store: &(impl Records + ?Sized),
    name: &str,
    at: Timestamp,
) -> Result<(), StoreError> {
    put(store, &mark(name, at)).await.map(|_| ())
}
