//! `ssfd sources`: an operator looks at the sources, handles what they hold and rejected, and tries them.
//!
//! `test` sends a payload as the sender would, signed with the source's own secret. `explain` shows what a
//! source makes of a payload, without a daemon. The other commands call the admin API.

pub(super) mod explain;
mod test;

use clap::{Args, Subcommand};
use hyper::Method;
use serde_json::{Value, json};

use crate::{
    cli::{
        CliError,
        admin::{AdminArgs, AdminClient},
        moment, output, plain,
        source::ConfigSource,
        table::Table,
    },
    domain::{
        event_type::EventType,
        id::{ProviderName, SourceName},
        mapping::Preset,
    },
    http::admin::{
        PAGE_MAX,
        sources::{
            HandledHeldView, HeldEventsView, PollErrorView, PollRoundView, PollView,
            RejectedRecordsView, SourceView, SourcesView, UnmatchedTypesView,
        },
    },
};

use self::{explain::TryArgs, test::TestArgs};

const EXAMPLES: &str = "Examples:
  ssfd sources list --token-file operator.token
  ssfd sources show keycloak
  ssfd sources try keycloak --file record.json
  ssfd sources test keycloak --send record.json
  ssfd sources held keycloak
  ssfd sources release keycloak --all
  ssfd sources discard keycloak 7d0c5a3e0d6f4d2f9b1a1c2e3f405162
  ssfd sources rejected keycloak
  ssfd sources unmatched keycloak
  ssfd sources example authentik";

/// List, show and try the sources, and handle the events that they hold and the records that they
/// rejected.
///
/// A source takes the native events of an identity provider and maps them to security events. `list`,
/// `show`, `held`, `release`, `discard`, `rejected` and `unmatched` send requests to the internal listener
/// of a running daemon, with an operator's token (`ssfd tokens create operator`).
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct SourcesCommand {
    #[command(subcommand)]
    command: SourcesAction,
}

#[derive(Debug, Subcommand)]
enum SourcesAction {
    /// List the sources of all providers
    #[command(after_help = examples!("ssfd sources list --token-file operator.token", "ssfd sources list --json"))]
    List(AdminArgs),
    /// Show one source: its rules, what it may emit, how much it holds, and how far it has polled
    #[command(after_help = examples!("ssfd sources show keycloak"))]
    Show(OneSource),
    /// Send a payload to the running daemon as the sender would, signed with the source's own secret
    #[command(after_help = examples!(
        "ssfd sources test keycloak --send record.json",
        "ssfd sources test kratos --send record.json --query hook=recovery",
    ))]
    Test(TestArgs),
    /// Show what a source makes of a payload; nothing is sent
    #[command(after_help = examples!(
        "ssfd sources try keycloak --file record.json",
        "ssfd sources try kratos --file record.json --query hook=recovery",
    ))]
    Try(TryArgs),
    /// List the events that a source holds because more came in a minute than it may emit
    #[command(after_help = examples!("ssfd sources held keycloak"))]
    Held(OneSource),
    /// Publish held events in their order
    #[command(after_help = examples!(
        "ssfd sources release keycloak --all",
        "ssfd sources release keycloak 7d0c5a3e0d6f4d2f9b1a1c2e3f405162",
    ))]
    Release(HeldSelection),
    /// Remove held events for good
    #[command(after_help = examples!("ssfd sources discard keycloak --all"))]
    Discard(HeldSelection),
    /// List the records that a source rejected, the youngest first, each with the reason
    #[command(after_help = examples!("ssfd sources rejected keycloak", "ssfd sources rejected keycloak --clear"))]
    Rejected {
        #[command(flatten)]
        one: OneSource,
        /// Remove all of them
        #[arg(long)]
        clear: bool,
    },
    /// List the native types that no rule takes, the most frequent first
    #[command(after_help = examples!("ssfd sources unmatched keycloak"))]
    Unmatched(OneSource),
    /// Print the text that a preset has for the sender's side
    #[command(after_help = examples!("ssfd sources example", "ssfd sources example authentik"))]
    Example {
        /// The preset; left out, the presets are listed
        #[arg(value_name = "PRESET")]
        preset: Option<String>,
    },
}

/// The name of a source, with or without its provider.
#[derive(Debug, Clone)]
pub(super) struct SourceRef {
    pub(super) provider: Option<ProviderName>,
    pub(super) name: SourceName,
}

impl std::str::FromStr for SourceRef {
    type Err = crate::domain::id::InvalidId;

    fn from_str(raw: &str) -> Result<Self, Self::Err> {
        Ok(match raw.split_once('/') {
            Some((provider, name)) => {
                Self { provider: Some(provider.parse()?), name: name.parse()? }
            }
            None => Self { provider: None, name: raw.parse()? },
        })
    }
}

#[derive(Debug, Args)]
struct OneSource {
    /// The source, or PROVIDER/SOURCE if several have the name
    #[arg(value_name = "SOURCE")]
    source: SourceRef,
    #[command(flatten)]
    access: AdminArgs,
}

#[derive(Debug, Args)]
struct HeldSelection {
    #[command(flatten)]
    one: OneSource,
    /// The ids of the events
    #[arg(value_name = "ID", required_unless_present = "all", conflicts_with = "all")]
    ids: Vec<String>,
    /// All events that are held
    #[arg(long)]
    all: bool,
}

impl SourcesCommand {
    pub async fn run(self, config: &ConfigSource, json: bool) -> Result<(), CliError> {
        let text = match self.command {
            SourcesAction::Test(test) => return test.run(config, json).await,
            SourcesAction::Try(tried) => return tried.run(config, json).await,
            SourcesAction::Example { preset } => example(preset.as_deref(), json)?,
            SourcesAction::List(access) => {
                let SourcesView { sources } = access.client(config)?.get(&["sources"], &[]).await?;
                if json { to_json(&sources) } else { table(&sources) }
            }
            SourcesAction::Show(one) => {
                let (admin, path) = one.open(config).await?;
                let source: SourceView = admin.get(&below(&path, &[]), &[]).await?;
                if json { to_json(&source) } else { describe(&source) }
            }
            SourcesAction::Held(one) => {
                let (admin, path) = one.open(config).await?;
                let held: HeldEventsView = admin.get(&below(&path, &["held"]), &limit()).await?;
                if json { to_json(&held) } else { describe_held(&held) }
            }
            SourcesAction::Release(selection) => selection.perform(config, "release", json).await?,
            SourcesAction::Discard(selection) => selection.perform(config, "discard", json).await?,
            SourcesAction::Rejected { one, clear } => {
                let (admin, path) = one.open(config).await?;
                let path = below(&path, &["rejected"]);
                if clear {
                    admin.send_empty(Method::DELETE, &path).await?;
                    if json { json!({"cleared": true}).to_string() } else { "cleared".to_owned() }
                } else {
                    let rejected: RejectedRecordsView = admin.get(&path, &limit()).await?;
                    if json { to_json(&rejected) } else { describe_rejected(&rejected) }
                }
            }
            SourcesAction::Unmatched(one) => {
                let (admin, path) = one.open(config).await?;
                let types: UnmatchedTypesView =
                    admin.get(&below(&path, &["unmatched"]), &[]).await?;
                if json { to_json(&types) } else { describe_unmatched(&types) }
            }
        };
        output::print(text)
    }
}

fn limit() -> [(&'static str, String); 1] {
    [("limit", PAGE_MAX.to_string())]
}

/// Returns the path of a resource of a source.
fn below<'a>(path: &'a [String; 2], rest: &[&'a str]) -> Vec<&'a str> {
    let [provider, source] = path;
    ["sources", provider, source].iter().chain(rest).copied().collect()
}

impl OneSource {
    /// Returns a client, and the provider and the name of the source.
    async fn open(self, config: &ConfigSource) -> Result<(AdminClient, [String; 2]), CliError> {
        let SourceRef { provider, name } = self.source;
        let admin = self.access.client(config)?;
        let provider = if let Some(provider) = provider {
            provider
        } else {
            let SourcesView { sources } = admin.get(&["sources"], &[]).await?;
            let named = sources.into_iter().filter(|source| source.name == name);
            only(&name, named.map(|source| source.provider))?
        };
        Ok((admin, [provider.to_string(), name.to_string()]))
    }
}

/// Returns the only provider that has a source of this name.
pub(super) fn only(
    name: &SourceName,
    providers: impl Iterator<Item = ProviderName>,
) -> Result<ProviderName, CliError> {
    let providers: Vec<_> = providers.collect();
    match <[ProviderName; 1]>::try_from(providers) {
        Ok([provider]) => Ok(provider),
        Err(none) if none.is_empty() => Err(CliError::new(format!(
            "there is no source `{name}`; `ssfd sources list` lists them"
        ))),
        Err(several) => {
            let choices: Vec<_> = several.iter().map(|one| format!("{one}/{name}")).collect();
            Err(CliError::new(format!(
                "several providers have a source `{name}`; choose one of: {}",
                choices.join(", ")
            )))
        }
    }
}

impl HeldSelection {
    async fn perform(
        self,
        config: &ConfigSource,
        action: &str,
        json: bool,
    ) -> Result<String, CliError> {
        let (admin, path) = self.one.open(config).await?;
        let body = if self.all { json!({}) } else { json!({"ids": self.ids}) };
        let handled: HandledHeldView = admin.post(&below(&path, &["held", action]), &body).await?;
        if json {
            return Ok(to_json(&handled));
        }
        let HandledHeldView { handled, left } = handled;
        let did = if action == "release" { "released" } else { "discarded" };
        Ok(format!("{did} {handled} events; {left} are still held"))
    }
}

fn example(name: Option<&str>, json: bool) -> Result<String, CliError> {
    let Some(name) = name else {
        let names: Vec<_> = Preset::names().collect();
        if json {
            return Ok(to_json(&names));
        }
        let mut table = Table::new(["PRESET", "SENDER"]);
        for preset in Preset::all() {
            table.add([preset.name().to_owned(), preset.title().to_owned()]);
        }
        return Ok(table.to_string());
    };
    let preset = Preset::find(name).ok_or_else(|| {
        let names: Vec<_> = Preset::names().collect();
        CliError::new(format!("there is no preset `{name}`; the presets are: {}", names.join(", ")))
    })?;
    match preset.example() {
        "" => Err(CliError::new(format!(
            "the preset `{name}` needs no text at the sender; docs/sources/{name}.md has the steps"
        ))),
        text if json => Ok(to_json(&json!({"preset": name, "example": text}))),
        text => Ok(text.trim_end().to_owned()),
    }
}

fn to_json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("views are plain data")
}

fn lines(lines: impl Iterator<Item = String>) -> String {
    lines.collect::<Vec<_>>().join("\n")
}

fn table(sources: &[SourceView]) -> String {
    let mut table = Table::new(["SOURCE", "MODE", "PRESET", "HELD", "REJECTED", "PLACE"]);
    for source in sources {
        let sent = [source.path.as_deref(), source.redis_key.as_deref()];
        let polled = source.polls.iter().map(|poll| poll.url.as_str());
        let places: Vec<_> = sent.into_iter().flatten().chain(polled).collect();
        table.add([
            format!("{}/{}", source.provider, source.name),
            source.mode.clone(),
            source.preset.clone().unwrap_or_else(|| "-".to_owned()),
            source.held.to_string(),
            source.rejected.to_string(),
            plain(&places.join(" ")),
        ]);
    }
    table.to_string()
}

fn describe(source: &SourceView) -> String {
    let types: Vec<_> = source.may_emit.iter().map(EventType::short_name).collect();
    let per_minute = match source.events_per_minute_max {
        0 => "no limit".to_owned(),
        max => max.to_string(),
    };
    let members = [
        ("source", Some(format!("{}/{}", source.provider, source.name))),
        ("mode", Some(source.mode.clone())),
        ("preset", source.preset.clone()),
        ("path", source.path.clone()),
        ("redis_key", source.redis_key.clone()),
        ("may_emit", Some(types.join(" "))),
        ("rules", Some(source.rules.join(" "))),
        ("per_minute", Some(per_minute)),
        ("held", Some(source.held.to_string())),
        ("rejected", Some(source.rejected.to_string())),
    ];
    let polls = source.polls.iter().map(|poll| ("poll", Some(describe_poll(poll))));
    let shown = members.into_iter().chain(polls);
    let shown = shown.filter_map(|(name, value)| Some((name, value?)));
    lines(shown.map(|(name, value)| format!("{name:10}  {}", plain(&value))))
}

fn describe_poll(poll: &PollView) -> String {
    let mut parts = vec![poll.url.clone()];
    parts.push(match poll.newest {
        Some(newest) => format!("read up to {}", moment::show(newest)),
        None => "not read yet".to_owned(),
    });
    parts.push(match &poll.last_round {
        Some(PollRoundView { ended_at, outcome, pages, records, new, known }) => format!(
            "last round {}: {outcome}, {pages} pages, {records} records, {new} new events, {known} known",
            moment::show(*ended_at)
        ),
        None if poll.polls_here => "no round has ended".to_owned(),
        None => "another node polls".to_owned(),
    });
    if let Some(PollErrorView { at, error }) = &poll.last_error {
        parts.push(format!("last error {}: {error}", moment::show(*at)));
    }
    parts.join("; ")
}

fn describe_held(view: &HeldEventsView) -> String {
    let mut table = Table::new(["ID", "HELD SINCE", "RULE", "EVENT"]);
    for held in &view.held {
        table.add([
            held.id.clone(),
            moment::show(held.held_at),
            held.rule.clone().unwrap_or_else(|| "-".to_owned()),
            plain(&held.event.to_string()),
        ]);
    }
    table.to_string() + &more(view.held.len(), view.total)
}

fn describe_rejected(view: &RejectedRecordsView) -> String {
    let mut table = Table::new(["REJECTED AT", "TYPE", "RULE", "WHY", "RECORD"]);
    for rejected in &view.rejected {
        let text = |part: &Option<String>| plain(part.as_deref().unwrap_or("-"));
        let alarm = if rejected.alarm { "ALARM: " } else { "" };
        table.add([
            moment::show(rejected.rejected_at),
            text(&rejected.native_type),
            text(&rejected.rule),
            plain(&format!("{alarm}{}", rejected.why)),
            plain(&rejected.record.as_ref().map(Value::to_string).unwrap_or_default()),
        ]);
    }
    table.to_string() + &more(view.rejected.len(), view.total)
}

/// Tells how many entries are not shown.
fn more(shown: usize, total: usize) -> String {
    if shown < total { format!("\n… and {} more", total - shown) } else { String::new() }
}

fn describe_unmatched(view: &UnmatchedTypesView) -> String {
    let mut table = Table::new(["COUNT", "LAST", "TYPE"]);
    for seen in &view.types {
        let last = moment::show(seen.last_at);
        table.add([seen.count.to_string(), last, plain(&seen.native_type)]);
    }
    table.to_string()
}
