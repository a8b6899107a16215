//! `ssfd dead`: manages dead letters.

use std::num::NonZeroU32;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::{
    cli::{
        CliError,
        admin::{AdminArgs, AdminClient},
        moment::{self, Moment},
        output,
        pages::{Totals, handle_all},
        plain,
        source::ConfigSource,
        table::Table,
    },
    domain::{
        event_type::EventType,
        id::{Jti, ProviderName, StreamId},
    },
    http::admin::{
        PAGE_MAX,
        dead_letters::{DeadLetterView, DeadLettersView},
    },
};

const EXAMPLES: &str = "Examples:
  ssfd dead list --token-file operator.token
  ssfd dead list --stream st_4f0c --reason invalid_key --since 2h
  ssfd dead show 237c3a5f688e5ab2813852be06101bca
  ssfd dead redrive --stream st_4f0c --dry-run
  ssfd dead redrive --stream st_4f0c --rate 50
  ssfd dead redrive --jti 237c3a5f688e5ab2813852be06101bca
  ssfd dead purge --provider acme --until 2026-03-01T00:00:00Z";

/// List, show, redrive and purge dead letters: SETs that a Receiver refused or that were given up
///
/// Calls the internal listener of a running daemon with an operator's token
/// (`ssfd tokens create operator`). A redriven SET returns to the end of its stream's outbox with
/// the same `jti` and claims. The command works page by page, so a run that was interrupted can be
/// repeated.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct DeadCommand {
    #[command(subcommand)]
    command: DeadAction,
}

#[derive(Debug, Subcommand)]
enum DeadAction {
    /// List dead letters by stream
    #[command(after_help = examples!(
        "ssfd dead list --token-file operator.token",
        "ssfd dead list --stream st_4f0c --reason invalid_key --since 2h",
    ))]
    List {
        #[command(flatten)]
        filter: DeadLetterFilter,
        #[command(flatten)]
        access: AdminArgs,
    },
    /// Show one dead letter with its claims
    #[command(after_help = examples!("ssfd dead show 237c3a5f688e5ab2813852be06101bca"))]
    Show {
        /// The `jti` of the SET
        jti: Jti,
        #[command(flatten)]
        access: AdminArgs,
    },
    /// Send dead letters again, except verification SETs and those of disabled streams
    #[command(after_help = examples!(
        "ssfd dead redrive --stream st_4f0c --dry-run",
        "ssfd dead redrive --stream st_4f0c --rate 50",
        "ssfd dead redrive --jti 237c3a5f688e5ab2813852be06101bca",
    ))]
    Redrive {
        #[command(flatten)]
        choice: DeadLetterArgs,
        /// The most SETs in a second
        #[arg(long, value_name = "SETS", default_value = "100")]
        rate: NonZeroU32,
        #[command(flatten)]
        access: AdminArgs,
    },
    /// Remove dead letters for good
    #[command(after_help = examples!(
        "ssfd dead purge --provider acme --until 2026-03-01T00:00:00Z",
    ))]
    Purge {
        #[command(flatten)]
        choice: DeadLetterArgs,
        #[command(flatten)]
        access: AdminArgs,
    },
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Filters")]
struct DeadLetterFilter {
    /// Only dead letters of this provider
    #[arg(long, value_name = "NAME")]
    provider: Option<ProviderName>,
    /// Only dead letters of this stream
    #[arg(long, value_name = "STREAM_ID")]
    stream: Option<StreamId>,
    /// Only dead letters with this reason: an `err` code, `expired` or `hold_limit`
    #[arg(long)]
    reason: Option<String>,
    /// Only dead letters of this event type, by URI or short name
    #[arg(long = "type", value_name = "TYPE")]
    event_type: Option<EventType>,
    /// Only dead letters about this subject, which is a subject identifier in JSON
    #[arg(long, value_name = "JSON", value_parser = |raw: &str| serde_json::from_str::<Value>(raw))]
    subject: Option<Value>,
    /// Only SETs that became dead letters since this time, or within a span such as `2h`
    #[arg(long, value_name = "TIME")]
    since: Option<Moment>,
    /// Only SETs that became dead letters before this time
    #[arg(long, value_name = "TIME")]
    until: Option<Moment>,
    /// Only the SET with this `jti`
    #[arg(long)]
    jti: Option<Jti>,
}

#[derive(Debug, Args)]
struct DeadLetterArgs {
    #[command(flatten)]
    filter: DeadLetterFilter,
    /// Select all dead letters
    #[arg(long)]
    all: bool,
    /// Only count the SETs, and change nothing
    #[arg(long)]
    dry_run: bool,
}

impl DeadLetterFilter {
    /// Returns the filters as members of a request body or of a query.
    fn members(&self) -> Vec<(&'static str, Value)> {
        let text = |text: String| Value::String(text);
        let secs = |moment: Moment| Value::from(moment.0.as_secs());
        let members = [
            ("provider", self.provider.as_ref().map(|name| text(name.to_string()))),
            ("stream_id", self.stream.as_ref().map(|id| text(id.to_string()))),
            ("reason", self.reason.clone().map(text)),
            ("event_type", self.event_type.as_ref().map(|kind| text(kind.to_string()))),
            ("subject", self.subject.clone()),
            ("since", self.since.map(secs)),
            ("until", self.until.map(secs)),
            ("jti", self.jti.as_ref().map(|jti| text(jti.to_string()))),
        ];
        members.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }
}

impl DeadLetterArgs {
    fn body(&self) -> Value {
        let mut body = json!({"all": self.all, "dry_run": self.dry_run});
        for (name, value) in self.filter.members() {
            body[name] = value;
        }
        body
    }

    fn report(&self, totals: Totals, done: &str, left: &str, json: bool) -> String {
        if json {
            return totals.to_json(self.dry_run).to_string();
        }
        let done = if self.dry_run { format!("would be {done}") } else { done.to_owned() };
        let Totals { sets, left: stay } = totals;
        let left = if stay == 0 { String::new() } else { format!(", {stay} left: {left}") };
        format!("{sets} {done}{left}")
    }
}

impl DeadCommand {
    pub async fn run(self, config: &ConfigSource, json: bool) -> Result<(), CliError> {
        let text = match self.command {
            DeadAction::List { filter, access } => {
                return list(&access.client(config)?, &filter, json).await;
            }
            DeadAction::Show { jti, access } => {
                let path = ["dead-letters", jti.as_str()];
                let letter: DeadLetterView = access.client(config)?.get(&path, &[]).await?;
                if json { to_json(&letter) } else { describe(&letter) }
            }
            DeadAction::Redrive { choice, rate, access } => {
                let path = ["dead-letters", "redrive"];
                // A dry run changes nothing, so it needs no rate limit.
                let rate = Some(rate).filter(|_| !choice.dry_run);
                let totals =
                    handle_all(&access.client(config)?, &path, choice.body(), rate).await?;
                let left = "verification SETs, or of disabled streams";
                choice.report(totals, "redriven", left, json)
            }
            DeadAction::Purge { choice, access } => {
                let path = ["dead-letters", "purge"];
                let totals =
                    handle_all(&access.client(config)?, &path, choice.body(), None).await?;
                choice.report(totals, "purged", "no dead letters any more", json)
            }
        };
        output::print(text)?;
        Ok(())
    }
}

/// Lists all pages. Without JSON, prints each page as it arrives.
async fn list(admin: &AdminClient, filter: &DeadLetterFilter, json: bool) -> Result<(), CliError> {
    let text = |value: Value| match value {
        Value::String(text) => text,
        other => other.to_string(),
    };
    let mut query = vec![("limit", PAGE_MAX.to_string())];
    query.extend(filter.members().into_iter().map(|(name, value)| (name, text(value))));
    let (mut letters, mut after): (Vec<DeadLetterView>, Option<String>) = (Vec::new(), None);
    let mut table = Table::new(["JTI", "STREAM", "DIED", "REASON", "TYPE"]);
    let mut has_header = json;
    loop {
        let mut query = query.clone();
        query.extend(after.map(|after| ("after", after)));
        let mut page: DeadLettersView = admin.get(&["dead-letters"], &query).await?;
        if json {
            letters.append(&mut page.dead_letters);
        } else {
            for letter in &page.dead_letters {
                table.add(row(letter));
            }
            if !has_header {
                output::print(table.header())?;
                has_header = true;
            }
            table.take_page().into_iter().try_for_each(output::print)?;
        }
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    if json {
        output::print(to_json(&letters))?;
    }
    Ok(())
}

fn to_json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("views are plain data")
}

fn event_type(letter: &DeadLetterView) -> String {
    letter.event_type.as_ref().map_or_else(|| "-".to_owned(), EventType::short_name)
}

fn row(letter: &DeadLetterView) -> [String; 5] {
    let DeadLetterView { jti, stream_id, reason, .. } = letter;
    let (died, kind) = (moment::show(letter.died_at), plain(&event_type(letter)));
    [jti.to_string(), stream_id.to_string(), died, reason.clone(), kind]
}

fn describe(letter: &DeadLetterView) -> String {
    let members = [
        ("jti", Some(letter.jti.to_string())),
        ("copy_of", letter.copy_of.as_ref().map(Jti::to_string)),
        ("stream_id", Some(letter.stream_id.to_string())),
        ("provider", Some(letter.provider.to_string())),
        ("position", Some(letter.position.to_string())),
        ("event_type", Some(event_type(letter))),
        ("reason", Some(letter.reason.clone())),
        ("detail", Some(letter.detail.clone())),
        ("attempts", Some(letter.attempts.to_string())),
        ("accepted", Some(moment::show(letter.accepted_at))),
        ("died", Some(moment::show(letter.died_at))),
        ("claims", letter.claims.as_ref().map(|claims| claims.get().to_owned())),
    ];
    let shown = members.into_iter().filter_map(|(name, value)| Some((name, value?)));
    let lines = shown.map(|(name, value)| format!("{name:11}  {}", plain(&value)));
    lines.collect::<Vec<_>>().join("\n")
}
