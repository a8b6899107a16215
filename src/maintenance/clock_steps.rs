//! Keeps SETs from waiting too long after the clock was set back.
//!
//! A SET that waits for its retry, or for its redelivery by poll, waits for a time of the clock. If the
//! clock is set back by an hour, the SET would wait an hour longer. [`ClockGuard`] makes such SETs due:
//!
//! | the clock was set back | noticed by |
//! |---|---|
//! | while the daemon runs | [`ClockSteps`], which compares the clock with a steady one at each sweep |
//! | while no daemon ran, or just before it was killed | the clock mark in the store, the latest time that any node has seen |
//! | unseen by everybody | a bound: no SET waits for a time that is further ahead than any wait can be |

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    domain::time::Timestamp,
    store::{ClockStore as _, Maintenance, Records, StoreError, slot::SlotSet},
};

/// How far the clock may go back without being noticed. A wait that is longer by as much does no harm.
const TOLERATED: Duration = Duration::from_secs(1);

/// How long after a step results may still be recorded that were reckoned by the old clock: attempts and
/// polls were under way.
const GRACE: Duration = Duration::from_mins(1);

/// How often such results are looked for.
const REPEAT_INTERVAL: Duration = Duration::from_secs(5);

/// How often the clock mark is written at most. Each time is a commit, and a step that is shorter than
/// this makes no wait much longer.
const MARK_INTERVAL: Duration = Duration::from_secs(5);

/// How often the store is searched for SETs that wait too long: rarely, because the search looks at
/// every slot, and because only a step that nobody noticed makes such SETs.
const SEARCH_INTERVAL: Duration = Duration::from_mins(5);

/// Compares the clock with a steady one, which nobody sets.
struct ClockSteps {
    time: Timestamp,
    steady: Instant,
}

impl ClockSteps {
    fn new(time: Timestamp, steady: Instant) -> Self {
        Self { time, steady }
    }

    /// Returns the time by the old clock if the clock went back since the last call.
    fn went_back(&mut self, time: Timestamp, steady: Instant) -> Option<Timestamp> {
        let expected = self.time + steady.duration_since(self.steady);
        (self.time, self.steady) = (time, steady);
        (time + TOLERATED < expected).then_some(expected)
    }
}

/// A step back of the clock.
struct StepBack {
    /// The time by the old clock.
    old: Timestamp,
    noticed: Instant,
    /// When SETs were last made due because of it.
    forgotten: Option<Instant>,
}

/// Makes SETs due that wait for times of a clock that was set back.
pub struct ClockGuard {
    maintenance: Arc<dyn Maintenance>,
    records: Arc<dyn Records>,
    /// `None` before the first check.
    steps: Option<ClockSteps>,
    skew_max: Duration,
    wait_max: Duration,
    /// Whether the mark of the time before the start was judged.
    is_mark_judged: bool,
    /// Until the grace after it is over.
    step: Option<StepBack>,
    marked_at: Option<Instant>,
    /// When the store was searched, and which slots of it.
    searched: Option<(Instant, SlotSet)>,
}

impl ClockGuard {
    /// `skew_max` says how far the clock of another node may be ahead of ours, and `wait_max` how long a
    /// SET may be meant to wait.
    pub fn new(
        maintenance: Arc<dyn Maintenance>,
        records: Arc<dyn Records>,
        skew_max: Duration,
        wait_max: Duration,
    ) -> Self {
        Self {
            maintenance,
            records,
            steps: None,
            skew_max,
            wait_max: wait_max + skew_max,
            is_mark_judged: false,
            step: None,
            marked_at: None,
            searched: None,
        }
    }

    /// Judges the clock, at a start and before each sweep. `slots` are those that this node serves.
    /// Returns how many SETs were made due.
    pub async fn check(
        &mut self,
        now: Timestamp,
        steady: Instant,
        slots: SlotSet,
    ) -> Result<usize, StoreError> {
        let steps = self.steps.get_or_insert_with(|| ClockSteps::new(now, steady));
        let stepped_from = |old| StepBack { old, noticed: steady, forgotten: None };
        if let Some(old) = steps.went_back(now, steady) {
            self.step = Some(stepped_from(old));
        }
        if !self.is_mark_judged {
            let mark = self.records.clock_mark().await?;
            if let Some(mark) = mark.filter(|mark| now + self.skew_max < *mark) {
                self.step = Some(stepped_from(mark));
            }
            self.is_mark_judged = true;
        }
        let mut made_due = self.follow_step(now, steady).await?;
        let is_marked = |at: Instant| steady.duration_since(at) < MARK_INTERVAL;
        if self.step.is_none() && !self.marked_at.is_some_and(is_marked) {
            self.records.advance_clock_mark(now).await?;
            self.marked_at = Some(steady);
        }
        let is_fresh = |(at, of): (Instant, SlotSet)| {
            of == slots && steady.duration_since(at) < SEARCH_INTERVAL
        };
        if !self.searched.is_some_and(is_fresh) {
            let beyond = now + self.wait_max;
            let sets = self.maintenance.forget_waits(now, beyond, slots).await?;
            self.searched = Some((steady, slots));
            made_due += sets;
            if sets != 0 {
                tracing::warn!(
                    sets,
                    "SETs waited for a time too far ahead; they are tried at once"
                );
            }
        }
        Ok(made_due)
    }

    /// Makes due what waits for times of the old clock, once a step was noticed and some times more,
    /// because results that were reckoned by the old clock are recorded after that. The mark is set back
    /// at the end: a daemon that is killed before then notices the step once more.
    async fn follow_step(&mut self, now: Timestamp, steady: Instant) -> Result<usize, StoreError> {
        let Some(step) = &mut self.step else { return Ok(0) };
        let is_over = GRACE <= steady.duration_since(step.noticed);
        let beyond = match step.forgotten {
            // Waits by the new clock are hardly ever so long.
            Some(at) if is_over || REPEAT_INTERVAL <= steady.duration_since(at) => {
                now.max(step.old - GRACE)
            }
            Some(_) => return Ok(0),
            None => now,
        };
        let sets = self.maintenance.forget_waits(now, beyond, SlotSet::ALL).await?;
        if step.forgotten.is_none() || sets != 0 {
            tracing::warn!(
                sets,
                "the clock was set back; SETs that waited for a retry are tried at once"
            );
        }
        step.forgotten = Some(steady);
        if is_over {
            self.records.reset_clock_mark(now).await?;
            (self.step, self.marked_at) = (None, Some(steady));
        }
        Ok(sets)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    #[test]
    fn only_a_step_back_counts_and_only_once() {
        let steady = clock::instant();
        let after = |secs| steady + Duration::from_secs(secs);
        let at = |secs: i64| Timestamp::from_millis(secs * 1000);
        let mut steps = ClockSteps::new(at(1000), steady);
        assert_eq!(steps.went_back(at(1005), after(5)), None);
        assert_eq!(steps.went_back(at(1009), after(10)), None, "slow by a second");
        assert_eq!(steps.went_back(at(9000), after(15)), None, "set forward");
        assert_eq!(steps.went_back(at(5000), after(20)), Some(at(9005)));
        assert_eq!(steps.went_back(at(5005), after(25)), None);
    }
}
