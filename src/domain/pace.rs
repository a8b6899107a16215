//! A limit on how often something may be asked for.

use std::time::Duration;

use super::time::Timestamp;

/// Counts requests within each second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pace {
    second: i64,
    admitted: u32,
}

impl Pace {
    /// Admits up to `per_second_max` requests in each second. The error is the time to wait for the
    /// next one.
    pub fn admit(&mut self, now: Timestamp, per_second_max: u32) -> Result<(), Duration> {
        let second = now.as_secs();
        if self.second != second {
            *self = Self { second, admitted: 0 };
        }
        if per_second_max <= self.admitted {
            return Err(Timestamp::from_millis((second + 1) * 1000).since(now));
        }
        self.admitted += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SUBJ-06
    #[test]
    fn a_request_beyond_the_limit_waits_for_the_next_second() {
        let at = Timestamp::from_millis;
        let mut pace = Pace::default();
        assert_eq!(pace.admit(at(5_000), 2), Ok(()));
        assert_eq!(pace.admit(at(5_100), 2), Ok(()));
        assert_eq!(pace.admit(at(5_400), 2), Err(Duration::from_millis(600)));
        assert_eq!(pace.admit(at(6_000), 2), Ok(()));
        // A clock that was set back starts a new count.
        assert_eq!(pace.admit(at(4_000), 1), Ok(()));
    }
}
