//! Arguments that are secrets: in a flag, an environment variable or a file.

use std::{convert::Infallible, path::PathBuf};

use clap::Args;

use crate::{
    cli::{CliError, read_file},
    domain::secret::Secret,
};

/// The access token that a command sends.
#[derive(Debug, Clone, Args)]
pub(super) struct TokenArgs {
    /// The access token
    #[arg(long, env = "SSFD_TOKEN", hide_env_values = true, value_parser = secret)]
    token: Option<Secret>,
    /// A file with the access token; overrides --token
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

/// Parses an argument into a [`Secret`], so that its text is never printed.
#[expect(clippy::unnecessary_wraps, reason = "clap's value parsers may fail")]
pub(super) fn secret(text: &str) -> Result<Secret, Infallible> {
    Ok(Secret::new(text))
}

impl TokenArgs {
    pub(super) fn read(self) -> Result<Option<Secret>, CliError> {
        match self.token_file {
            Some(file) => Ok(Some(Secret::new(String::from_utf8_lossy(&read_file(&file)?).trim()))),
            None => Ok(self.token),
        }
    }
}
