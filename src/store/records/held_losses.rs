//! Losses of devices that wait for an operator, because too many devices are lost.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::{Record, RecordName, Records, Versioned, create, get, replace};
use crate::{
    domain::{
        id::{AgentsName, ProviderName},
        time::Timestamp,
    },
    store::StoreError,
};

/// The losses of one table of agents that are held. Times are in milliseconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldLosses {
    pub provider: ProviderName,
    pub agents: AgentsName,
    pub held_at: i64,
    /// How many devices were overdue then.
    pub devices: usize,
    /// When an operator said that the devices are lost. Those that were overdue then are judged, however
    /// many they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub released_at: Option<i64>,
}

impl Record for HeldLosses {
    const KIND: &'static str = "held_losses";

    fn key(&self) -> String {
        key(&self.provider, &self.agents)
    }

    fn made_at(&self) -> Timestamp {
        Timestamp::from_millis(self.held_at)
    }
}

fn key(provider: &ProviderName, agents: &AgentsName) -> String {
    format!("{provider}/{agents}")
}

/// The held losses in a store.
#[async_trait]
pub trait HeldLossesStore: Records {
    async fn held_losses(
        &self,
        provider: &ProviderName,
        agents: &AgentsName,
    ) -> Result<Option<Versioned<HeldLosses>>, StoreError> {
        get::<HeldLosses>(self, &key(provider, agents)).await
    }

    /// Begins to hold losses. Those that are held already stay as they are.
    async fn hold_losses(&self, held: &HeldLosses) -> Result<(), StoreError> {
        match create(self, held).await {
            Ok(_) | Err(StoreError::Conflict) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Notes that an operator released the losses. Returns [`StoreError::Conflict`] if they changed since.
    async fn release_losses(
        &self,
        held: &Versioned<HeldLosses>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let released = HeldLosses { released_at: Some(now.as_millis()), ..held.record.clone() };
        replace(self, &released, held.version).await.map(|_| ())
    }

    /// Ends the hold, if it has not changed since it was read.
    async fn end_held_losses(&self, held: &Versioned<HeldLosses>) -> Result<(), StoreError> {
        let name = RecordName::new(HeldLosses::KIND, &held.record.key());
        match self.delete_record(name, Some(held.version)).await {
            Ok(_) | Err(StoreError::Conflict) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

impl<T: Records + ?Sized> HeldLossesStore for T {}
