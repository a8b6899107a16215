//! When a SET is tried again, and when no more.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    delivery::{
        outbox::{Disposition, PendingSet},
        outcome::Outcome,
    },
    domain::{reason::Reason, time::Timestamp},
};

/// How often and how long a SET is tried.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RetryPolicy {
    /// The wait before each retry; the last one repeats.
    #[serde(with = "durations")]
    pub schedule: Vec<Duration>,
    /// How far a wait may stray, as a share of it, so that streams do not retry in step.
    pub jitter: f64,
    /// The longest `Retry-After` that is honoured (RFC 9110 §10.2.3).
    #[serde(with = "humantime_serde")]
    pub retry_after_max: Duration,
    /// How long after its event a SET is dead-lettered if no attempt has succeeded.
    #[serde(with = "humantime_serde")]
    pub give_up_after: Duration,
}

mod durations {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    #[serde(transparent)]
    struct Span(#[serde(with = "humantime_serde")] Duration);

    pub(super) fn serialize<S: Serializer>(
        spans: &[Duration],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(spans.iter().copied().map(Span))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<Duration>, D::Error> {
        let spans = Vec::<Span>::deserialize(deserializer)?;
        Ok(spans.into_iter().map(|span| span.0).collect())
    }
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            schedule: [1, 5, 30, 120, 600, 1800, 3600].map(Duration::from_secs).to_vec(),
            jitter: 0.25,
            retry_after_max: Duration::from_hours(1),
            give_up_after: Duration::from_hours(72),
        }
    }
}

/// The time of a judgement, and the time by which ages are judged in it.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    pub now: Timestamp,
    pub ages_by: Timestamp,
}

impl RetryPolicy {
    /// Judges one attempt at `set`. The caller brings the clock and the dice (`0.0..=1.0`), so that
    /// a test can replay any schedule.
    pub fn judge(
        &self,
        set: &PendingSet,
        outcome: &Outcome,
        times: Times,
        dice: f64,
    ) -> Disposition {
        let (retry_after, class, detail) = match outcome {
            Outcome::Accepted { .. } => return Disposition::Delivered,
            // The Receiver would refuse the same bytes again, and every SET behind them would wait.
            Outcome::Refused(error) => {
                return Disposition::Dead {
                    reason: Reason::Refused(error.code),
                    detail: format!("{}: {}", error.err, error.description),
                };
            }
            Outcome::Failed { class, retry_after, detail } => (*retry_after, *class, detail),
        };
        let detail = format!("{}: {detail}", class.as_str());
        if self.is_expired(set, times.ages_by) {
            return Disposition::Dead { reason: Reason::Expired, detail };
        }
        self.put_off(set, retry_after, detail, times.now, dice)
    }

    /// Returns the longest wait that a SET can be given.
    pub fn wait_max(&self) -> Duration {
        let planned = self.schedule.iter().max().copied().unwrap_or_default();
        planned.mul_f64(1.0 + self.jitter).max(self.retry_after_max)
    }

    /// Whether it is time to give up a SET.
    pub fn is_expired(&self, set: &PendingSet, ages_by: Timestamp) -> bool {
        self.give_up_after <= ages_by.since(set.appended_at)
    }

    /// The next attempt, for which a Receiver may have named a time.
    pub fn put_off(
        &self,
        set: &PendingSet,
        retry_after: Option<Duration>,
        error: String,
        now: Timestamp,
        dice: f64,
    ) -> Disposition {
        let attempt = usize::try_from(set.attempts).unwrap_or(usize::MAX);
        let planned = self.schedule.get(attempt).or(self.schedule.last());
        let planned = planned.copied().unwrap_or(Duration::from_secs(1));
        let wait = match retry_after {
            // A stranger's number: it lengthens the wait, within our own bound.
            Some(asked) => asked.min(self.retry_after_max).max(planned.min(self.retry_after_max)),
            None => planned.mul_f64(1.0 + self.jitter * (2.0 * dice - 1.0)),
        };
        Disposition::RetryAt { due_at: now + wait, error }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        delivery::{
            lane::Lane,
            outbox::{Seq, SetKind},
            outcome::FailureClass,
        },
        domain::set_error::{ErrCode, SetError},
    };

    const NOW: Timestamp = Timestamp::from_millis(1_000_000_000);
    const TIMES: Times = Times { now: NOW, ages_by: NOW };

    #[test]
    fn the_longest_wait_has_the_jitter_of_the_last_retry_or_is_the_receivers() {
        let policy = RetryPolicy::default();
        assert_eq!(policy.wait_max(), Duration::from_mins(75));
        let policy = RetryPolicy { retry_after_max: Duration::from_hours(2), ..policy };
        assert_eq!(policy.wait_max(), Duration::from_hours(2));
    }

    fn set(attempts: u32, age: Duration) -> PendingSet {
        PendingSet {
            seq: Seq(1),
            jti: "b1".parse().expect("valid"),
            lane: Lane::from_i64(1),
            kind: SetKind::Event,
            claims: Arc::from("{}"),
            appended_at: NOW - age,
            attempts,
            due_at: NOW,
        }
    }

    fn unavailable(retry_after: Option<u64>) -> Outcome {
        Outcome::Failed {
            class: FailureClass::Unavailable,
            retry_after: retry_after.map(Duration::from_secs),
            detail: "status 503".into(),
        }
    }

    #[track_caller]
    fn waits(attempts: u32, retry_after: Option<u64>, dice: f64, millis: i64) {
        let policy = RetryPolicy::default();
        let verdict =
            policy.judge(&set(attempts, Duration::ZERO), &unavailable(retry_after), TIMES, dice);
        let due_at = Timestamp::from_millis(NOW.as_millis() + millis);
        let error = "unavailable: status 503".to_owned();
        assert_eq!(verdict, Disposition::RetryAt { due_at, error });
    }

    #[test]
    fn waits_follow_the_schedule_and_its_last_step_repeats() {
        for (attempts, secs) in [1, 5, 30, 120, 600, 1800, 3600, 3600].into_iter().enumerate() {
            waits(u32::try_from(attempts).expect("small"), None, 0.5, secs * 1000);
        }
        waits(u32::MAX, None, 0.5, 3_600_000);
    }

    #[test]
    fn jitter_moves_a_wait_by_a_quarter_at_most() {
        waits(1, None, 0.0, 3750);
        waits(1, None, 1.0, 6250);
    }

    #[test]
    fn retry_after_lengthens_a_wait_within_our_bound() {
        waits(0, Some(17), 0.5, 17_000);
        waits(2, Some(1), 0.5, 30_000);
        waits(0, Some(1_000_000), 0.5, 3_600_000);
    }

    #[test]
    fn a_set_is_given_up_by_age() {
        let policy = RetryPolicy::default();
        let old = set(30, policy.give_up_after);
        assert_eq!(
            policy.judge(&old, &unavailable(None), TIMES, 0.5),
            Disposition::Dead { reason: Reason::Expired, detail: "unavailable: status 503".into() }
        );
    }

    /// Cases 6: the clock is set ahead by four days for a while.
    #[test]
    fn a_step_of_the_clock_gives_up_nothing() {
        let policy = RetryPolicy::default();
        let days = Duration::from_hours(4 * 24);
        let times = Times { now: NOW + days, ages_by: NOW };
        let verdict = policy.judge(&set(0, Duration::ZERO), &unavailable(None), times, 0.5);
        let due_at = NOW + days + Duration::from_secs(1);
        let error = "unavailable: status 503".to_owned();
        assert_eq!(verdict, Disposition::RetryAt { due_at, error });
    }

    #[test]
    fn a_refused_set_is_dead_at_once_and_an_accepted_one_settled() {
        let policy = RetryPolicy::default();
        let fresh = set(0, Duration::ZERO);
        let refused = Outcome::Refused(SetError::new("invalid_key", "unknown kid"));
        assert_eq!(
            policy.judge(&fresh, &refused, TIMES, 0.5),
            Disposition::Dead {
                reason: Reason::Refused(ErrCode::InvalidKey),
                detail: "invalid_key: unknown kid".into()
            }
        );
        assert_eq!(
            policy.judge(&fresh, &Outcome::Accepted { status: 202 }, TIMES, 0.5),
            Disposition::Delivered
        );
    }
}
