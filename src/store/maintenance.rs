//! Recurring work on the whole store.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use async_trait::async_trait;

use super::{Condition, StoreError, slot::SlotSet};
use crate::domain::{id::ProviderName, time::Timestamp};

/// Bounds and counts what the store holds, for the daemon's maintenance jobs.
#[async_trait]
pub trait Maintenance: Send + Sync {
    /// Returns how the store does, judged by the calls before. Makes no call and waits for nothing.
    fn condition(&self, now: Instant) -> Condition;

    /// Counts the SETs that wait, held or not, by provider.
    async fn backlog(&self) -> Result<Vec<Backlog>, StoreError>;

    /// Bounds what paused streams hold. Of each stream, events that were appended before
    /// `appended_before` become dead letters, and so do the oldest beyond the `held_max` newest, with
    /// the reason [`Reason::HoldLimit`]. Returns how many, by provider.
    ///
    /// [`Reason::HoldLimit`]: crate::domain::reason::Reason::HoldLimit
    async fn limit_held(
        &self,
        held_max: usize,
        appended_before: Timestamp,
        now: Timestamp,
    ) -> Result<Vec<(ProviderName, usize)>, StoreError>;

    /// Gives up the SETs of poll streams that were appended before `appended_before` and are not settled.
    /// They become dead letters with the reason [`Reason::Expired`]. Announcements stay, because there is
    /// at most one of each stream. Returns how many were given up, by provider.
    ///
    /// [`Reason::Expired`]: crate::domain::reason::Reason::Expired
    async fn give_up_polled(
        &self,
        appended_before: Timestamp,
        now: Timestamp,
    ) -> Result<Vec<(ProviderName, usize)>, StoreError>;

    /// Removes settled SETs, ids and records of events that are old enough, a bounded number in one
    /// call. Returns `true` if there are more. SETs that wait do not expire.
    async fn expire(&self, expiry: Expiry) -> Result<bool, StoreError>;

    /// Removes entries of subject lists that no longer hold, a bounded number in one call. Returns
    /// `true` if there are more.
    async fn expire_lists(&self, now: Timestamp) -> Result<bool, StoreError>;

    /// Makes due at `now` the SETs of these slots that wait for a time after `beyond`. A SET that was
    /// never tried counts as waiting for the time of its append. Returns how many SETs there were. If
    /// there are none, the cost is that of looking through an index of what waits.
    async fn forget_waits(
        &self,
        now: Timestamp,
        beyond: Timestamp,
        slots: SlotSet,
    ) -> Result<usize, StoreError>;
}

/// The SETs that wait for the Receivers of one provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backlog {
    pub provider: ProviderName,
    pub sets: u64,
    pub oldest: Option<Timestamp>,
}

/// The ages at which settled SETs, ids and records of events are removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expiry {
    /// SETs that were settled before this time are removed.
    pub settled_before: Timestamp,
    /// Providers whose SETs have another time.
    pub settled_before_of: BTreeMap<ProviderName, Timestamp>,
    /// A publisher's id that is older than this may be used again.
    pub ids_before: Timestamp,
    /// A publisher's id that is older than this no longer leads to its event, and is removed.
    pub ids_lead_nowhere_before: Timestamp,
    /// How much longer than SETs the records of events stay. An event is older than the SETs of it
    /// that were settled late.
    pub records_stay: Duration,
}

impl Expiry {
    /// Returns an expiry that is the same for all providers.
    pub fn of_all(settled_before: Timestamp, ids_before: Timestamp) -> Self {
        let (settled_before_of, records_stay) = (BTreeMap::new(), Duration::ZERO);
        let ids_lead_nowhere_before = ids_before.min(settled_before);
        Self {
            settled_before,
            settled_before_of,
            ids_before,
            ids_lead_nowhere_before,
            records_stay,
        }
    }

    pub(super) fn settled_before(&self, provider: &str) -> Timestamp {
        let own = self.settled_before_of.iter().find(|(name, _)| name.as_str() == provider);
        own.map_or(self.settled_before, |(_, at)| *at)
    }

    pub(super) fn recorded_before(&self, provider: &str) -> Timestamp {
        self.settled_before(provider) - self.records_stay
    }
}
