//! What other nodes did is taken in.

use crate::{cluster::news::News, domain::id::StreamId, store::StoreError};

use super::Transmitter;

impl Transmitter {
    /// Takes in what another node told. After an error it is to be taken in again.
    pub async fn hear(&self, news: &News) -> Result<(), StoreError> {
        for id in &news.changed {
            let _one_at_a_time = self.changes.lock().await;
            self.refresh(id).await?;
        }
        for id in &news.narrowed {
            self.directory.subject_removed(id);
            self.wake_here(std::slice::from_ref(id), false);
        }
        for control in [true, false] {
            let woken = news.woken.iter().filter(|(_, of)| **of == control);
            let woken: Vec<StreamId> = woken.map(|(id, _)| id.clone()).collect();
            self.wake_here(&woken, control);
        }
        if news.more_woken {
            self.waiters.wake_all();
            self.registry.sweep().await?;
        }
        Ok(())
    }
}
