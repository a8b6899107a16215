//! When Receivers last accepted a push, for providers that ask for the activity of their streams.

use std::{
    collections::{HashMap, HashSet},
    mem,
    sync::{Arc, Mutex, PoisonError},
};

use crate::domain::{
    id::{ProviderName, StreamId},
    provider::Provider,
    time::Timestamp,
};

/// The last accepted push of each stream since the last call of `take`. Couriers only note it here,
/// because no push should wait for a write.
#[derive(Debug)]
pub struct AcceptedPushes {
    asked_by: HashSet<ProviderName>,
    last: Mutex<HashMap<StreamId, Timestamp>>,
}

impl AcceptedPushes {
    pub fn new<'a>(providers: impl Iterator<Item = &'a Arc<Provider>>) -> Self {
        let asks = providers.filter(|provider| provider.inactivity_timeout.is_some());
        Self {
            asked_by: asks.map(|provider| provider.name.clone()).collect(),
            last: Mutex::default(),
        }
    }

    pub(super) fn note(&self, provider: &ProviderName, id: &StreamId, now: Timestamp) {
        if !self.asked_by.contains(provider) {
            return;
        }
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        match last.get_mut(id) {
            Some(at) => *at = now,
            None => _ = last.insert(id.clone(), now),
        }
    }

    pub(super) fn take(&self) -> HashMap<StreamId, Timestamp> {
        mem::take(&mut *self.last.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
