//! The time of a native event.

use std::time::Duration;

use serde_json::Value;

use super::settings::TimeUnit;
use crate::domain::time::Timestamp;

/// A native time that is further ahead of the receipt is not believed.
pub const FUTURE_MAX: Duration = Duration::from_mins(5);
/// A number from here on counts as milliseconds if the unit is not given: as seconds it is three
/// thousand years ahead.
const MILLIS_MIN: f64 = 1e11;

/// The first millisecond of the year 10000.
const END: f64 = 253_402_300_800_000.0;

/// The time that a record gives, compared with the time of its receipt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NativeTime {
    /// `None` if the record has no time, or one that cannot be read.
    pub(super) given: Option<Timestamp>,
    /// The given time is more than [`FUTURE_MAX`] ahead.
    pub(super) is_ahead: bool,
}

impl NativeTime {
    pub(super) fn of(value: Option<&Value>, unit: TimeUnit, received: Timestamp) -> Self {
        let given = value.and_then(|value| read(value, unit));
        Self { given, is_ahead: given.is_some_and(|given| received + FUTURE_MAX < given) }
    }

    /// Returns the time for `event_timestamp`: the given one, or that of the receipt if none is
    /// believed.
    pub(super) fn or(self, received: Timestamp) -> Timestamp {
        self.given.filter(|_| !self.is_ahead).unwrap_or(received)
    }
}

fn read(value: &Value, unit: TimeUnit) -> Option<Timestamp> {
    let number = match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    let millis = match unit {
        TimeUnit::S => number? * 1000.0,
        TimeUnit::Ms => number?,
        TimeUnit::Rfc3339 => return rfc3339(value.as_str()?),
        TimeUnit::Auto => match number {
            None => return rfc3339(value.as_str()?),
            Some(number) if number < MILLIS_MIN => number * 1000.0,
            Some(number) => number,
        },
    };
    #[expect(clippy::cast_possible_truncation, reason = "it is between 1970 and the year 10000")]
    (0.0..END).contains(&millis).then(|| Timestamp::from_millis(millis as i64))
}

/// Reads a time of RFC 3339 §5.6, such as `2026-04-02T08:00:00.120Z`. Digits beyond milliseconds are
/// dropped. A time without a zone is not read, because it could be any.
fn rfc3339(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    let (date, rest) = (text.get(..10)?, text.get(10..)?);
    let rest = rest.strip_prefix(['T', 't', ' '])?;
    let (time, rest) = (rest.get(..8)?, rest.get(8..)?);
    let [year, month, day] = numbers(date, '-')?;
    let [hour, minute, second] = numbers(time, ':')?;
    let (fraction, zone) = match rest.strip_prefix('.') {
        None => (0, rest),
        Some(rest) => {
            let end = rest.find(|c: char| !c.is_ascii_digit())?;
            let (digits, zone) = rest.split_at(end);
            let millis: String = digits.chars().chain("000".chars()).take(3).collect();
            (millis.parse().ok().filter(|_| !digits.is_empty())?, zone)
        }
    };
    let offset = match zone {
        "Z" | "z" => 0,
        _ => {
            let sign = if zone.starts_with('-') { -1 } else { 1 };
            let [hours, minutes] = numbers(zone.strip_prefix(['+', '-'])?, ':')?;
            let valid = hours < 24 && minutes < 60 && zone.len() == 6;
            valid.then_some(sign * (hours * 60 + minutes))?
        }
    };
    let days_in_month = match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    let valid = (1..=12).contains(&month)
        && (1..=days_in_month).contains(&day)
        && hour < 24
        && minute < 60
        // A leap second is the first second of the next minute.
        && second <= 60;
    let minutes = (days(year, month, day) * 24 + hour) * 60 + minute - offset;
    valid.then(|| Timestamp::from_millis((minutes * 60 + second) * 1000 + fraction))
}

/// Splits a text into numbers of digits alone.
fn numbers<const N: usize>(text: &str, separator: char) -> Option<[i64; N]> {
    let number = |part: &str| {
        let digits = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| part.parse().ok()).flatten()
    };
    let numbers: Option<Vec<_>> = text.split(separator).map(number).collect();
    numbers?.try_into().ok()
}

/// Counts the days since 1970-01-01 in the Gregorian calendar. Years begin in March, so that a leap
/// day is the last day of a year.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let month_from_march = (month + 9) % 12;
    let in_year = (153 * month_from_march + 2) / 5 + day - 1;
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    // 719,468 days lie between 0000-03-01 and 1970-01-01.
    year * 365 + leap_days + in_year - 719_468
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(value: Value, unit: TimeUnit, expected: Option<i64>) {
        let found = read(&value, unit).map(Timestamp::as_millis);
        assert_eq!(found, expected, "{value} in {unit:?}");
    }

    #[test]
    fn times_are_read_in_each_unit() {
        use TimeUnit::*;
        check(json!(1_775_000_100), S, Some(1_775_000_100_000));
        check(json!(1_775_000_100.25), S, Some(1_775_000_100_250));
        check(json!("1775000100"), S, Some(1_775_000_100_000));
        check(json!(1_775_000_100_123_i64), Ms, Some(1_775_000_100_123));
        check(json!(1_775_000_100), Auto, Some(1_775_000_100_000));
        check(json!(1_775_000_100_123_i64), Auto, Some(1_775_000_100_123));
        check(json!("1775000100123"), Auto, Some(1_775_000_100_123));
        check(json!(0), Auto, Some(0));
        for unit in [Rfc3339, Auto] {
            check(json!("1970-01-01T00:00:00Z"), unit, Some(0));
            check(json!("2026-04-02T08:00:00.120Z"), unit, Some(1_775_116_800_120));
            check(json!("2026-04-02T08:00:00.1209999Z"), unit, Some(1_775_116_800_120));
            check(json!("2026-04-02T08:00:00.1Z"), unit, Some(1_775_116_800_100));
            check(json!("2026-04-02t10:30:00+02:30"), unit, Some(1_775_116_800_000));
            check(json!("2026-04-01 22:00:00-10:00"), unit, Some(1_775_116_800_000));
            check(json!("2024-02-29T00:00:00Z"), unit, Some(1_709_164_800_000));
            check(json!("2016-12-31T23:59:60Z"), unit, Some(1_483_228_800_000));
        }
    }

    #[test]
    fn a_time_that_cannot_be_read_is_none() {
        use TimeUnit::*;
        for text in [
            "",
            "yesterday",
            "2026-04-02",
            "2026-04-02T08:00:00",
            "2026-04-02T08:00:00.Z",
            "2026-04-02T08:00:00.1",
            "2026-04-02T08:00Z",
            "2026-13-02T08:00:00Z",
            "2026-00-02T08:00:00Z",
            "2025-02-29T08:00:00Z",
            "1900-02-29T08:00:00Z",
            "2026-04-31T08:00:00Z",
            "2026-04-02T24:00:00Z",
            "2026-04-02T08:60:00Z",
            "2026-04-02T08:00:61Z",
            "2026-04-02T08:00:00+2:00",
            "2026-04-02T08:00:00+25:00",
            "+026-04-02T08:00:00Z",
            "2026-04-02T08:00:00ü",
            "20é6-04-02T08:00:00Z",
        ] {
            check(json!(text), Rfc3339, None);
            check(json!(text), Auto, None);
        }
        check(json!("2026-04-02T08:00:00Z"), S, None);
        check(json!(1_775_000_100), Rfc3339, None);
        for value in [json!(null), json!(true), json!({}), json!([1]), json!(-1), json!(1e300)] {
            for unit in [S, Ms, Rfc3339, Auto] {
                check(value.clone(), unit, None);
            }
        }
        check(json!("NaN"), Auto, None);
        check(json!("inf"), S, None);
    }

    #[test]
    fn a_time_far_ahead_is_not_believed() {
        let received = Timestamp::from_millis(1_775_000_000_000);
        let of = |value: Value| NativeTime::of(Some(&value), TimeUnit::Ms, received);
        for (millis, is_ahead) in
            [(1_774_000_000_000_i64, false), (1_775_000_300_000, false), (1_775_000_300_001, true)]
        {
            let given = Some(Timestamp::from_millis(millis));
            assert_eq!(of(json!(millis)), NativeTime { given, is_ahead });
        }
        assert_eq!(of(json!(1_774_000_000_000_i64)).or(received).as_secs(), 1_774_000_000);
        let ahead = of(json!(1_775_000_300_001_i64));
        assert_eq!(ahead.or(received), received);
        assert_eq!(of(json!("x")).or(received), received);
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,40}", digits in "[0-9T:.+Zz-]{0,40}") {
            prop_assert!(rfc3339(&text).is_none_or(|time| time.as_millis().abs() < i64::MAX / 2));
            prop_assert!(rfc3339(&digits).is_none_or(|time| time.as_millis().abs() < i64::MAX / 2));
        }
    }
}
