//! Pauses a stream whose endpoint is at fault (SSF §8.1.2).

use crate::{actor::stream::EndpointFault, domain::stream::StreamConfig, telemetry::metrics};

use super::{RequestError, Transmitter};

impl Transmitter {
    /// Pauses the stream for which its actor asks, and returns whether it did. A stream that was
    /// changed meanwhile is left as it is, because the change may have mended the fault.
    pub async fn pause_at_fault(&self, told: &EndpointFault) -> Result<bool, RequestError> {
        let Some(stream) = self.directory.stream(&told.stream) else { return Ok(false) };
        let reason = told.fault.to_string();
        let unchanged = |now: &StreamConfig| now.version == told.version;
        let paused = self.suspend(&told.stream, &reason, unchanged).await?;
        if paused {
            metrics::stream_paused(&stream.provider, told.fault.class);
        }
        Ok(paused)
    }
}
