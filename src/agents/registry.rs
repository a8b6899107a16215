//! All tables of agents of a daemon.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use super::{Agents, SweepCounts};
use crate::{
    domain::{
        id::{AgentsName, ProviderName},
        time::Timestamp,
    },
    store::{
        StoreError,
        records::held_losses::{HeldLosses, HeldLossesStore as _},
    },
};

/// The tables by provider and name.
#[derive(Default)]
pub struct AgentsSet(BTreeMap<(ProviderName, AgentsName), Arc<Agents>>);

/// A table, and the losses of its devices that are held.
pub struct AgentsOverview {
    pub agents: Arc<Agents>,
    pub held: Option<HeldLosses>,
}

impl AgentsSet {
    pub fn new(tables: impl IntoIterator<Item = Arc<Agents>>) -> Self {
        let named = |agents: Arc<Agents>| {
            let name = (agents.parts.provider.name.clone(), agents.parts.name.clone());
            (name, agents)
        };
        Self(tables.into_iter().map(named).collect())
    }

    pub fn get(&self, provider: &ProviderName, name: &AgentsName) -> Option<&Arc<Agents>> {
        self.0.get(&(provider.clone(), name.clone()))
    }

    /// Looks up a table by the parts of a path. A name that no table can have finds none.
    pub fn at(&self, provider: &str, name: &str) -> Option<&Arc<Agents>> {
        self.get(&provider.parse().ok()?, &name.parse().ok()?)
    }

    /// Returns all tables, by provider and name.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Agents>> {
        self.0.values()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns all tables with the losses that are held.
    pub async fn overview(&self) -> Result<Vec<AgentsOverview>, StoreError> {
        let mut all = Vec::with_capacity(self.0.len());
        for agents in self.0.values() {
            let (provider, name) = (&agents.parts.provider.name, &agents.parts.name);
            let held = agents.services.store.held_losses(provider, name).await?;
            let held = held.map(|held| held.record).filter(|held| held.released_at.is_none());
            all.push(AgentsOverview { agents: Arc::clone(agents), held });
        }
        Ok(all)
    }

    /// Returns how often [`Self::sweep`] is to be called, or `None` if there are no tables.
    pub fn sweep_period(&self) -> Option<Duration> {
        self.0.values().map(|agents| agents.sweep_period()).min()
    }

    /// Sweeps all tables. One that fails does not keep the others from being swept.
    pub async fn sweep(&self, now: Timestamp) -> Result<SweepCounts, StoreError> {
        let (mut counts, mut failed) = (SweepCounts::default(), None);
        for agents in self.0.values() {
            match agents.sweep(now).await {
                Ok(swept) => counts.add(swept),
                Err(error) => failed = Some(error),
            }
        }
        failed.map_or(Ok(counts), Err)
    }
}
