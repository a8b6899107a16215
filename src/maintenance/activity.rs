//! Keeps the activity of streams (SSF §8.1.1 `inactivity_timeout`).

use std::{sync::Arc, time::Duration};

use super::{Job, JobError, JobScope, JobSpec, RunCounts, Trigger};
use crate::{clock::Ages, transmitter::Transmitter};

/// The `operation` that both jobs count their errors under.
const OPERATION: &str = "activity";

/// Records when streams were last active. The daemon keeps the times in memory between two runs,
/// because no request should wait for a write.
pub struct RecordActivity {
    transmitter: Arc<Transmitter>,
    period: Duration,
}

/// Pauses the streams that were not active for too long.
pub struct PauseInactive {
    transmitter: Arc<Transmitter>,
    period: Duration,
    ages: Ages,
}

impl RecordActivity {
    pub fn new(transmitter: Arc<Transmitter>, period: Duration) -> Self {
        Self { transmitter, period }
    }
}

impl PauseInactive {
    pub fn new(transmitter: Arc<Transmitter>, period: Duration, ages: Ages) -> Self {
        Self { transmitter, period, ages }
    }
}

#[async_trait::async_trait]
impl Job for RecordActivity {
    fn spec(&self) -> JobSpec {
        JobSpec {
            name: "record_activity",
            purpose: "Records when streams were last active.",
            trigger: Trigger::Every(self.period),
            scope: JobScope::EachNode,
            operation: OPERATION,
        }
    }

    async fn run(&mut self) -> Result<RunCounts, JobError> {
        Ok(RunCounts::count("recorded", self.transmitter.record_activity().await?))
    }
}

#[async_trait::async_trait]
impl Job for PauseInactive {
    fn spec(&self) -> JobSpec {
        JobSpec {
            name: "pause_inactive",
            purpose: "Pauses the streams of this node whose Receivers were not active for as long \
                      as the provider's `inactivity_timeout`.",
            trigger: Trigger::Every(self.period),
            scope: JobScope::EachNode,
            operation: OPERATION,
        }
    }

    async fn run(&mut self) -> Result<RunCounts, JobError> {
        Ok(RunCounts::count("paused", self.transmitter.pause_inactive(self.ages.now()).await?))
    }
}
