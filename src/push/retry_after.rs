//! Reads `Retry-After` in both its forms (RFC 9110 §10.2.3).

use std::time::{Duration, SystemTime};

use crate::domain::time::Timestamp;

/// Returns how long a server asks us to wait. The value is a number of seconds, however many digits it
/// has, or a date; a date in the past asks for no wait at all. Any other value is ignored, and the result
/// is `None`.
pub fn parse(value: &str, now: Timestamp) -> Option<Duration> {
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // Only a number beyond any integer cannot be parsed now. It is bounded like any other.
        return Some(Duration::from_secs(value.parse().unwrap_or(u64::MAX)));
    }
    let at = httpdate::parse_http_date(value).ok()?;
    let millis = at.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_millis();
    Some(Timestamp::from_millis(i64::try_from(millis).ok()?).since(now))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 1994-11-06T08:49:37Z.
    const NOW: Timestamp = Timestamp::from_millis(784_111_777_000);

    #[track_caller]
    fn check(value: &str, secs: Option<u64>) {
        assert_eq!(parse(value, NOW), secs.map(Duration::from_secs), "{value:?}");
    }

    #[test]
    fn seconds_and_dates_are_read() {
        check("0", Some(0));
        check(" 120 ", Some(120));
        check("18446744073709551615", Some(u64::MAX));
        check("18446744073709551616", Some(u64::MAX));
        check(&"9".repeat(400), Some(u64::MAX));
        check("Sun, 06 Nov 1994 08:50:07 GMT", Some(30));
        check("Sunday, 06-Nov-94 08:50:07 GMT", Some(30));
        check("Sun Nov  6 08:50:07 1994", Some(30));
        check("Sun, 06 Nov 1994 08:00:00 GMT", Some(0));
    }

    #[test]
    fn a_value_that_is_neither_seconds_nor_a_date_is_ignored() {
        for value in ["", "-1", "+1", "1.5", "1 2", "soon", "06 Nov 1994"] {
            check(value, None);
        }
    }
}
