//! The sweep: publishes what a crash left pending, and judges the devices that have not checked in.
//!
//! One node sweeps for all ([`crate::domain::posture::LossPolicy`] says what keeps our own trouble from
//! being taken for the devices'). Two nodes that sweep at the same time do no harm, because each device is
//! written over the version that was read.

use std::time::{Duration, Instant};

use futures_util::{StreamExt as _, stream};

use super::Agents;
use crate::{
    clock,
    domain::{
        posture::{Admission, Device, DeviceKey, LossCounts, Status},
        time::Timestamp,
    },
    store::{
        StoreError,
        records::{
            Versioned,
            device::{DeviceStore as _, DevicesOf},
            held_losses::{HeldLosses, HeldLossesStore as _},
        },
    },
    telemetry::metrics,
};

/// The shortest and the longest time between two sweeps.
const PERIOD_MIN: Duration = Duration::from_millis(250);
const PERIOD_MAX: Duration = Duration::from_mins(1);
/// How many sweeps fit into an interval of check-ins, so that a loss is noticed soon.
const PER_INTERVAL: u32 = 4;
/// How much longer than its period a sweep may take to come before that counts as a break, in which no
/// device may have been heard.
const BREAK_MIN: Duration = Duration::from_secs(30);
/// How many devices are read in one call.
const PAGE: usize = 500;
/// How many devices are handled at a time.
const AT_ONCE: usize = 16;

/// Since when this node has swept without a break, so that every device could be heard.
#[derive(Debug, Default)]
pub(super) struct Listening {
    since: Option<Instant>,
    /// When the last sweep began that did not fail.
    last: Option<Instant>,
}

impl Listening {
    /// Notes that a sweep begins. Returns for how long there was no break.
    fn begin(&mut self, now: Instant, break_min: Duration) -> Duration {
        let last = self.last.take();
        let is_break = last.is_none_or(|last| break_min <= now.saturating_duration_since(last));
        if is_break {
            self.since = Some(now);
        }
        self.since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
    }

    /// Notes that the sweep that began then did not fail. After one that failed, the wait begins anew:
    /// where we could not read the store, devices could not check in either.
    fn succeed(&mut self, began: Instant) {
        self.last = Some(began);
    }
}

/// The results of a sweep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SweepCounts {
    /// Devices that are not revoked.
    pub devices: usize,
    /// Devices whose pending change was published.
    pub published: usize,
    /// Devices that were judged lost.
    pub lost: usize,
    /// Overdue devices that wait for an operator.
    pub held: usize,
}

impl SweepCounts {
    pub(super) fn add(&mut self, other: Self) {
        self.devices += other.devices;
        self.published += other.published;
        self.lost += other.lost;
        self.held += other.held;
    }
}

/// The facts that a sweep gathers about all devices of a table.
#[derive(Default)]
struct Gathered {
    pending: Vec<Versioned<Device>>,
    overdue: Vec<(DeviceKey, Timestamp)>,
    /// When devices were judged lost that are still lost.
    lost_at: Vec<Timestamp>,
    known: usize,
    by_status: [usize; Status::ALL.len()],
    quarantined: usize,
    revoked: usize,
}

impl Agents {
    pub(super) fn sweep_period(&self) -> Duration {
        (self.parts.config.losses.interval / PER_INTERVAL).clamp(PERIOD_MIN, PERIOD_MAX)
    }

    /// Sweeps the devices of the table. `now` is the time by which ages are judged.
    pub(super) async fn sweep(&self, now: Timestamp) -> Result<SweepCounts, StoreError> {
        let mut listening = self.listening.lock().await;
        let began = clock::instant();
        let for_long = listening.begin(began, self.sweep_period() + BREAK_MIN);
        let counts = self.sweep_once(now, for_long).await?;
        listening.succeed(began);
        Ok(counts)
    }

    async fn sweep_once(
        &self,
        now: Timestamp,
        listened: Duration,
    ) -> Result<SweepCounts, StoreError> {
        let gathered = self.gather(now).await?;
        self.tell_devices(&gathered);
        let registered: usize = gathered.by_status.iter().sum();
        let mut counts =
            SweepCounts { devices: registered + gathered.quarantined, ..SweepCounts::default() };
        let publish = |device| async { self.publish_pending(device).await.map(drop) };
        counts.published = handle(gathered.pending, publish).await?;
        if !self.parts.config.losses.has_listened(listened) {
            return Ok(counts);
        }
        let Gathered { overdue, lost_at, known, .. } = gathered;
        (counts.lost, counts.held) = self.judge_losses(overdue, &lost_at, known, now).await?;
        Ok(counts)
    }

    async fn gather(&self, now: Timestamp) -> Result<Gathered, StoreError> {
        let of = DevicesOf {
            provider: Some(self.parts.provider.name.clone()),
            agents: Some(self.parts.name.clone()),
        };
        let (mut gathered, mut after) = (Gathered::default(), None);
        loop {
            let (devices, next) = self.services.store.devices(&of, after, PAGE).await?;
            for device in devices {
                self.note(&mut gathered, device, now);
            }
            after = next;
            if after.is_none() {
                return Ok(gathered);
            }
        }
    }

    fn note(&self, gathered: &mut Gathered, device: Versioned<Device>, now: Timestamp) {
        let standing = &device.record.standing;
        let is_registered = match device.record.admission {
            Admission::Registered => true,
            Admission::Quarantined => false,
            Admission::Revoked { .. } => {
                gathered.revoked += 1;
                return;
            }
        };
        if is_registered {
            let place = Status::ALL.iter().position(|status| *status == standing.status);
            gathered.by_status[place.expect("all are listed")] += 1;
        } else {
            gathered.quarantined += 1;
        }
        if let Some(last_check_in) = standing.last_check_in {
            gathered.known += usize::from(is_registered);
            match standing.lost_at {
                Some(lost_at) if is_registered => gathered.lost_at.push(lost_at),
                None if self.parts.config.losses.is_overdue(last_check_in, now) => {
                    let deadline = self.parts.config.losses.deadline(last_check_in);
                    gathered.overdue.push((device.record.key.clone(), deadline));
                }
                _ => {}
            }
        }
        if device.record.pending.is_some() {
            gathered.pending.push(device);
        }
    }

    fn tell_devices(&self, gathered: &Gathered) {
        let (provider, agents) = (&self.parts.provider.name, self.parts.name.as_str());
        for (status, devices) in Status::ALL.iter().zip(gathered.by_status) {
            metrics::devices(provider, agents, status.as_str(), devices);
        }
        metrics::devices(provider, agents, "quarantined", gathered.quarantined);
        metrics::devices(provider, agents, "revoked", gathered.revoked);
    }

    /// Judges the overdue devices, unless they are too many. Returns how many were judged lost, and how
    /// many wait for an operator.
    async fn judge_losses(
        &self,
        overdue: Vec<(DeviceKey, Timestamp)>,
        lost_at: &[Timestamp],
        known: usize,
        now: Timestamp,
    ) -> Result<(usize, usize), StoreError> {
        let (store, policy) = (&self.services.store, self.parts.config.losses);
        let (provider, agents) = (&self.parts.provider.name, &self.parts.name);
        let held = store.held_losses(provider, agents).await?;
        let released_at =
            held.as_ref().and_then(|held| held.record.released_at).map(Timestamp::from_millis);
        let is_released = |deadline: &Timestamp| released_at.is_some_and(|at| *deadline <= at);
        let (released, fresh): (Vec<_>, Vec<_>) =
            overdue.into_iter().partition(|(_, deadline)| is_released(deadline));
        let mut lost = 0;
        if let Some(at) = released_at {
            // The operator has decided then, and these losses count no more for those that follow.
            lost += self.lose(released, at).await?;
        }
        let counts_since = (now - policy.within).max(released_at.unwrap_or(Timestamp::EPOCH));
        let lost_lately = lost_at.iter().filter(|at| counts_since < **at).count();
        let counts = LossCounts { known, lost_lately, overdue: fresh.len() };
        let waits = held.as_ref().is_some_and(|held| held.record.released_at.is_none());
        if fresh.is_empty() || (policy.admits(counts) && !waits) {
            let is_over = released_at.is_none_or(|at| at + policy.within <= now);
            if let Some(held) = held.filter(|_| is_over) {
                store.end_held_losses(&held).await?;
            }
            self.tell_held(0);
            return Ok((lost + self.lose(fresh, now).await?, 0));
        }
        if !waits {
            if let Some(released) = held {
                store.end_held_losses(&released).await?;
            }
            let losses = HeldLosses {
                provider: provider.clone(),
                agents: agents.clone(),
                held_at: now.as_millis(),
                devices: fresh.len(),
                released_at: None,
            };
            store.hold_losses(&losses).await?;
            tracing::error!(
                agents = self.label(),
                devices = fresh.len(),
                known,
                "too many devices have not checked in, and none of them is judged until an operator says \
                 that they are lost (`ssfd devices release-losses`), or they are back"
            );
        }
        self.tell_held(fresh.len());
        Ok((lost, fresh.len()))
    }

    async fn lose(
        &self,
        devices: Vec<(DeviceKey, Timestamp)>,
        at: Timestamp,
    ) -> Result<usize, StoreError> {
        let (losses, store) = (self.parts.config.losses, &self.services.store);
        let lose = |(key, _)| async move {
            let Some(device) = store.device(&key).await? else { return Ok(()) };
            let device = self.publish_pending(device).await?;
            let last_check_in = device.record.standing.last_check_in;
            // The device may have checked in meanwhile.
            if last_check_in.is_none_or(|last| !losses.is_overdue(last, at)) {
                return Ok(());
            }
            let Some((standing, change)) = device.record.standing.lost(at) else { return Ok(()) };
            let pending = change.filter(|_| device.record.admission == Admission::Registered);
            let next = Device { standing, pending, ..device.record };
            let written = store.replace_device(&next, device.version, Self::written_by()).await;
            match written {
                Ok(version) => {
                    self.publish_soon(Versioned { version, record: next }).await;
                    Ok(())
                }
                Err(StoreError::Conflict) => Ok(()),
                Err(error) => Err(error),
            }
        };
        handle(devices, lose).await
    }

    /// Tells operators how many losses are held.
    fn tell_held(&self, devices: usize) {
        let (provider, agents) = (&self.parts.provider.name, self.parts.name.as_str());
        metrics::agent_losses_held(provider, agents, devices);
        let (part, label) = (format!("agents {}", self.label()), self.label());
        if devices == 0 {
            self.services.readiness.calm(&part);
        } else {
            let text = format!(
                "{devices} devices of the agents {label} have not checked in, too many at a time to be \
                 judged; look at them with `ssfd devices list --overdue`, and say that they are lost with \
                 `ssfd devices release-losses`"
            );
            self.services.readiness.warn(&part, text);
        }
    }
}

/// Handles devices, a few at a time. Returns how many there were, or the last error after all of them.
async fn handle<T, F>(devices: Vec<T>, one: impl FnMut(T) -> F) -> Result<usize, StoreError>
where
    F: Future<Output = Result<(), StoreError>>,
{
    let count = devices.len();
    let results = stream::iter(devices).map(one).buffer_unordered(AT_ONCE);
    let failed = results.fold(None, |failed, result| async { result.err().or(failed) }).await;
    failed.map_or(Ok(count), Err)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_break_begins_the_wait_anew() {
        let start = clock::instant();
        let at = |secs| start + Duration::from_secs(secs);
        let mut listening = Listening::default();
        let mut sweep = |secs: u64, succeeds: bool| {
            let for_long = listening.begin(at(secs), Duration::from_secs(40));
            if succeeds {
                listening.succeed(at(secs));
            }
            for_long.as_secs()
        };
        assert_eq!(sweep(100, true), 0, "a start");
        assert_eq!(sweep(110, true), 10);
        assert_eq!(sweep(120, false), 20);
        assert_eq!(sweep(130, true), 0, "the store could not be read");
        assert_eq!(sweep(169, true), 39);
        assert_eq!(sweep(209, true), 0, "the process was suspended, or another node swept");
    }
}
