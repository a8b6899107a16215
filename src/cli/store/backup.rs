//! `ssfd store backup` and `ssfd store restore`.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use crate::{
    app,
    cli::{CliError, output},
    config::Config,
};

/// Copy the store into a file, also while a daemon serves from it
///
/// The file has the latest commit of the moment in which the command begins. Writers do not wait for
/// it, and it does not wait for them. The copy is checked by SQLite, only its owner may read it, and
/// the file appears when all of it is on disk. A Redis store is backed up by its server's own means.
#[derive(Debug, Args)]
#[command(after_help = examples!(
    "ssfd store backup /var/backups/ssfd-monday.db --config /etc/ssfd/ssfd.toml",
))]
pub(super) struct BackupStore {
    /// The file of the backup
    file: PathBuf,
    /// Overwrite an existing file
    #[arg(long)]
    force: bool,
}

/// Put a backup in the place of the store; first stop the daemon
///
/// The backup is checked and copied before the store is touched. The store that was there, and a log
/// beside it, are kept under names that end in `.replaced-` and the time. If a daemon is running, the
/// command is refused.
///
/// Everything since the backup is as if it had not happened: streams, tokens and SETs of that time are
/// gone, and SETs that were settled since are sent again, under the same `jti`. Events are read again
/// from the publishers' Redis, as far as it still has them.
#[derive(Debug, Args)]
#[command(after_help = examples!(
    "ssfd store restore /var/backups/ssfd-monday.db --config /etc/ssfd/ssfd.toml",
))]
pub(super) struct RestoreStore {
    /// The file of the backup, which is not changed
    file: PathBuf,
}

impl BackupStore {
    pub(super) fn run(self, config: &Config, json: bool) -> Result<(), CliError> {
        let place = app::store_place(&config.store);
        let copy = app::back_up_store(&config.store, &self.file, self.force);
        let copy = copy.map_err(|error| CliError::of(&error))?;
        let file = self.file.display();
        if json {
            let copied = json!({
                "store": place, "file": file.to_string(), "bytes": copy.bytes,
                "streams": copy.streams,
            });
            output::print(copied)
        } else {
            let (bytes, streams) = (copy.bytes, copy.streams);
            output::print(format_args!(
                "{place} copied to {file}: {bytes} bytes, {streams} streams, checked"
            ))
        }
    }
}

impl RestoreStore {
    pub(super) fn run(self, config: &Config, json: bool) -> Result<(), CliError> {
        let place = app::store_place(&config.store);
        let restored = app::restore_store(&config.store, &self.file);
        let restored = restored.map_err(|error| CliError::of(&error))?;
        let (copy, file) = (restored.copy, self.file.display());
        let replaced = restored.replaced.map(|path| path.display().to_string());
        if json {
            let restored = json!({
                "store": place, "file": file.to_string(), "bytes": copy.bytes,
                "streams": copy.streams, "replaced": replaced,
            });
            output::print(restored)?;
        } else {
            let (bytes, streams) = (copy.bytes, copy.streams);
            output::print(format_args!(
                "{place} restored from {file}: {bytes} bytes, {streams} streams, checked"
            ))?;
            if let Some(replaced) = replaced {
                output::print(format_args!("the store before is kept as {replaced}"))?;
            }
        }
        Ok(())
    }
}
