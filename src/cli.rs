//! The commands.

#![expect(clippy::print_stdout, reason = "a command speaks to its user")]

use std::fmt;

pub mod keys;
pub mod receive;

/// Why a command failed, as its user reads it.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct CliError(pub String);

impl CliError {
    pub fn new(message: impl fmt::Display) -> Self {
        Self(message.to_string())
    }
}
