//! Converts errors of Redis into [`StoreError`].

use std::{path::PathBuf, sync::Arc};

use redis::{ErrorKind, ParsingError, RedisError};

use super::checks::Problem;
use crate::store::StoreError;

/// The settings do not lead to a server.
#[derive(Debug, thiserror::Error)]
pub enum CannotConnect {
    #[error("`{key}` does not name a Redis server: {source}")]
    Url { key: &'static str, source: RedisError },
    #[error("cannot read {}: {}", .0.display(), .1)]
    Unreadable(PathBuf, String),
    #[error("the Redis server{0} cannot be the store: {1}; `store.redis.checks` says what follows")]
    Unfit(String, Problem),
}

impl From<CannotConnect> for StoreError {
    fn from(error: CannotConnect) -> Self {
        Self::Unavailable(Arc::new(error))
    }
}

impl From<RedisError> for StoreError {
    fn from(error: RedisError) -> Self {
        match (error.code(), error.kind()) {
            // Our scripts return this error.
            (Some("FENCED"), _) => Self::Fenced,
            // None of our scripts gives such an answer.
            (_, ErrorKind::UnexpectedReturnType) => Self::Corrupt(error.to_string()),
            _ => Self::Unavailable(Arc::new(error)),
        }
    }
}

impl From<ParsingError> for StoreError {
    fn from(error: ParsingError) -> Self {
        Self::Corrupt(error.to_string())
    }
}
