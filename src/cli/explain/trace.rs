//! Shows what happened to a published event.

use clap::Args;

use crate::{
    cli::{
        self, CliError,
        admin::{AdminArgs, AdminClient},
        moment, output, plain,
        source::ConfigSource,
    },
    domain::id::{Jti, ProviderName, StreamId},
    http::admin::{
        PAGE_MAX,
        events::{SetView, TraceView, TracedView},
    },
};

#[derive(Debug, Args)]
pub(super) struct PublishedEventArgs {
    /// The `jti` of one of the event's SETs
    #[arg(long, value_name = "JTI")]
    jti: Option<Jti>,
    /// The publisher's id of the event; the provider's newest event with this id is shown
    #[arg(long, value_name = "ID", conflicts_with = "jti")]
    event_id: Option<String>,
    /// Only what happened on this stream
    #[arg(long, value_name = "STREAM_ID")]
    stream: Option<StreamId>,
    #[command(flatten)]
    access: AdminArgs,
}

impl PublishedEventArgs {
    pub(super) async fn run(
        self,
        provider: Option<&ProviderName>,
        source: &ConfigSource,
        json: bool,
    ) -> Result<(), CliError> {
        let mut query = match (self.jti, self.event_id) {
            (Some(jti), _) => vec![("jti", jti.to_string())],
            (None, event_id) => {
                let provider = cli::provider(&source.load()?, provider)?.name.to_string();
                vec![("provider", provider), ("event_id", event_id.unwrap_or_default())]
            }
        };
        query.extend(self.stream.map(|stream| ("stream_id", stream.to_string())));
        query.push(("limit", PAGE_MAX.to_string()));
        let trace = read(&self.access.client(source)?, &query).await?;
        if json {
            output::print(serde_json::to_string(&trace).expect("views are plain data"))?;
        } else {
            output::print(describe(&trace))?;
        }
        Ok(())
    }
}

/// Reads all pages.
async fn read(admin: &AdminClient, query: &[(&str, String)]) -> Result<TraceView, CliError> {
    let mut whole: TraceView = admin.get(&["events"], query).await?;
    while let Some(after) = whole.next.take() {
        let mut query = query.to_vec();
        query.push(("after", after.to_string()));
        let page: TraceView = admin.get(&["events"], &query).await?;
        whole.streams.extend(page.streams);
        whole.next = page.next;
    }
    Ok(whole)
}

fn describe(trace: &TraceView) -> String {
    let mut lines = Vec::new();
    match &trace.event {
        None => lines.push(format!(
            "of provider {}: no event is recorded for this SET, and nothing is known of other streams",
            trace.provider
        )),
        Some(event) => {
            let (kind, at) = (event.event_type.short_name(), moment::show(event.accepted_at));
            lines.push(format!("{} of provider {}, accepted {at}", plain(&kind), trace.provider));
            lines.push(format!("  txn {}", plain(&event.txn)));
            lines.extend(event.id.as_ref().map(|id| format!("  id {}", plain(id))));
            lines.extend(event.place.as_ref().map(|place| format!("  read from {}", plain(place))));
        }
    }
    if trace.streams.is_empty() {
        lines.push("the provider has no streams".to_owned());
    }
    for stream in &trace.streams {
        let TracedView { stream_id, receiver, sets, reason, why } = stream;
        lines.push(match (reason, why) {
            (Some(reason), Some(why)) => {
                format!("stream {stream_id} of {receiver}: no SET, {}: {why}", plain(reason))
            }
            _ => format!("stream {stream_id} of {receiver}"),
        });
        lines.extend(sets.iter().map(line));
    }
    lines.join("\n")
}

fn line(set: &SetView) -> String {
    let mut parts = vec![format!("  {}  {} {}", set.jti, set.state, moment::show(set.at))];
    parts.extend(set.reason.as_ref().map(|reason| plain(reason)));
    parts.extend(set.detail.as_ref().filter(|_| set.state != "sent").map(|detail| plain(detail)));
    if set.attempts != 0 {
        parts.push(format!("{} attempts", set.attempts));
    }
    parts.extend(set.due_at.map(|due| format!("due {}", moment::show(due))));
    parts.extend(set.copy_of.as_ref().map(|_| "replayed".to_owned()));
    parts.push(format!("position {}", set.position));
    parts.join(", ")
}
