//! Records the last uses of credentials.

use std::time::Duration;

use super::{Job, JobError, JobScope, JobSpec, RunCounts, Trigger};
use crate::{auth::Authenticator, clock};

/// The time that a use is only in memory. One write records all credentials used in it.
const PERIOD: Duration = Duration::from_secs(10);

/// Records when credentials were last used. Requests only note it in memory, because they must not
/// wait for a write.
pub struct RecordLastUses {
    authenticator: Authenticator,
}

impl RecordLastUses {
    pub fn new(authenticator: Authenticator) -> Self {
        Self { authenticator }
    }
}

#[async_trait::async_trait]
impl Job for RecordLastUses {
    fn spec(&self) -> JobSpec {
        JobSpec {
            name: "record_last_uses",
            purpose: "Records when tokens and clients were last used.",
            trigger: Trigger::Every(PERIOD),
            scope: JobScope::EachNode,
            operation: "last_uses",
        }
    }

    async fn run(&mut self) -> Result<RunCounts, JobError> {
        let recorded = self.authenticator.record_last_uses(clock::now()).await?;
        Ok(RunCounts::count("recorded", recorded))
    }
}
