//! Reads columns as the types that were written.

use std::{error::Error, time::Duration};

use rusqlite::{Row, types::Type};
use serde::de::DeserializeOwned;

use crate::{delivery::outbox::SetKind, domain::time::Timestamp};

/// Makes the error for a row that does not hold what we wrote.
pub(super) fn unreadable(
    column: usize,
    error: impl Into<Box<dyn Error + Send + Sync>>,
) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Text, error.into())
}

pub(super) fn text<T>(row: &Row<'_>, column: usize) -> rusqlite::Result<T>
where
    T: TryFrom<String, Error: Error + Send + Sync + 'static>,
{
    row.get::<_, String>(column)?.try_into().map_err(|error| unreadable(column, error))
}

pub(super) fn json<T: DeserializeOwned>(row: &Row<'_>, column: usize) -> rusqlite::Result<T> {
    let text = row.get_ref(column)?.as_str()?;
    serde_json::from_str(text).map_err(|error| unreadable(column, error))
}

pub(super) fn time(row: &Row<'_>, column: usize) -> rusqlite::Result<Timestamp> {
    row.get(column).map(Timestamp::from_millis)
}

pub(super) fn unsigned(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    let number: i64 = row.get(column)?;
    number.try_into().map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, number))
}

/// Returns the number of a kind in the outbox. SETs with a higher number are sent first.
pub(super) const fn control(kind: SetKind) -> i64 {
    match kind {
        SetKind::Event => 0,
        SetKind::Control => 1,
        SetKind::Announcement => 2,
    }
}

pub(super) fn kind(row: &Row<'_>, column: usize) -> rusqlite::Result<SetKind> {
    let number: i64 = row.get(column)?;
    let kinds = [SetKind::Event, SetKind::Control, SetKind::Announcement];
    let kind = kinds.into_iter().find(|kind| control(*kind) == number);
    kind.ok_or(rusqlite::Error::IntegralValueOutOfRange(column, number))
}

/// Reads a span of time in milliseconds.
pub(super) fn span(row: &Row<'_>, column: usize) -> rusqlite::Result<Duration> {
    unsigned(row, column).map(Duration::from_millis)
}

/// Converts a span of time to milliseconds.
pub(super) fn millis(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}

/// Converts a number of rows for `LIMIT`.
pub(super) fn limit(rows: usize) -> i64 {
    i64::try_from(rows).unwrap_or(i64::MAX)
}
