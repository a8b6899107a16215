//! Ends the long polls whose tokens were revoked.

use std::{sync::Arc, time::Duration};

use super::{Job, JobError, JobScope, JobSpec, RunCounts, Trigger};
use crate::{auth::Authenticator, transmitter::Transmitter};

/// The longest time for which a long poll goes on whose token was revoked, but for the look-up itself.
const PERIOD: Duration = Duration::from_millis(500);

/// Has the long polls that wait judge their tokens again once a token of this daemon may have been
/// revoked. Tokens are revoked by the command line, in a process of its own, and clients get new tokens in
/// place of old ones on any node. The store tells of either, so it is asked for one number now and then,
/// while a poll waits.
pub struct EndRevokedPolls {
    authenticator: Authenticator,
    transmitter: Arc<Transmitter>,
    /// The state of the tokens when it was last looked at.
    seen: Option<u64>,
}

impl EndRevokedPolls {
    pub fn new(authenticator: Authenticator, transmitter: Arc<Transmitter>) -> Self {
        Self { authenticator, transmitter, seen: None }
    }
}

#[async_trait::async_trait]
impl Job for EndRevokedPolls {
    fn spec(&self) -> JobSpec {
        JobSpec {
            name: "end_revoked_polls",
            purpose: "Ends long polls whose tokens were revoked.",
            trigger: Trigger::Every(PERIOD),
            scope: JobScope::EachNode,
            operation: "end_revoked_polls",
        }
    }

    async fn run(&mut self) -> Result<RunCounts, JobError> {
        let waiting = self.transmitter.long_polls();
        if waiting == 0 {
            return Ok(RunCounts::count("judged", 0));
        }
        let state = Some(self.authenticator.own_tokens_state().await?);
        let changed = self.seen != state;
        if changed {
            self.transmitter.judge_long_polls();
        }
        self.seen = state;
        Ok(RunCounts::count("judged", if changed { waiting } else { 0 }))
    }
}
