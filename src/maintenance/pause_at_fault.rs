//! Pauses streams whose endpoint is at fault (SSF §8.1.2).

use std::sync::Arc;

use tokio::sync::mpsc;

use super::{Job, JobError, JobScope, JobSpec, RunCounts, Trigger};
use crate::{
    actor::stream::EndpointFault,
    domain::id::StreamId,
    transmitter::{RequestError, Transmitter},
};

/// Pauses a stream whenever its actor asks for it. Actors ask through a channel, because they lie
/// below the use cases. The stream holds its SETs until its Receiver, who is told the reason, or an
/// operator enables it again.
pub struct PauseAtFault {
    transmitter: Arc<Transmitter>,
    faults: mpsc::Receiver<EndpointFault>,
    /// The request that was received last and is not answered.
    asked: Option<EndpointFault>,
}

impl PauseAtFault {
    pub fn new(transmitter: Arc<Transmitter>, faults: mpsc::Receiver<EndpointFault>) -> Self {
        Self { transmitter, faults, asked: None }
    }
}

/// A stream that could not be paused.
#[derive(Debug, thiserror::Error)]
#[error("stream {stream}")]
struct NotPaused {
    stream: StreamId,
    source: RequestError,
}

#[async_trait::async_trait]
impl Job for PauseAtFault {
    fn spec(&self) -> JobSpec {
        JobSpec {
            name: "pause_at_fault",
            purpose: "Pauses a stream whose endpoint is at fault.",
            trigger: Trigger::Request,
            scope: JobScope::EachNode,
            operation: "change_status",
        }
    }

    async fn ready(&mut self) {
        match self.faults.recv().await {
            Some(fault) => self.asked = Some(fault),
            // There are no actors any more, so nobody will ask.
            None => std::future::pending().await,
        }
    }

    async fn run(&mut self) -> Result<RunCounts, JobError> {
        let Some(fault) = self.asked.take() else { return Ok(RunCounts::default()) };
        let result = self.transmitter.pause_at_fault(&fault).await;
        // An actor that is gone is started again from the store, with the stream as it is by then.
        fault.done.send(result.is_ok()).ok();
        let paused = result.map_err(|source| NotPaused { stream: fault.stream, source })?;
        Ok(RunCounts::count("paused", paused.into()))
    }
}
