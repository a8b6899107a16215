//! `ssfd store`: backs the store up and restores it, copies one store into another, or compares two.

mod backup;
mod named;
mod progress;
mod report;

use clap::{Args, Subcommand};

use self::{
    backup::{BackupStore, RestoreStore},
    named::StoreName,
    progress::ProgressLine,
    report::{CopyOperation, CopyReport},
};
use crate::{
    app::{self, Reserved},
    cli::{CliError, output, source::ConfigSource},
    config::{Config, StoreSettings},
    store::copy::{CopyError, CopyStep, compare, copy},
};

const EXAMPLES: &str = "Examples:
  ssfd store backup /var/backups/ssfd-monday.db --config /etc/ssfd/ssfd.toml
  ssfd store restore /var/backups/ssfd-monday.db --config /etc/ssfd/ssfd.toml
  ssfd store copy --from sqlite:/var/lib/ssfd/ssfd.db --to redis://127.0.0.1:6379 --dry-run
  ssfd store copy --from sqlite:/var/lib/ssfd/ssfd.db --to config
  ssfd store copy --from config --to sqlite:/var/lib/ssfd/back.db --json
  ssfd store copy --from config:/etc/ssfd/one-server.toml --to config
  ssfd store verify --from sqlite:/var/lib/ssfd/ssfd.db --to config";

/// Back the store up and restore it, copy one store into another, or compare two stores
///
/// `backup` and `restore` are for SQLite. For `copy` and `verify`, each store may be SQLite or Redis:
/// first stop every daemon that uses one of them. If a daemon is running, the command is refused and
/// nothing is changed. Meanwhile, no daemon can start on a SQLite file or on the target.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct StoreCommand {
    #[command(subcommand)]
    command: StoreAction,
}

#[derive(Debug, Subcommand)]
enum StoreAction {
    Backup(BackupStore),
    Restore(RestoreStore),
    /// Copy one store into another, so that both have the same content
    ///
    /// The copy includes streams with their subjects, SETs in every state, accounts that opted out,
    /// publishers' event ids and recorded events, positions of readers, clients and tokens.
    /// Afterwards both stores are read again and compared. A difference is an error.
    ///
    /// The command can be repeated: it leaves equal records, updates changed ones, removes those
    /// that the source does not have, and duplicates none. After an interrupted run, no daemon
    /// starts on the target until a further run has completed the copy. The command refuses a
    /// target that has other streams, or anything newer than the source.
    ///
    /// A target file that does not exist is created if it is named as `sqlite:PATH` or by a
    /// configuration file. The default store of the working directory is not.
    #[command(after_help = examples!(
        "ssfd store copy --from sqlite:/var/lib/ssfd/ssfd.db --to redis://127.0.0.1:6379 --dry-run",
        "ssfd store copy --from sqlite:/var/lib/ssfd/ssfd.db --to config",
        "ssfd store copy --from config --to sqlite:/var/lib/ssfd/back.db --json",
        "ssfd store copy --from config:/etc/ssfd/one-server.toml --to config",
    ))]
    Copy {
        #[command(flatten)]
        stores: StorePair,
        /// Only count the records, and change nothing
        #[arg(long)]
        dry_run: bool,
        /// Copy even if the target has other streams or newer content, and replace all of it
        #[arg(long)]
        replace: bool,
    },
    /// Compare two stores by counts and digests; the exit code is 1 if they differ
    #[command(after_help = examples!(
        "ssfd store verify --from sqlite:/var/lib/ssfd/ssfd.db --to config",
    ))]
    Verify {
        #[command(flatten)]
        stores: StorePair,
    },
}

#[derive(Debug, Args)]
struct StorePair {
    /// The source: `sqlite:PATH`, a URL with `redis://`, `rediss://` or `redis+unix://`, `config`
    /// for the configured store, or `config:FILE` for the store of another configuration; for a
    /// URL, all other settings are those of `[store.redis]`
    #[arg(long, value_name = "STORE")]
    from: StoreName,
    /// The target, in the same form
    #[arg(long, value_name = "STORE")]
    to: StoreName,
}

impl StorePair {
    fn settings(&self, config: &Config) -> Result<(StoreSettings, StoreSettings), CliError> {
        let (source, target) = (self.from.settings(config)?, self.to.settings(config)?);
        if named::are_same(&source, &target) {
            return Err(CliError::new("the source and the target are the same store"));
        }
        Ok((source, target))
    }

    /// Refuses a target that only the working directory names and that does not exist.
    fn refuse_unnamed_target(
        &self,
        target: &StoreSettings,
        source: &ConfigSource,
    ) -> Result<(), CliError> {
        let is_default = matches!(self.to, StoreName::Config(None)) && !source.names_store();
        if is_default && app::store_is_missing(target) {
            return Err(CliError::new(format!(
                "there is no store in {}, and no configuration file names another; give --config, or \
                 name the file as `--to sqlite:PATH` to create it",
                app::store_place(target)
            )));
        }
        Ok(())
    }
}

impl StoreCommand {
    pub async fn run(self, source: &ConfigSource, json: bool) -> Result<(), CliError> {
        let config = source.load()?;
        match self.command {
            StoreAction::Backup(backup) => backup.run(&config, json),
            StoreAction::Restore(restore) => restore.run(&config, json),
            StoreAction::Copy { stores, dry_run, replace } => {
                let (from, to) = stores.settings(&config)?;
                stores.refuse_unnamed_target(&to, source)?;
                if dry_run {
                    self::dry_run(&stores, from, to, replace, json).await
                } else {
                    copy_all(&stores, from, to, replace, json).await
                }
            }
            StoreAction::Verify { stores } => {
                let (from, to) = stores.settings(&config)?;
                verify(&stores, from, to, json).await
            }
        }
    }
}

async fn copy_all(
    stores: &StorePair,
    source: StoreSettings,
    target: StoreSettings,
    replace: bool,
    json: bool,
) -> Result<(), CliError> {
    let place = app::store_place(&target);
    let source = read(&stores.from, &source).await?;
    let target = fill(&stores.to, &target).await?;
    let progress_line = ProgressLine::new();
    let report = |progress| progress_line.update(progress);
    let before = copy(source.store(), target.store(), replace, &report).await;
    progress_line.clear();
    let before = before.map_err(|error| refused(&error))?;
    let operation = CopyOperation::Copy;
    output::print(CopyReport { before: &before, target: place, operation }.text(json))?;
    Ok(())
}

async fn verify(
    stores: &StorePair,
    source: StoreSettings,
    target: StoreSettings,
    json: bool,
) -> Result<(), CliError> {
    let place = app::store_place(&target);
    let source = read(&stores.from, &source).await?;
    let target = read(&stores.to, &target).await?;
    let progress_line = ProgressLine::new();
    let report = |progress| progress_line.update(progress);
    let found = compare(source.store(), target.store(), CopyStep::Verify, &report).await;
    progress_line.clear();
    let found = found.map_err(|error| CliError::of(&error))?;
    let operation = CopyOperation::Verify;
    output::print(CopyReport { before: &found, target: place, operation }.text(json))?;
    found.difference().map_or(Ok(()), |difference| Err(CliError::new(difference)))
}

/// Reports what a copy would do.
async fn dry_run(
    stores: &StorePair,
    source: StoreSettings,
    mut target: StoreSettings,
    replace: bool,
    json: bool,
) -> Result<(), CliError> {
    let place = app::store_place(&target);
    let source = read(&stores.from, &source).await?;
    // A missing target is replaced by an empty one, because a dry run must not create it.
    let temporary = tempfile::tempdir().map_err(CliError::new)?;
    if app::store_is_missing(&target) {
        target.sqlite.path = temporary.path().join("empty.db");
    }
    let target = fill(&stores.to, &target).await?;
    let progress_line = ProgressLine::new();
    let report = |progress| progress_line.update(progress);
    let before = compare(source.store(), target.store(), CopyStep::Compare, &report).await;
    progress_line.clear();
    let before = before.map_err(|error| CliError::of(&error))?;
    let operation = CopyOperation::DryRun;
    output::print(CopyReport { before: &before, target: place, operation }.text(json))?;
    match before.objection() {
        Some(objection) if !replace => Err(refused(&objection)),
        _ => Ok(()),
    }
}

async fn read(name: &StoreName, settings: &StoreSettings) -> Result<Reserved, CliError> {
    let reserved = app::reserve_to_read(settings).await;
    reserved.map_err(|error| CliError::new(format!("{name}: {}", CliError::of(&error))))
}

async fn fill(name: &StoreName, settings: &StoreSettings) -> Result<Reserved, CliError> {
    let reserved = app::reserve_to_fill(settings).await;
    reserved.map_err(|error| CliError::new(format!("{name}: {}", CliError::of(&error))))
}

fn refused(error: &CopyError) -> CliError {
    match error {
        CopyError::OtherStreams { .. } | CopyError::Newer => CliError::new(format!(
            "{error}; the target is unchanged; --replace copies all the same"
        )),
        other => CliError::of(other),
    }
}
