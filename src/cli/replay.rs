//! `ssfd replay`: a stream gets again what it was sent.

use std::num::NonZeroU32;

use clap::Args;
use serde_json::json;

use crate::{
    cli::{CliError, admin::Access, moment::Moment, pages::handle_all},
    domain::id::{Jti, StreamId},
};

const EXAMPLES: &str = "Examples:
  ssfd replay st_4f0c --since 2026-03-01T08:30:00Z --dry-run
  ssfd replay st_4f0c --since 6h --rate 50
  ssfd replay st_4f0c --from-jti 237c3a5f688e5ab2813852be06101bca --new-jti
  ssfd replay st_4f0c --from-position 88120";

/// Have a stream get again what it was sent, or what died on it, from some time on.
///
/// Asks the daemon that runs, at its internal listener, with an operator's token. What is still kept
/// (`store.event_retention`) goes into the outbox again, in order and behind what waits there. It
/// goes page by page: a run that was interrupted can be run again, and repeats what it had repeated.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Replay {
    /// The stream
    #[arg(value_name = "STREAM_ID")]
    id: StreamId,
    #[command(flatten)]
    from: Beginning,
    /// Give each SET a `jti` and a time of issue of its own, so that a Receiver which had it takes it
    /// for new; without this it knows the repeat by the `jti`, and may drop it
    #[arg(long)]
    new_jti: bool,
    /// SETs in a second, at most
    #[arg(long, value_name = "SETS", default_value = "100")]
    rate: NonZeroU32,
    /// Only count what would be done
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    access: Access,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Beginning {
    /// What was accepted since: a time, or a span before now such as `6h`
    #[arg(long, value_name = "TIME")]
    since: Option<Moment>,
    /// This SET and what came behind it
    #[arg(long, value_name = "JTI")]
    from_jti: Option<Jti>,
    /// From this place of the outbox on, as `dead show` and `explain` tell it
    #[arg(long, value_name = "POSITION")]
    from_position: Option<i64>,
}

impl Replay {
    pub async fn run(self, json: bool) -> Result<(), CliError> {
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
        let totals = handle_all(&self.access.client()?, &path, body, rate).await?;
        if json {
            println!("{}", totals.to_json(self.dry_run));
        } else {
            let verb = if self.dry_run { "would be replayed" } else { "replayed" };
            println!("{} {verb} to {}", totals.sets, self.id);
        }
        Ok(())
    }
}
