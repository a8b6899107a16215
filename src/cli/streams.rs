//! `ssfd streams`: an operator manages the streams of all Receivers.

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
        id::{ProviderName, ReceiverId, StreamId},
        set_error::excerpt,
        status::StreamStatus,
        stream::METHOD_PUSH,
        subject::format::SubjectFormat,
    },
    http::admin::{
        PAGE_MAX,
        delivery_state::{BreakerView, CourierView, LastOutcomeView, PollingView},
        streams::{StreamView, StreamsView},
    },
};

const EXAMPLES: &str = "Examples:
  ssfd streams list --token-file operator.token
  ssfd streams list --status paused --receiver acme --json
  ssfd streams show st_4f0c
  ssfd streams pause st_4f0c --reason 'your endpoint moves tonight'
  ssfd streams enable st_4f0c
  ssfd streams disable st_4f0c --reason 'contract ended'
  ssfd streams format st_4f0c email
  ssfd streams verify st_4f0c
  ssfd streams delete st_4f0c";

/// List, show, pause, enable, disable, verify and delete the streams of all Receivers, and choose which
/// identifier their SETs carry.
///
/// Sends requests to the internal listener of a running daemon, with an operator's token (`ssfd tokens
/// create operator`). The Receiver is told of each change of status, with the reason, by a
/// stream-updated event (SSF §8.1.5).
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct StreamsCommand {
    #[command(subcommand)]
    command: StreamsAction,
}

#[derive(Debug, Subcommand)]
enum StreamsAction {
    /// List streams by id
    #[command(after_help = examples!(
        "ssfd streams list --token-file operator.token",
        "ssfd streams list --status paused --receiver acme --json",
    ))]
    List {
        #[command(flatten)]
        filter: StreamsFilter,
        #[command(flatten)]
        access: AdminArgs,
    },
    /// Show one stream: its configuration, its outbox, and why it does not deliver
    #[command(after_help = examples!("ssfd streams show st_4f0c"))]
    Show(OneStream),
    /// Pause a stream: it holds its SETs until it is enabled again
    #[command(after_help = examples!(
        "ssfd streams pause st_4f0c --reason 'your endpoint moves tonight'",
    ))]
    Pause(StatusChange),
    /// Enable a stream: it delivers again, the SETs that it held first
    #[command(after_help = examples!("ssfd streams enable st_4f0c"))]
    Enable(StatusChange),
    /// Disable a stream: it discards the SETs that wait, and takes no further ones
    #[command(after_help = examples!("ssfd streams disable st_4f0c --reason 'contract ended'"))]
    Disable(StatusChange),
    /// Choose which identifier the SETs of further events carry
    #[command(after_help = examples!("ssfd streams format st_4f0c email"))]
    Format {
        #[command(flatten)]
        one: OneStream,
        /// `as_published`, `iss_sub`, `email`, `opaque`, `phone_number` or `complex`
        #[arg(value_name = "FORM", value_parser = |raw: &str| raw.parse::<SubjectFormat>())]
        format: SubjectFormat,
    },
    /// Send a verification event on a stream
    #[command(after_help = examples!("ssfd streams verify st_4f0c"))]
    Verify(OneStream),
    /// Delete a stream and its SETs; the Receiver is not told
    #[command(after_help = examples!("ssfd streams delete st_4f0c"))]
    Delete(OneStream),
}

#[derive(Debug, Args)]
struct StreamsFilter {
    /// Only streams of this provider
    #[arg(long, value_name = "NAME")]
    provider: Option<ProviderName>,
    /// Only streams of this Receiver
    #[arg(long, value_name = "ID")]
    receiver: Option<ReceiverId>,
    /// Only streams that are `enabled`, `paused` or `disabled`
    #[arg(long, value_parser = |raw: &str| raw.parse::<StreamStatus>())]
    status: Option<StreamStatus>,
}

#[derive(Debug, Args)]
struct OneStream {
    /// The stream's id
    #[arg(value_name = "STREAM_ID")]
    id: StreamId,
    #[command(flatten)]
    access: AdminArgs,
}

#[derive(Debug, Args)]
struct StatusChange {
    #[command(flatten)]
    one: OneStream,
    /// The reason, which the Receiver is told, too
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

impl StreamsCommand {
    pub async fn run(self, config: &ConfigSource, json: bool) -> Result<(), CliError> {
        let text = match self.command {
            StreamsAction::List { filter, access } => {
                list(&access.client(config)?, &filter, json).await?
            }
            StreamsAction::Show(OneStream { id, access }) => {
                let stream: StreamView =
                    access.client(config)?.get(&["streams", id.as_str()], &[]).await?;
                if json { to_json(&stream) } else { describe(&stream) }
            }
            StreamsAction::Pause(change) => {
                change.perform(config, StreamStatus::Paused, json).await?
            }
            StreamsAction::Enable(change) => {
                change.perform(config, StreamStatus::Enabled, json).await?
            }
            StreamsAction::Disable(change) => {
                change.perform(config, StreamStatus::Disabled, json).await?
            }
            StreamsAction::Format { one: OneStream { id, access }, format } => {
                let body = json!({"subject_format": format});
                let stream: StreamView =
                    access.client(config)?.patch(&["streams", id.as_str()], &body).await?;
                if json { to_json(&stream) } else { describe(&stream) }
            }
            StreamsAction::Verify(OneStream { id, access }) => {
                access
                    .client(config)?
                    .send_empty(Method::POST, &["streams", id.as_str(), "verify"])
                    .await?;
                done(json, "verified", &id, "verifying")
            }
            StreamsAction::Delete(OneStream { id, access }) => {
                access
                    .client(config)?
                    .send_empty(Method::DELETE, &["streams", id.as_str()])
                    .await?;
                done(json, "deleted", &id, "deleted")
            }
        };
        if !text.is_empty() {
            output::print(text)?;
        }
        Ok(())
    }
}

impl StatusChange {
    async fn perform(
        self,
        config: &ConfigSource,
        to: StreamStatus,
        json: bool,
    ) -> Result<String, CliError> {
        let OneStream { id, access } = self.one;
        let mut body = json!({"status": to.as_str()});
        if let Some(reason) = self.reason {
            body["reason"] = reason.into();
        }
        let path = ["streams", id.as_str(), "status"];
        let stream: StreamView = access.client(config)?.post(&path, &body).await?;
        Ok(if json { to_json(&stream) } else { table(&[stream]) })
    }
}

/// Lists all streams, page by page.
async fn list(admin: &AdminClient, filter: &StreamsFilter, json: bool) -> Result<String, CliError> {
    let mut query = vec![("limit", PAGE_MAX.to_string())];
    query.extend(filter.provider.iter().map(|provider| ("provider", provider.to_string())));
    query.extend(filter.receiver.iter().map(|receiver| ("receiver", receiver.to_string())));
    query.extend(filter.status.iter().map(|status| ("status", status.as_str().to_owned())));
    let mut streams: Vec<StreamView> = Vec::new();
    let mut after: Option<StreamId> = None;
    loop {
        let mut query = query.clone();
        query.extend(after.iter().map(|after| ("after", after.to_string())));
        let page: StreamsView = admin.get(&["streams"], &query).await?;
        streams.extend(page.streams);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    Ok(if json { to_json(&streams) } else { table(&streams) })
}

fn done(json: bool, verb: &str, id: &StreamId, text: &str) -> String {
    if json { json!({verb: id}).to_string() } else { format!("{text} {id}") }
}

fn to_json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("views are plain data")
}

fn method(stream: &StreamView) -> &'static str {
    if stream.delivery.method == METHOD_PUSH { "push" } else { "poll" }
}

fn table(streams: &[StreamView]) -> String {
    let headers = ["STREAM", "STATUS", "DELIVERY", "RECEIVER", "PROVIDER", "NOTE"];
    let mut table = Table::new(headers);
    for stream in streams {
        let StreamView { stream_id, status, receiver, provider, .. } = stream;
        let asks = stream.events_requested.as_ref().is_some_and(|requested| !requested.is_empty());
        let in_vain = asks && stream.events_delivered.is_empty();
        let in_vain = in_vain.then(|| "asks for no supported event type".to_owned());
        let notes = in_vain.into_iter().chain(stream.reason.as_deref().map(excerpt));
        table.add([
            stream_id.to_string(),
            status.clone(),
            method(stream).to_owned(),
            receiver.to_string(),
            provider.to_string(),
            notes.collect::<Vec<_>>().join(", "),
        ]);
    }
    table.to_string()
}

/// Describes a stream, one member in each line. Control characters are left out, because a Receiver may
/// have written anything.
fn describe(stream: &StreamView) -> String {
    let aud = serde_json::to_value(&stream.aud).unwrap_or_default();
    let aud = match aud {
        Value::String(one) => one,
        several => several.to_string(),
    };
    let list = |values: &[String]| values.join(" ");
    let delivery = &stream.delivery;
    let authorized = if delivery.has_authorization_header { ", with an Authorization" } else { "" };
    let waiting = stream.waiting.as_ref().map(|waiting| {
        let oldest = waiting.oldest_at.map(|at| format!(", the oldest since {}", moment::show(at)));
        format!("{} SETs{}", waiting.sets, oldest.unwrap_or_default())
    });
    let courier = stream.courier.as_ref();
    let members = [
        ("stream_id", Some(stream.stream_id.to_string())),
        ("status", Some(stream.status.clone())),
        ("reason", stream.reason.clone()),
        ("waiting", waiting),
        ("explanation", stream.explanation.clone()),
        ("attempts", courier.map(attempts)),
        ("breaker", courier.and_then(breaker)),
        ("next_retry", courier.and_then(|courier| courier.next_retry_at).map(moment::show)),
        ("last_try", courier.and_then(|courier| courier.last_outcome.as_ref()).map(last_try)),
        ("accepted", courier.and_then(|courier| courier.last_success_at).map(moment::show)),
        ("polls", stream.polling.as_ref().map(polls)),
        ("provider", Some(stream.provider.to_string())),
        ("receiver", Some(stream.receiver.to_string())),
        ("aud", Some(aud)),
        ("delivery", Some(format!("{} {}{authorized}", method(stream), delivery.endpoint_url))),
        ("requested", stream.events_requested.as_deref().map(list)),
        ("delivered", Some(list(&stream.events_delivered))),
        ("subjects", Some(stream.default_subjects.as_str().to_owned())),
        ("format", Some(stream.subject_format.as_str().to_owned())),
        ("description", stream.description.clone()),
        ("version", Some(stream.version.to_string())),
        ("created", Some(moment::show(stream.created_at))),
        ("active", stream.last_activity_at.map(moment::show)),
    ];
    let shown = members.into_iter().filter_map(|(name, value)| Some((name, value?)));
    let lines =
        shown.map(|(name, value)| format!("{name:11}  {}", plain(&value)).trim_end().to_owned());
    lines.collect::<Vec<_>>().join("\n")
}

/// Describes the attempts of a courier: how many are under way, and what the others wait for.
fn attempts(courier: &CourierView) -> String {
    let CourierView { window, in_flight, ready, room, slowdown, .. } = courier;
    let slowdown = slowdown.as_ref().map(|slow| {
        format!(", {} at a time after {} failures in a row", slow.in_flight_max, slow.failures)
    });
    let room = match room.awaited {
        0 => "",
        _ => ", waits for room at the host",
    };
    let slowdown = slowdown.unwrap_or_default();
    format!("{in_flight} under way, {ready} ready, {window} SETs in memory{slowdown}{room}")
}

fn breaker(courier: &CourierView) -> Option<String> {
    let BreakerView { state, until } = &courier.breaker;
    let until = until.map(|until| format!(" until {}", moment::show(until)));
    (state != "closed").then(|| format!("{state}{}", until.unwrap_or_default()))
}

fn last_try(last: &LastOutcomeView) -> String {
    let LastOutcomeView { outcome, detail, at } = last;
    let detail = if detail.is_empty() { String::new() } else { format!(": {}", excerpt(detail)) };
    format!("{} {outcome}{detail}", moment::show(*at))
}

fn polls(polling: &PollingView) -> String {
    let at = |at: Option<i64>| at.map_or_else(|| "never".to_owned(), moment::show);
    let handed_out = match (polling.handed_out, polling.handed_out_at) {
        (Some(sets), Some(at)) => format!(", {sets} SETs handed out {}", moment::show(at)),
        _ => String::new(),
    };
    format!(
        "{} wait, last poll {}{handed_out}, last acknowledged {}",
        polling.long_polls,
        at(polling.last_poll_at),
        at(polling.acknowledged_at),
    )
}
