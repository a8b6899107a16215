//! Points in time, as numbers for the store and for the wire.

use std::{
    fmt,
    ops::{Add, Sub},
    time::{Duration, UNIX_EPOCH},
};

use humantime_serde::re::humantime;

/// Milliseconds since 1970-01-01T00:00:00Z. The edge reads it from [`crate::clock`] and passes it
/// down as an argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

impl Timestamp {
    pub const EPOCH: Self = Self(0);

    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// Returns whole seconds, rounded down, because an `iat` must never lie in the future (RFC 8417
    /// §2.2).
    pub const fn as_secs(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// Writes the time by RFC 3339 §5.6 with milliseconds, such as `2026-04-02T08:00:00.120Z`.
    pub fn to_rfc3339(self) -> String {
        // Four digits are there for a year.
        const END: i64 = 253_402_300_799_999;
        let since = Duration::from_millis(u64::try_from(self.0.min(END)).unwrap_or(0));
        humantime::format_rfc3339_millis(UNIX_EPOCH + since).to_string()
    }

    /// Returns the time since `earlier`, or zero if `earlier` is later, as after a clock was set
    /// back.
    pub fn since(self, earlier: Self) -> Duration {
        let millis = self.0.saturating_sub(earlier.0);
        Duration::from_millis(u64::try_from(millis).unwrap_or(0))
    }
}

fn millis(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}

impl Add<Duration> for Timestamp {
    type Output = Self;

    fn add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(millis(span)))
    }
}

impl Sub<Duration> for Timestamp {
    type Output = Self;

    fn sub(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(millis(span)))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:03}", self.as_secs(), self.0.rem_euclid(1000))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_rounded_down() {
        assert_eq!(Timestamp::from_millis(1_999).as_secs(), 1);
        assert_eq!(Timestamp::from_millis(-1).as_secs(), -1);
    }

    #[test]
    fn a_time_is_written_with_its_milliseconds() {
        for (millis, text) in [
            (1_775_116_800_120, "2026-04-02T08:00:00.120Z"),
            (0, "1970-01-01T00:00:00.000Z"),
            (-1, "1970-01-01T00:00:00.000Z"),
            (i64::MAX, "9999-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(Timestamp::from_millis(millis).to_rfc3339(), text);
        }
    }

    #[test]
    fn a_clock_set_back_counts_as_no_time() {
        let (earlier, later) = (Timestamp::from_millis(10), Timestamp::from_millis(30));
        assert_eq!(later.since(earlier), Duration::from_millis(20));
        assert_eq!(earlier.since(later), Duration::ZERO);
    }
}
