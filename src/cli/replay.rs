//! `ssfd replay`: sends the earlier SETs of a stream again.

use std::num::NonZeroU32;

use clap::Args;
use serde_json::json;

use crate::{
    cli::{
        CliError, admin::AdminArgs, moment::Moment, output, pages::handle_all, source::ConfigSource,
    },
    domain::id::{Jti, StreamId},
};

const EXAMPLES: &str = "Examples:
  ssfd replay st_4f0c --since 2026-03-01T08:30:00Z --dry-run
  ssfd replay st_4f0c --since 6h --rate 50
  ssfd replay st_4f0c --from-jti 237c3a5f688e5ab2813852be06101bca --new-jti
  ssfd replay st_4f0c --from-position 88120";

/// Send a stream's settled SETs again, including its dead letters, from some time on
///
/// Calls the internal listener of a running daemon with an operator's token. The SETs that are
/// still kept (`store.event_retention`) return in their order to the end of the outbox. The command
/// works page by page. A run that was interrupted can be repeated, and then sends the SETs of the
/// first run once more.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct ReplayCommand {
    /// The id of the stream
    #[arg(value_name = "STREAM_ID")]
    id: StreamId,
    #[command(flatten)]
    from: ReplayStart,
    /// Give each SET a new `jti` and `iat`, so that the Receiver treats it as a new SET; otherwise
    /// the Receiver recognises the `jti` and may drop it
    #[arg(long)]
    new_jti: bool,
    /// The most SETs in a second
    #[arg(long, value_name = "SETS", default_value = "100")]
    rate: NonZeroU32,
    /// Only count the SETs, and change nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    access: AdminArgs,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct ReplayStart {
    /// Replay SETs that were accepted since this time, or within a span such as `6h`
    #[arg(long, value_name = "TIME")]
    since: Option<Moment>,
    /// Replay this SET and all later ones
    #[arg(long, value_name = "JTI")]
    from_jti: Option<Jti>,
    /// Replay SETs from this position of the outbox on, which `dead show` and `explain` print
    #[arg(long, value_name = "POSITION")]
    from_position: Option<i64>,
}

impl ReplayCommand {
    pub async fn run(self, config: &ConfigSource, json: bool) -> Result<(), CliError> {
        let mut body = json!({
            "jti": if self.new_jti { "new" } else { "kept" },
            "dry_run": self.dry_run,
        });
        if let Some(since) = self.from.since {
            body["since"] = since.0.as_secs().into();
        }
        if let Some(jti) = self.from.from_jti {
            body["from_jti"] = jti.as_str().into();
        }
        if let Some(position) = self.from.from_position {
            body["from_position"] = position.into();
        }
        let path = ["streams", self.id.as_str(), "replay"];
        let rate = Some(self.rate).filter(|_| !self.dry_run);
        let totals = handle_all(&self.access.client(config)?, &path, body, rate).await?;
        if json {
            output::print(totals.to_json(self.dry_run))
        } else {
            let verb = if self.dry_run { "would be replayed" } else { "replayed" };
            output::print(format_args!("{} {verb} to {}", totals.sets, self.id))
        }
    }
}
