//! The condition of a store, as it showed in the calls that were made. Asking for it makes no call, so that
//! the answer comes at once even if the store hangs.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// How long a call may be without an answer before the store counts as failing.
pub const STALLED_AFTER: Duration = Duration::from_secs(2);

/// How long a refusal of new events counts. After that they are sent here again, because nothing else would
/// show that there is room.
const REFUSAL_LASTS: Duration = Duration::from_secs(30);

/// The condition of a store.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Condition {
    /// Why the store does not serve.
    pub failing: Option<String>,
    /// Why new events are refused, although everything else is served.
    pub refuses_events: Option<String>,
    /// Data that the store may lose, and promises that it does not keep at present.
    pub degraded: Vec<String>,
    /// A thread of the store has ended, and only a new process helps.
    pub ended: bool,
}

/// A kind of call. Each kind may fail while the other one is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CallKind {
    Read,
    Write,
}

/// Notes how calls end.
#[derive(Debug)]
pub(super) struct Outcomes {
    /// How long a call may be without an answer.
    stalled_after: Duration,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Why the last call of each kind failed.
    failed: [Option<String>; 2],
    /// Why nothing will be served any more.
    lost: Option<String>,
    refused: Option<(Instant, String)>,
    /// Calls without an answer.
    under_way: usize,
    /// When the first of them began, or another call was answered since.
    waits_since: Option<Instant>,
}

/// A call that is under way until this is dropped.
#[must_use = "the call ends when this is dropped"]
#[derive(Debug)]
pub(super) struct UnderWay<'a>(&'a Outcomes);

impl Default for Outcomes {
    fn default() -> Self {
        Self::counting_after(STALLED_AFTER)
    }
}

impl Outcomes {
    /// For a store whose calls may be without an answer for so long.
    pub(super) fn counting_after(stalled_after: Duration) -> Self {
        Self { stalled_after, state: Mutex::default() }
    }

    /// Notes that a call begins.
    pub(super) fn begin(&self, now: Instant) -> UnderWay<'_> {
        let mut state = self.lock();
        if state.under_way == 0 {
            state.waits_since = Some(now);
        }
        state.under_way += 1;
        UnderWay(self)
    }

    pub(super) fn succeeded(&self, kind: CallKind, now: Instant) {
        let mut state = self.lock();
        state.failed[kind as usize] = None;
        state.waits_since = Some(now);
    }

    pub(super) fn failed(&self, kind: CallKind, why: String, now: Instant) {
        let mut state = self.lock();
        state.failed[kind as usize] = Some(why);
        state.waits_since = Some(now);
    }

    /// Notes that the store took no new events.
    pub(super) fn refused_events(&self, why: String, now: Instant) {
        let mut state = self.lock();
        state.refused = Some((now, why));
        state.waits_since = Some(now);
    }

    pub(super) fn took_events(&self) {
        self.lock().refused = None;
    }

    /// Notes that the store will serve nothing any more.
    pub(super) fn lost(&self, why: String) {
        self.lock().lost = Some(why);
    }

    pub(super) fn condition(&self, now: Instant) -> Condition {
        let state = self.lock();
        let waits = state.waits_since.filter(|_| state.under_way != 0);
        let stalled = waits.map(|since| now.saturating_duration_since(since));
        let stalled = stalled.filter(|waited| self.stalled_after <= *waited);
        let stalled = stalled.map(|waited| format!("no answer for {} s", waited.as_secs()));
        let [read, write] = &state.failed;
        let failing = state.lost.as_ref().or(write.as_ref()).or(read.as_ref());
        let lasts =
            |(at, _): &&(Instant, String)| now.saturating_duration_since(*at) < REFUSAL_LASTS;
        let refused = state.refused.as_ref().filter(lasts);
        Condition {
            failing: failing.cloned().or(stalled),
            refuses_events: refused.map(|(_, why)| why.clone()),
            ..Condition::default()
        }
    }

    /// Tells whether calls are likely to fail.
    pub(super) fn is_failing(&self, now: Instant) -> bool {
        self.condition(now).failing.is_some()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.lock().under_way -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    #[test]
    fn the_last_call_of_each_kind_counts() {
        let (outcomes, now) = (Outcomes::default(), clock::instant());
        let failing = || outcomes.condition(now).failing;
        assert_eq!(failing(), None);
        outcomes.failed(CallKind::Write, "disk full".into(), now);
        outcomes.succeeded(CallKind::Read, now);
        assert_eq!(failing().as_deref(), Some("disk full"));
        outcomes.failed(CallKind::Read, "gone".into(), now);
        outcomes.succeeded(CallKind::Write, now);
        assert_eq!(failing().as_deref(), Some("gone"));
        outcomes.succeeded(CallKind::Read, now);
        assert_eq!(failing(), None);
        outcomes.lost("the file was removed".into());
        outcomes.succeeded(CallKind::Write, now);
        assert_eq!(failing().as_deref(), Some("the file was removed"));
    }

    #[test]
    fn a_call_without_an_answer_counts_after_a_while() {
        let (outcomes, now) = (Outcomes::default(), clock::instant());
        let after = |secs| outcomes.condition(now + Duration::from_secs(secs)).failing;
        let first = outcomes.begin(now);
        assert_eq!(after(1), None);
        assert_eq!(after(3).as_deref(), Some("no answer for 3 s"));
        // Another call was answered meanwhile.
        outcomes.succeeded(CallKind::Read, now + Duration::from_secs(2));
        assert_eq!((after(3), after(5).is_some()), (None, true));
        drop(first);
        assert_eq!(after(5), None);
        let _next = outcomes.begin(now + Duration::from_secs(9));
        assert_eq!(after(10), None);
    }

    #[test]
    fn a_refusal_of_events_is_forgotten_or_disproved() {
        let (outcomes, now) = (Outcomes::default(), clock::instant());
        let refuses = |secs| outcomes.condition(now + Duration::from_secs(secs)).refuses_events;
        outcomes.refused_events("memory".into(), now);
        assert_eq!(refuses(29).as_deref(), Some("memory"));
        assert_eq!(refuses(30), None);
        outcomes.took_events();
        assert_eq!(refuses(1), None);
    }
}
