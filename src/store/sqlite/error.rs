//! Converts errors of SQLite into [`StoreError`].

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use rusqlite::{Error, ErrorCode};

use super::damage::REMEDY;
use crate::store::StoreError;

/// A call that was not answered by the database.
#[derive(Debug, thiserror::Error)]
pub(super) enum CallError {
    #[error("the call panicked")]
    Panicked,
    #[error("the thread of the store has ended")]
    ThreadEnded,
}

impl From<CallError> for StoreError {
    fn from(error: CallError) -> Self {
        Self::Unavailable(Arc::new(error))
    }
}

impl From<Error> for StoreError {
    fn from(error: Error) -> Self {
        if is_damage(&error) {
            Self::Corrupt(format!("{error}; {REMEDY}"))
        } else if is_corruption(&error) {
            Self::Corrupt(error.to_string())
        } else {
            Self::Unavailable(Arc::new(error))
        }
    }
}

/// Tells whether SQLite cannot read the file.
fn is_damage(error: &Error) -> bool {
    use ErrorCode::{DatabaseCorrupt, NotADatabase};
    matches!(error, Error::SqliteFailure(failure, _)
        if matches!(failure.code, DatabaseCorrupt | NotADatabase))
}

/// Tells whether the stored data is faulty, and not the access to it.
pub(super) fn is_corruption(error: &Error) -> bool {
    match error {
        Error::SqliteFailure(..) => is_damage(error),
        Error::FromSqlConversionFailure(..)
        | Error::IntegralValueOutOfRange(..)
        | Error::InvalidColumnType(..)
        | Error::Utf8Error(..) => true,
        _ => false,
    }
}

/// Does the work of one call. A panic fails that call, and its thread goes on.
pub(super) fn caught<T, E: Into<StoreError>>(
    work: impl FnOnce() -> Result<T, E>,
) -> Result<T, StoreError> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(result) => result.map_err(Into::into),
        // The hook has printed what it was.
        Err(_) => Err(CallError::Panicked.into()),
    }
}
