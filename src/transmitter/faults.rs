//! The Transmitter pauses a stream whose endpoint is at fault (SSF §8.1.2).

use tokio::sync::mpsc;

use crate::{
    actor::stream::EndpointFault,
    domain::status::StreamStatus,
    store::StoreError,
    telemetry::{causes::with_causes, metrics},
};

use super::Transmitter;

impl Transmitter {
    /// Pauses streams as their actors ask, for as long as there are any.
    pub async fn pause_at_fault(&self, mut faults: mpsc::Receiver<EndpointFault>) {
        while let Some(told) = faults.recv().await {
            let paused = self.pause_stream_at_fault(&told).await;
            if let Err(error) = &paused {
                metrics::store_error("update_stream");
                tracing::warn!(
                    stream_id = %told.stream,
                    error = with_causes(error),
                    "cannot pause a stream whose endpoint is at fault"
                );
            }
            // An actor that is gone is started again from the store, as it is now.
            told.done.send(paused.is_ok()).ok();
        }
    }

    /// The stream holds its SETs until its Receiver enables it again, which it can see the reason to
    /// do. One that was changed or deleted meanwhile is left as it is: the fault may be gone.
    async fn pause_stream_at_fault(&self, told: &EndpointFault) -> Result<(), StoreError> {
        let _one_at_a_time = self.changes.lock().await;
        let current = self.directory.stream(&told.stream);
        let Some(before) = current.filter(|stream| stream.version == told.version) else {
            return Ok(());
        };
        let reason = told.fault.to_string();
        let after = before.with_status(StreamStatus::Paused, Some(reason));
        self.store.update_stream(after.clone(), false).await?;
        metrics::stream_paused(&after.provider, told.fault.class);
        self.reflect(after);
        Ok(())
    }
}
