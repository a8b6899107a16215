//! Whether an endpoint that cannot be reached is tried again yet.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{delivery::courier::BreakerReport, domain::time::Timestamp};

/// When the breaker of a stream opens, and for how long.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BreakerSettings {
    /// Attempts in a row that fail to reach the endpoint before it opens.
    pub failures: u32,
    /// How long it stays open at first. Each probe that fails doubles it.
    #[serde(with = "humantime_serde")]
    pub open_for: Duration,
    /// The longest that it stays open before the next probe.
    #[serde(with = "humantime_serde")]
    pub open_for_max: Duration,
}

impl Default for BreakerSettings {
    fn default() -> Self {
        Self { failures: 5, open_for: Duration::from_secs(5), open_for_max: Duration::from_mins(5) }
    }
}

/// How many attempts may start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    All,
    /// One, to probe, once no other is under way.
    One,
    None,
}

/// The breaker of one stream. While it is open no attempt starts, and the SETs keep their age and
/// the times of their retries.
#[derive(Debug)]
pub struct Breaker {
    settings: BreakerSettings,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Closed {
        /// Attempts in a row that did not reach the endpoint.
        failures: u32,
    },
    Open {
        until: Timestamp,
        span: Duration,
    },
    /// The one attempt is under way.
    Probing {
        /// When a probe was allowed. It lies ahead if the probe was made early.
        until: Timestamp,
        span: Duration,
    },
}

impl Breaker {
    pub fn new(settings: BreakerSettings) -> Self {
        Self { settings, state: State::Closed { failures: 0 } }
    }

    pub fn admits(&self, now: Timestamp) -> Admission {
        match self.state {
            State::Closed { .. } => Admission::All,
            // A wait longer than was set is due to a clock that has gone back meanwhile.
            State::Open { until, span } if until <= now || now + span < until => Admission::One,
            State::Open { .. } | State::Probing { .. } => Admission::None,
        }
    }

    /// How many attempts may start before the next probe is due. A requested verification is such an
    /// attempt: its Receiver wants to know now whether the stream works.
    pub fn admits_early(&self) -> Admission {
        match self.state {
            State::Closed { .. } => Admission::All,
            State::Open { .. } => Admission::One,
            State::Probing { .. } => Admission::None,
        }
    }

    pub fn is_open(&self) -> bool {
        !matches!(self.state, State::Closed { .. })
    }

    /// Whether probes have failed for so long that they are as far apart as they get.
    pub fn stands_open(&self) -> bool {
        match self.state {
            State::Closed { .. } => false,
            State::Open { span, .. } | State::Probing { span, .. } => {
                self.settings.open_for_max <= span
            }
        }
    }

    /// How it stands, for an operator.
    pub fn report(&self) -> BreakerReport {
        match self.state {
            State::Closed { .. } => BreakerReport::Closed,
            State::Open { until, .. } => BreakerReport::Open { until },
            State::Probing { .. } => BreakerReport::Probing,
        }
    }

    /// When the next probe may start.
    pub fn probes_at(&self) -> Option<Timestamp> {
        match self.state {
            State::Open { until, .. } => Some(until),
            State::Closed { .. } | State::Probing { .. } => None,
        }
    }

    /// An attempt starts.
    pub fn on_started(&mut self) {
        if let State::Open { until, span } = self.state {
            self.state = State::Probing { until, span };
        }
    }

    /// An attempt ended that tells nothing of the endpoint: if it was the probe, the next one is.
    pub fn on_nothing_learnt(&mut self, now: Timestamp) {
        if let State::Probing { until, span } = self.state {
            self.state = State::Open { until: until.max(now), span };
        }
    }

    /// The endpoint answered.
    pub fn on_reached(&mut self) {
        self.state = State::Closed { failures: 0 };
    }

    /// The endpoint was not reached, or would have nothing of us.
    pub fn on_unreached(&mut self, now: Timestamp) {
        let open = |span: Duration| State::Open { until: now + span, span };
        self.state = match self.state {
            State::Closed { failures } if failures + 1 < self.settings.failures => {
                State::Closed { failures: failures + 1 }
            }
            State::Closed { .. } => open(self.settings.open_for.min(self.settings.open_for_max)),
            // An early probe changes nothing, so that nobody can put off the regular one.
            State::Probing { until, span } if now < until => State::Open { until, span },
            State::Probing { span, .. } => open((span * 2).min(self.settings.open_for_max)),
            // An attempt that began before it opened.
            open @ State::Open { .. } => open,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: u64) -> Timestamp {
        Timestamp::EPOCH + Duration::from_secs(secs)
    }

    fn opened() -> Breaker {
        let mut breaker = Breaker::new(BreakerSettings::default());
        for _ in 0..5 {
            assert_eq!(breaker.admits(at(0)), Admission::All);
            breaker.on_unreached(at(0));
        }
        breaker
    }

    #[test]
    fn it_opens_at_the_fifth_failure_in_a_row() {
        assert_eq!(opened().admits(at(0)), Admission::None);
        let mut breaker = Breaker::new(BreakerSettings::default());
        for _ in 0..10 {
            for _ in 0..4 {
                breaker.on_unreached(at(0));
            }
            breaker.on_reached();
        }
        assert!(!breaker.is_open());
    }

    #[test]
    fn probes_are_single_and_twice_as_far_apart_each_time() {
        let mut breaker = opened();
        let mut now = 0;
        for span in [5, 10, 20, 40, 80, 160, 300, 300] {
            assert_eq!(breaker.stands_open(), span == 300);
            // The others that were under way when it opened.
            breaker.on_unreached(at(now));
            assert_eq!(breaker.probes_at(), Some(at(now + span)));
            assert_eq!(breaker.admits(at(now + span - 1)), Admission::None);
            now += span;
            assert_eq!(breaker.admits(at(now)), Admission::One);
            breaker.on_started();
            assert_eq!(breaker.admits(at(now)), Admission::None);
            breaker.on_unreached(at(now));
        }
        breaker.on_reached();
        assert_eq!(breaker.admits(at(now)), Admission::All);
    }

    #[test]
    fn an_early_probe_leaves_the_regular_one_where_it_is() {
        let ends: [fn(&mut Breaker); 2] =
            [|breaker| breaker.on_unreached(at(3)), |breaker| breaker.on_nothing_learnt(at(3))];
        for end in ends {
            let mut breaker = opened();
            assert_eq!(
                (breaker.admits(at(2)), breaker.admits_early()),
                (Admission::None, Admission::One)
            );
            breaker.on_started();
            assert_eq!(
                (breaker.admits(at(9)), breaker.admits_early()),
                (Admission::None, Admission::None)
            );
            end(&mut breaker);
            assert_eq!(breaker.probes_at(), Some(at(5)));
        }
        let mut breaker = opened();
        breaker.on_started();
        breaker.on_reached();
        assert_eq!(breaker.admits(at(2)), Admission::All);
    }

    #[test]
    fn a_probe_that_tells_nothing_is_made_again() {
        let mut breaker = opened();
        breaker.on_started();
        breaker.on_nothing_learnt(at(7));
        assert_eq!(breaker.admits(at(7)), Admission::One);
        assert_eq!(breaker.probes_at(), Some(at(7)));
    }
}
