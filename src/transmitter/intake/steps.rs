//! Steps: what the store appends in one go, [`STEP_MAX`] SETs at most. Every event comes through here.

use crate::{
    domain::{reason::Reason, time::Timestamp},
    store::{Append, AppendBatch, Appended, Position, STEP_MAX, StoreError},
    telemetry::{
        metrics,
        spans::{self, SetFields},
    },
    transmitter::Transmitter,
};

impl Transmitter {
    /// Appends short events in their order, in as few steps as they fit in; the position moves with the
    /// last one.
    pub(super) async fn append_short(
        &self,
        mut events: Vec<Append>,
        position: Option<(String, Position)>,
        now: Timestamp,
    ) -> Result<Vec<Appended>, StoreError> {
        let mut appended = Vec::new();
        while let Some(end) = first_step(&events) {
            let rest = events.split_off(end);
            let step = AppendBatch { events, position: None, now };
            appended.append(&mut self.append_step(step).await?);
            events = rest;
        }
        let mut last = self.append_step(AppendBatch { events, position, now }).await?;
        if appended.is_empty() {
            return Ok(last);
        }
        appended.append(&mut last);
        Ok(appended)
    }

    /// Appends one step, wakes those who deliver it, and counts what became of it.
    pub(super) async fn append_step(&self, step: AppendBatch) -> Result<Vec<Appended>, StoreError> {
        let count = |event: &Append| (event.provider.clone(), event.sets.len(), event.step);
        let wanted: Vec<_> = step.events.iter().map(count).collect();
        let sets = step.events.iter().flat_map(|event| &event.sets);
        let spans = spans::append(sets.map(SetFields::from));
        let appended = self.store.append(step, &|streams| self.wake(streams, false)).await?;
        spans.close();
        for (one, (provider, wanted, step)) in appended.iter().zip(wanted) {
            match one {
                Appended::New(streams) => {
                    if !streams.is_empty() {
                        metrics::sets_appended(&provider, streams.len());
                    } else if step.begins() && step.ends() {
                        metrics::events_unmatched(&provider);
                    }
                    if streams.len() < wanted {
                        let disabled = wanted - streams.len();
                        metrics::events_suppressed(&provider, Reason::Disabled, disabled);
                    }
                }
                Appended::OptedOut { streams } => {
                    metrics::events_suppressed(&provider, Reason::OptedOut, *streams);
                }
                Appended::Duplicate => metrics::events_duplicate(&provider),
            }
        }
        Ok(appended)
    }
}

/// Returns how many of these events are the first step, if they are more than one.
fn first_step(events: &[Append]) -> Option<usize> {
    let sets = events.iter().scan(0, |sets, event| {
        *sets += event.sets.len();
        Some(*sets)
    });
    let end = sets.take_while(|sets| *sets <= STEP_MAX).count();
    // One event alone always fits: a short one is no more than a step.
    (end < events.len()).then_some(end.max(1))
}
