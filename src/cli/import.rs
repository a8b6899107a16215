//! `ssfd import`: takes over the streams of another Transmitter.

mod authentik;

use clap::{Args, Subcommand};

use crate::cli::{CliError, source::ConfigSource};

const EXAMPLES: &str = "Examples:
  ssfd import authentik export.json --receiver acme --dry-run
  ssfd import authentik export.json --receiver acme --token-file operator.token";

/// Take over the streams of another Transmitter, with their ids.
///
/// Makes streams through the internal listener of a running daemon, with an operator's token (`ssfd tokens
/// create operator`). All streams are checked before the first one is made.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct ImportCommand {
    #[command(subcommand)]
    command: ImportAction,
}

#[derive(Debug, Subcommand)]
enum ImportAction {
    Authentik(Box<authentik::FromAuthentik>),
}

impl ImportCommand {
    pub async fn run(self, config: &ConfigSource, json: bool) -> Result<(), CliError> {
        match self.command {
            ImportAction::Authentik(import) => import.run(config, json).await,
        }
    }
}
