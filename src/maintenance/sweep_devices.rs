//! Judges the devices that have not checked in, and publishes the changes that are pending.

use std::{sync::Arc, time::Duration};

use super::{Job, JobError, JobScope, JobSpec, RunCounts, Trigger};
use crate::{agents::AgentsSet, clock::Ages};

/// Sweeps the devices of all agents.
pub struct SweepDevices {
    agents: Arc<AgentsSet>,
    period: Duration,
    ages: Ages,
}

impl SweepDevices {
    pub fn new(agents: Arc<AgentsSet>, period: Duration, ages: Ages) -> Self {
        Self { agents, period, ages }
    }
}

#[async_trait::async_trait]
impl Job for SweepDevices {
    fn spec(&self) -> JobSpec {
        JobSpec {
            name: "sweep_devices",
            purpose: "Judges the devices that have not checked in for too long, and publishes the changes \
                      of devices that are pending.",
            trigger: Trigger::Every(self.period),
            scope: JobScope::OneNode,
            operation: "agents",
        }
    }

    async fn run(&mut self) -> Result<RunCounts, JobError> {
        let swept = self.agents.sweep(self.ages.now()).await?;
        Ok(RunCounts::count("devices", swept.devices)
            .and("published", swept.published)
            .and("lost", swept.lost)
            .and("held", swept.held))
    }
}
