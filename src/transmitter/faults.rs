//! Streams whose endpoint is at fault are paused (SSF §8.1.2).

use tokio::sync::mpsc;

use crate::{
    actor::stream::EndpointFault,
    domain::stream::StreamConfig,
    telemetry::{causes::with_causes, metrics},
};

use super::{RequestError, Transmitter};

impl Transmitter {
    /// Pauses streams as their actors ask, for as long as there are any. The streams hold their SETs
    /// until they are enabled again, by their Receivers, who are told the reason, or by an operator.
    pub async fn pause_at_fault(&self, mut faults: mpsc::Receiver<EndpointFault>) {
        while let Some(told) = faults.recv().await {
            let done = self.pause_stream_at_fault(&told).await;
            if let Err(error) = &done {
                metrics::store_error("change_status");
                let (stream_id, error) = (&told.stream, with_causes(error));
                tracing::warn!(%stream_id, error, "cannot pause a stream with an endpoint at fault");
            }
            // An actor that is gone is started again from the store, as it is by then.
            told.done.send(done.is_ok()).ok();
        }
    }

    /// A stream that was changed meanwhile is left as it is: the fault may be gone.
    async fn pause_stream_at_fault(&self, told: &EndpointFault) -> Result<(), RequestError> {
        let Some(stream) = self.directory.stream(&told.stream) else { return Ok(()) };
        let reason = told.fault.to_string();
        let unchanged = |now: &StreamConfig| now.version == told.version;
        if self.suspend(&told.stream, &reason, unchanged).await? {
            metrics::stream_paused(&stream.provider, told.fault.class);
        }
        Ok(())
    }
}
