//! Points in time as arguments and in the output.

use std::{
    str::FromStr,
    time::{Duration, UNIX_EPOCH},
};

use humantime_serde::re::humantime;

use crate::{clock, domain::time::Timestamp};

/// A time such as `2026-03-01T08:30:00Z`, or a span before now such as `2h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moment(pub(super) Timestamp);

impl FromStr for Moment {
    type Err = String;

    fn from_str(raw: &str) -> Result<Self, String> {
        if let Ok(span) = humantime::parse_duration(raw) {
            return Ok(Self(clock::now() - span));
        }
        let at = humantime::parse_rfc3339_weak(raw).map_err(
            |_| "must be a time such as `2026-03-01T08:30:00Z`, or a span before now such as `2h`",
        )?;
        let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok(Self(Timestamp::EPOCH + since))
    }
}

/// Formats seconds since 1970 as a date and a time.
pub(super) fn show(secs: i64) -> String {
    let since = Duration::from_secs(u64::try_from(secs).unwrap_or_default());
    humantime::format_rfc3339_seconds(UNIX_EPOCH + since).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_a_time_or_a_span_before_now() {
        let at: Moment = "2026-03-01T08:30:00Z".parse().expect("valid");
        assert_eq!(show(at.0.as_secs()), "2026-03-01T08:30:00Z");
        assert_eq!("2026-03-01 08:30:00".parse(), Ok(at));
        let before: Moment = "2h".parse().expect("valid");
        assert!(Duration::from_hours(2) <= clock::now().since(before.0));
        assert!("yesterday".parse::<Moment>().is_err());
    }
}
