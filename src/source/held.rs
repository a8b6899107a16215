//! Events beyond the cap of a minute: they are kept until an operator releases or discards them.
//!
//! The records in the store are the truth. [`HeldBook`] is their number and their subjects in memory, so
//! that a later event about a subject of which an event is held is held behind it. It is read again every
//! [`REFRESH_INTERVAL`] while events come, because another node may have changed the records.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::future::try_join_all;

use super::{Source, SourceError, hash, prepare::Emitted};
use crate::{
    clock,
    delivery::lane::Lane,
    domain::{set::Origin, subject::SubjectId, time::Timestamp},
    store::{
        Appended, StoreError,
        records::held_event::{HeldEvent, HeldEventStore as _},
    },
    telemetry::metrics,
    transmitter::intake::Incoming,
};

/// How often the held events are read again while events come.
const REFRESH_INTERVAL: Duration = Duration::from_secs(15);
/// How many held events are released in one step.
const RELEASED_AT_ONCE: usize = 200;

/// The held events of a source, as far as decisions need them.
#[derive(Debug, Default)]
pub(super) struct HeldBook {
    read_at: Option<Instant>,
    lanes: HashMap<i64, usize>,
    count: usize,
    /// Whether operators were told that events are held.
    told: bool,
}

impl HeldBook {
    pub(super) fn has_lane(&self, lane: i64) -> bool {
        self.lanes.contains_key(&lane)
    }

    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// Notes an event that is about to be held.
    pub(super) fn reserve(&mut self, lane: i64) {
        *self.lanes.entry(lane).or_default() += 1;
        self.count += 1;
    }

    /// Notes that an event is held no more.
    pub(super) fn release(&mut self, lane: i64) {
        if let Some(events) = self.lanes.get_mut(&lane) {
            *events -= 1;
            if *events == 0 {
                self.lanes.remove(&lane);
            }
            self.count = self.count.saturating_sub(1);
        }
    }
}

/// The treatment of held events by an operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeldAction {
    /// Publishes them, whatever the cap says.
    Release,
    /// Removes them.
    Discard,
}

fn lane(event: &HeldEvent) -> Option<i64> {
    let subject = SubjectId::try_from(event.event.get("sub_id")?.clone()).ok()?;
    Some(Lane::of(&subject).as_i64())
}

impl Source {
    /// Reads the held events again, if that was long ago.
    pub(super) async fn refresh_held(&self, now: Timestamp) -> Result<(), StoreError> {
        let instant = clock::instant();
        let is_new = |at: Instant| instant.saturating_duration_since(at) < REFRESH_INTERVAL;
        if self.held().read_at.is_some_and(is_new) {
            return Ok(());
        }
        self.read_held(now).await.map(drop)
    }

    /// Reads the held events from the store into the book.
    async fn read_held(&self, now: Timestamp) -> Result<Vec<HeldEvent>, StoreError> {
        let at = clock::instant();
        let all = self.held_events(now).await?;
        let mut lanes: HashMap<i64, usize> = HashMap::new();
        for lane in all.iter().filter_map(lane) {
            *lanes.entry(lane).or_default() += 1;
        }
        {
            let mut held = self.held();
            (held.read_at, held.count, held.lanes) = (Some(at), all.len(), lanes);
        }
        self.tell_held();
        Ok(all)
    }

    /// Reads the held events again before the next decision, because it is not known which were stored.
    pub(super) fn doubt_held(&self) {
        self.held().read_at = None;
    }

    /// Returns the events that are held, in the order in which they came.
    pub async fn held_events(&self, now: Timestamp) -> Result<Vec<HeldEvent>, StoreError> {
        let (provider, source) = (&self.parts.provider.name, &self.parts.name);
        self.services.store.held_events(provider, source, now).await
    }

    /// Makes events that are to be held durable.
    pub(super) async fn hold(
        &self,
        events: Vec<Emitted>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        if events.is_empty() {
            return Ok(());
        }
        let expires_at = now + self.parts.bounds.held_retention;
        let records = events.into_iter().map(|emitted| HeldEvent {
            provider: self.parts.provider.name.clone(),
            source: self.parts.name.clone(),
            id: hash(emitted.id()),
            held_at: now.as_millis(),
            place: emitted.place,
            expires_at: expires_at.as_millis(),
            rule: Some(emitted.rule),
            event: emitted.json,
        });
        let records: Vec<_> = records.collect();
        let new = self.services.store.hold(&records).await?;
        if new < records.len() {
            // Some of them were held already, so the book counts them twice.
            self.doubt_held();
        }
        self.tell_held();
        Ok(())
    }

    /// Tells operators when events begin to be held, and when none is held any more.
    fn tell_held(&self) {
        let (count, changes) = {
            let mut held = self.held();
            let (count, changes) = (held.count, (held.count != 0) != held.told);
            held.told = held.count != 0;
            (count, changes)
        };
        metrics::source_held(&self.parts.provider.name, self.parts.name.as_str(), count);
        let source = self.label();
        if count != 0 {
            let text = format!(
                "the source {source} holds {count} events beyond `events_per_minute_max`; look at them \
                 with `ssfd sources held`"
            );
            self.services.readiness.warn(&format!("source {source}"), text);
        } else {
            self.services.readiness.calm(&format!("source {source}"));
        }
        if changes && count != 0 {
            tracing::error!(
                source,
                count,
                "a source gave more events than `events_per_minute_max`, and further ones are held; if its \
                 secret may be known to others, change it and discard them, otherwise release them \
                 (`ssfd sources held`)"
            );
        } else if changes {
            tracing::info!(source, "no event of the source is held any more");
        }
    }

    /// Releases or discards held events: those with the given ids, or all. Returns how many, and how many
    /// are left.
    pub async fn operate_held(
        self: &Arc<Self>,
        action: HeldAction,
        ids: Option<&[String]>,
        now: Timestamp,
    ) -> Result<(usize, usize), SourceError> {
        let _alone = self.operating.lock().await;
        let mut chosen = self.read_held(now).await?;
        if let Some(ids) = ids {
            chosen.retain(|event| ids.contains(&event.id));
        }
        let mut done = 0;
        for some in chosen.chunks(RELEASED_AT_ONCE) {
            if action == HeldAction::Release {
                self.publish_held(some).await?;
            }
            // Together, so that they share a commit.
            try_join_all(some.iter().map(|event| self.services.store.drop_held(event))).await?;
            done += some.len();
        }
        let left = self.read_held(now).await?.len();
        tracing::info!(source = self.label(), ?action, done, left, "held events were handled");
        Ok((done, left))
    }

    async fn publish_held(self: &Arc<Self>, events: &[HeldEvent]) -> Result<(), SourceError> {
        let mut incoming = Vec::with_capacity(events.len());
        for event in events {
            match self.admit(&event.event) {
                Ok(admitted) => incoming.push(Incoming {
                    event: admitted,
                    origin: Origin::drawn(clock::random_uuid(), clock::now()),
                    id_kept_longer: self.id_kept_longer(),
                }),
                // The configuration may have changed since.
                Err(why) => {
                    let source = self.label();
                    tracing::warn!(
                        source,
                        id = event.id,
                        why,
                        "a held event is no valid one any more"
                    );
                }
            }
        }
        let published = self.services.transmitter.publish(&self.parts.provider, incoming).await?;
        let accepted = published.iter().filter(|one| !matches!(one, Appended::Duplicate)).count();
        self.count_record("released", accepted);
        Ok(())
    }
}
