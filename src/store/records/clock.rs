//! The latest time that any node has seen. A clock that is behind it was set back.

use async_trait::async_trait;

use super::{Records, mark};
use crate::{domain::time::Timestamp, store::StoreError};

const CLOCK: &str = "clock";

/// The clock mark in a store.
#[async_trait]
pub trait ClockStore: Records {
    async fn clock_mark(&self) -> Result<Option<Timestamp>, StoreError> {
        mark::read(self, CLOCK).await
    }

    /// Moves the mark on to `now`. A mark that is further on already stays.
    async fn advance_clock_mark(&self, now: Timestamp) -> Result<(), StoreError> {
        mark::advance(self, CLOCK, now).await
    }

    /// Sets the mark back, once nothing waits for the times of the old clock any more.
    async fn reset_clock_mark(&self, now: Timestamp) -> Result<(), StoreError> {
        mark::set(self, CLOCK, now).await
    }
}

impl<T: Records + ?Sized> ClockStore for T {}
