//! A Receiver reads and changes the status of a stream (SSF §8.1.2).

use std::sync::Arc;

use crate::{
    auth::Principal,
    domain::{id::StreamId, set_error::excerpt, status::StreamStatus, stream::StreamConfig},
};

use super::{RequestError, Transmitter};

impl Transmitter {
    /// Once this returns, no further attempt starts on a stream that is not enabled; one that is
    /// under way ends as it does.
    pub async fn change_status(
        &self,
        principal: &Principal,
        id: &StreamId,
        status: StreamStatus,
        reason: Option<String>,
    ) -> Result<Arc<StreamConfig>, RequestError> {
        let _one_at_a_time = self.changes.lock().await;
        let before = self.owned(principal, id)?;
        let after = before.with_status(status, reason.map(|text| excerpt(&text)));
        self.store.update_stream(after.clone(), status.discards()).await?;
        // Resuming takes no step of its own: to reflect is to wake whoever delivers.
        Ok(self.reflect(after))
    }
}
