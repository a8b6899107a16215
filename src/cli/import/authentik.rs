//! `ssfd import authentik`: takes over the streams of authentik's SSF providers.
//!
//! - [`export`] reads what authentik's API lists. [`owners`] finds the Receiver of each stream.
//! - [`plan`] compares each stream with the daemon's streams, and has the daemon check those that are to
//!   be made. It changes nothing.
//! - [`report`] tells what was done, and what cannot be carried over.

mod export;
mod owners;
mod plan;
mod report;

use std::{fs::File, io::Read as _, path::PathBuf};

use clap::Args;

use self::{export::Export, owners::Owner, plan::Plan, report::Report};
use crate::{
    cli::{CliError, admin::AdminArgs, output, source::ConfigSource},
    domain::id::ProviderName,
};

/// The largest export that is read, in bytes. A stream takes some 2 KiB.
const EXPORT_BYTES_MAX: u64 = 64 * 1024 * 1024;

const EXAMPLES: &str = "Examples:
  ssfd import authentik export.json --receiver acme --dry-run
  ssfd import authentik export.json --receiver acme --token-file operator.token
  ssfd import authentik export.json --receiver acme --receiver 'Apple Business=apple' --json
  ssfd import authentik export.json --receiver acme --provider corp";

/// Take over the streams of authentik's SSF providers
///
/// The export has the answers of authentik's API, one behind the other: `/api/v3/providers/ssf/` and all pages
/// of `/api/v3/ssf/streams/`. Each stream is made with its id, `aud`, endpoint, events, delivery method and
/// status. The command says what it cannot carry over. A stream that is there already is left as it is, so the
/// command may be repeated.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct FromAuthentik {
    /// The file with the answers of authentik's API
    #[arg(value_name = "FILE")]
    export: PathBuf,
    /// The Receiver that owns the streams, or with a key in front, those of one stream id or SSF provider
    /// (its name or its `pk`); may be given several times
    #[arg(long, value_name = "[KEY=]NAME", required = true)]
    receiver: Vec<Owner>,
    /// The provider of the streams [default: the one whose issuer is the stream's `iss`]
    #[arg(long, value_name = "NAME")]
    provider: Option<ProviderName>,
    /// Show what would be done, and change nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    access: AdminArgs,
}

impl FromAuthentik {
    pub(super) async fn run(self, config: &ConfigSource, json: bool) -> Result<(), CliError> {
        let file = self.export.display();
        let text = read(&self.export)?;
        let export = Export::read(&text).map_err(|flaws| refused(&file, &flaws))?;
        let owners =
            owners::find(&export, &self.receiver).map_err(|flaws| refused(&file, &flaws))?;
        let admin = self.access.client(config)?;
        let plans = plan::make(&admin, &export, &owners, self.provider.as_ref()).await?;
        let plans = plans.map_err(|flaws| refused(&file, &flaws))?;
        let new = plans.iter().filter_map(Plan::body);
        if !self.dry_run {
            let (mut made, of) = (0, new.clone().count());
            for body in new {
                plan::perform(&admin, body).await.map_err(|error| {
                    CliError::new(format!(
                        "{error} ({made} of {of} streams were made; repeat the command to make the others)"
                    ))
                })?;
                made += 1;
            }
        }
        let report = Report { export: &export, plans: &plans, dry_run: self.dry_run };
        output::print(if json { report.json().to_string() } else { report.text() })
    }
}

fn read(path: &PathBuf) -> Result<Vec<u8>, CliError> {
    let in_file = |error| CliError::new(format!("{}: {error}", path.display()));
    let mut text = Vec::new();
    let file = File::open(path).map_err(|error| in_file(error.to_string()))?;
    file.take(EXPORT_BYTES_MAX + 1)
        .read_to_end(&mut text)
        .map_err(|error| in_file(error.to_string()))?;
    if EXPORT_BYTES_MAX < u64::try_from(text.len()).unwrap_or(u64::MAX) {
        return Err(in_file(format!(
            "is larger than {EXPORT_BYTES_MAX} bytes; import the streams of one SSF provider at a time \
             (`?provider=<pk>`)"
        )));
    }
    Ok(text)
}

/// Makes one error of all that is wrong, each on a line of its own.
fn refused(file: &impl std::fmt::Display, flaws: &[String]) -> CliError {
    let lines: Vec<_> = flaws.iter().map(|flaw| format!("\n  {flaw}")).collect();
    CliError::new(format!("{file}: nothing was imported:{}", lines.concat()))
}
