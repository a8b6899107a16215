//! Keeps the histograms small.

use metrics_exporter_prometheus::PrometheusHandle;

use super::{Job, JobError, JobScope, JobSpec, RunCounts, Trigger};
use crate::telemetry::metrics::UPKEEP_INTERVAL;

/// Moves what histograms recorded into their buckets. Without it the records pile up until the next
/// scrape, which may never come.
pub struct MetricsUpkeep(PrometheusHandle);

impl MetricsUpkeep {
    pub fn new(handle: PrometheusHandle) -> Self {
        Self(handle)
    }
}

#[async_trait::async_trait]
impl Job for MetricsUpkeep {
    fn spec(&self) -> JobSpec {
        JobSpec {
            name: "metrics_upkeep",
            purpose: "Moves what histograms recorded into their buckets.",
            trigger: Trigger::Every(UPKEEP_INTERVAL),
            scope: JobScope::EachNode,
            operation: "metrics_upkeep",
        }
    }

    async fn run(&mut self) -> Result<RunCounts, JobError> {
        self.0.run_upkeep();
        Ok(RunCounts::default())
    }
}
