//! The values in Redis, in version [`FORMAT`] of the format.
//!
//! Every value begins with a head of fixed width that the scripts read without parsing: letters, lengths,
//! and numbers of [`DIGITS`] digits, so that the order of numbers is the order of texts. Only this file
//! reads what follows the head.

pub(super) mod set;
pub(super) mod state;
pub(super) mod stream;

use std::time::Duration;

use crate::{delivery::outbox::Seq, domain::time::Timestamp, store::StoreError};

/// Grows when an older daemon could misread what is written.
pub(super) const FORMAT: u32 = 2;

/// The previous format, in which clients, tokens and activity were no records.
pub(super) const FORMAT_BEFORE: u32 = 1;

/// Stands in place of the format while another store is being copied into this one.
pub(super) const INCOMPLETE: u32 = 0;

/// Enough for milliseconds until the year 318,857, and for numbers that a script counts exactly.
const DIGITS: usize = 16;
const NUMBER_MAX: i64 = 9_007_199_254_740_991;

/// Formats a number for the members of sorted sets. Negative numbers become 0.
pub(super) fn digits(number: i64) -> String {
    format!("{:016}", number.clamp(0, NUMBER_MAX))
}

pub(super) fn time(at: Timestamp) -> String {
    digits(at.as_millis())
}

/// Formats a span that most values do not have: milliseconds, or nothing.
pub(super) fn span(span: Duration) -> String {
    match span.as_millis() {
        0 => String::new(),
        millis => millis.to_string(),
    }
}

pub(super) fn unreadable(what: &str) -> StoreError {
    StoreError::Corrupt(format!("{what} in Redis is not as it was written"))
}

/// Takes a value apart from its beginning.
pub(super) struct Parts<'a> {
    left: &'a str,
    what: &'static str,
}

impl<'a> Parts<'a> {
    pub(super) fn of(record: &'a [u8], what: &'static str) -> Result<Self, StoreError> {
        let left = std::str::from_utf8(record).map_err(|_| unreadable(what))?;
        Ok(Self { left, what })
    }

    pub(super) fn text(&mut self, bytes: usize) -> Result<&'a str, StoreError> {
        let (text, left) = self.left.split_at_checked(bytes).ok_or(unreadable(self.what))?;
        self.left = left;
        Ok(text)
    }

    pub(super) fn number<T: std::str::FromStr>(&mut self, width: usize) -> Result<T, StoreError> {
        self.text(width)?.parse().map_err(|_| unreadable(self.what))
    }

    pub(super) fn time(&mut self) -> Result<Timestamp, StoreError> {
        self.number(DIGITS).map(Timestamp::from_millis)
    }

    pub(super) fn rest(self) -> &'a str {
        self.left
    }

    pub(super) fn parsed<T: TryFrom<String>>(&mut self, bytes: usize) -> Result<T, StoreError> {
        self.text(bytes)?.to_owned().try_into().map_err(|_| unreadable(self.what))
    }
}

/// Reads a time as a script returned it.
pub(super) fn read_time(text: &[u8]) -> Result<Timestamp, StoreError> {
    Parts::of(text, "a time")?.time()
}

/// Reads the number of a SET as a script returned it.
pub(super) fn seq(text: &[u8]) -> Result<Seq, StoreError> {
    Parts::of(text, "a SET's number")?.number(text.len()).map(Seq)
}

pub(super) fn count(text: &[u8]) -> Result<usize, StoreError> {
    Parts::of(text, "a number")?.number(text.len())
}

/// Reads a name, which was checked when it was written.
pub(super) fn parsed<T: TryFrom<String>>(name: String) -> Result<T, StoreError> {
    name.try_into().map_err(|_| unreadable("a name"))
}
