//! `ssfd store`: moves what one store holds into another.

mod named;
mod progress;
mod report;

use clap::{Args, Subcommand};

use self::{
    named::StoreName,
    progress::Shown,
    report::{Done, Report},
};
use crate::{
    app::{self, Reserved},
    cli::CliError,
    config::{Config, StoreSettings},
    store::copy::{CopyError, Step, compare, copy},
};

const EXAMPLES: &str = "Examples:
  ssfd store copy --from sqlite:/var/lib/ssfd/ssfd.db --to redis://127.0.0.1:6379 --dry-run
  ssfd store copy --from sqlite:/var/lib/ssfd/ssfd.db --to config
  ssfd store copy --from config --to sqlite:/var/lib/ssfd/back.db --json
  ssfd store copy --from config:/etc/ssfd/one-server.toml --to config
  ssfd store verify --from sqlite:/var/lib/ssfd/ssfd.db --to config";

/// Copy what one store holds into another, from SQLite to Redis, back, or between two of a kind; or
/// compare two.
///
/// Stop every daemon that serves from either of them first: one that does is noticed, and nothing is
/// done. Nor can any start meanwhile on a SQLite file, or on what is copied into.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Store {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a store hold what another holds, and nothing else
    ///
    /// Streams with their subjects, SETs that wait, were sent, discarded or are dead, accounts that opted
    /// out, publishers' event ids and recorded events, positions of readers, clients and tokens: all goes
    /// as it is, in its order. Then both are read again and compared; a difference is an error.
    ///
    /// It may be run again: what is the same is left, what has changed is brought, what is gone goes, and
    /// nothing is doubled. So a run that broke off is completed by another, and until then no daemon starts
    /// on the target. A target is refused that has streams of its own, or anything newer than the source.
    #[command(after_help = EXAMPLES)]
    Copy {
        #[command(flatten)]
        stores: Stores,
        /// Only count what would be done
        #[arg(long)]
        dry_run: bool,
        /// Take the target whatever it has: its own streams go, and what has happened there since
        #[arg(long)]
        replace: bool,
    },
    /// Compare two stores by counts and digests; a difference is an error
    #[command(after_help = EXAMPLES)]
    Verify {
        #[command(flatten)]
        stores: Stores,
    },
}

#[derive(Debug, Args)]
struct Stores {
    /// `sqlite:PATH`; a URL `redis://`, `rediss://` or `redis+unix://`, for which topology, TLS and all
    /// else is as `[store.redis]` has it; `config` for the store of the configuration, or `config:FILE`
    /// for that of another
    #[arg(long, value_name = "STORE")]
    from: StoreName,
    /// In the same way
    #[arg(long, value_name = "STORE")]
    to: StoreName,
}

impl Stores {
    fn settings(&self, config: &Config) -> Result<(StoreSettings, StoreSettings), CliError> {
        let (source, target) = (self.from.settings(config)?, self.to.settings(config)?);
        if named::are_the_same(&source, &target) {
            return Err(CliError::new("the source and the target are one store"));
        }
        Ok((source, target))
    }
}

impl Store {
    pub async fn run(self, config: &Config, json: bool) -> Result<(), CliError> {
        match self.command {
            Command::Copy { stores, dry_run: true, replace } => {
                survey(&stores, replace, config, json).await
            }
            Command::Copy { stores, dry_run: false, replace } => {
                let (source, target) = stores.settings(config)?;
                let source = read(&stores.from, &source).await?;
                let target = fill(&stores.to, &target).await?;
                let shown = Shown::new();
                let tell = |progress| shown.tell(progress);
                let before = copy(source.store(), target.store(), replace, &tell).await;
                shown.end();
                let before = before.map_err(|error| refused(&error))?;
                println!("{}", Report { before: &before, done: Done::Copied }.text(json));
                Ok(())
            }
            Command::Verify { stores } => {
                let (source, target) = stores.settings(config)?;
                let source = read(&stores.from, &source).await?;
                let target = read(&stores.to, &target).await?;
                let shown = Shown::new();
                let tell = |progress| shown.tell(progress);
                let found = compare(source.store(), target.store(), Step::Verify, &tell).await;
                shown.end();
                let found = found.map_err(|error| CliError::of(&error))?;
                println!("{}", Report { before: &found, done: Done::Compared }.text(json));
                found.difference().map_or(Ok(()), |difference| Err(CliError::new(difference)))
            }
        }
    }
}

/// What a copy would do.
async fn survey(
    stores: &Stores,
    replace: bool,
    config: &Config,
    json: bool,
) -> Result<(), CliError> {
    let (source, mut target) = stores.settings(config)?;
    let source = read(&stores.from, &source).await?;
    // What is not there is not made for a look.
    let nowhere = tempfile::tempdir().map_err(CliError::new)?;
    if named::is_missing(&target) {
        target.sqlite.path = nowhere.path().join("empty.db");
    }
    let target = fill(&stores.to, &target).await?;
    let shown = Shown::new();
    let tell = |progress| shown.tell(progress);
    let before = compare(source.store(), target.store(), Step::Compare, &tell).await;
    shown.end();
    let before = before.map_err(|error| CliError::of(&error))?;
    println!("{}", Report { before: &before, done: Done::Surveyed }.text(json));
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
        CopyError::OtherStreams { .. } | CopyError::Newer => {
            CliError::new(format!("{error}; it is left as it is, unless you say `--replace`"))
        }
        other => CliError::of(other),
    }
}
