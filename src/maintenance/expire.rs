//! Removes what is old enough.

use std::{sync::Arc, time::Duration};

use super::{Job, JobError, JobScope, JobSpec, RunCounts, Trigger};
use crate::{
    clock::Ages,
    domain::time::Timestamp,
    store::{Expiry, Maintenance, Records},
};

/// Removes settled SETs, publishers' ids, expired records such as tokens, and the remains of deleted
/// streams and lists at the
/// end of their retention.
pub struct Expire {
    store: Arc<dyn Maintenance>,
    records: Arc<dyn Records>,
    retention: Box<dyn Fn(Timestamp) -> Expiry + Send + Sync>,
    period: Duration,
    ages: Ages,
}

impl Expire {
    /// `retention` says what is old enough at a given time.
    pub fn new(
        store: Arc<dyn Maintenance>,
        records: Arc<dyn Records>,
        retention: impl Fn(Timestamp) -> Expiry + Send + Sync + 'static,
        period: Duration,
        ages: Ages,
    ) -> Self {
        Self { store, records, retention: Box::new(retention), period, ages }
    }
}

#[async_trait::async_trait]
impl Job for Expire {
    fn spec(&self) -> JobSpec {
        JobSpec {
            name: "expire",
            purpose: "Removes settled SETs, publishers' ids and tokens at the end of their \
                      retention.",
            trigger: Trigger::Every(self.period),
            scope: JobScope::OneNode,
            operation: "expire",
        }
    }

    async fn run(&mut self) -> Result<RunCounts, JobError> {
        let now = self.ages.now();
        let expiry = (self.retention)(now);
        let mut steps = 0;
        loop {
            // Each step removes a bounded number, so that other calls of the store come between.
            let lists = self.store.expire_lists(now).await?;
            let records = self.records.expire_records(now).await?;
            let settled = self.store.expire(expiry.clone()).await?;
            steps += 1;
            if !(lists || records || settled) {
                return Ok(RunCounts::count("steps", steps));
            }
        }
    }
}
