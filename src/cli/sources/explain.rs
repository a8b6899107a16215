//! Shows what a source makes of a payload, from the configuration and the store, without a daemon.

use std::path::PathBuf;

use clap::Args;

use super::{SourceRef, only};
use crate::{
    app,
    cli::{CliError, explain::read, output, plain, source::ConfigSource},
    clock,
    config::{Config, NamedSource},
    domain::{event_type::EventType, provider::Provider},
    http::admin::explain::{
        EmittedEventView, ExplainedRecordView, ExplainedStreamView, RECORDS_MAX, RecordResultView,
        SourceExplanationView, events,
    },
    source::{Explainer, TriedBody},
    transmitter::explain::{KnownSubject, explain},
};

/// A payload and what its sender sends beside it.
#[derive(Debug, Args)]
pub(crate) struct PayloadArgs {
    /// A header that the sender sends, as `NAME: VALUE`
    #[arg(long = "header", value_name = "HEADER", value_parser = header)]
    pub(super) headers: Vec<(String, String)>,
    /// A parameter of the query, as `NAME=VALUE`
    #[arg(long = "query", value_name = "PARAMETER", value_parser = parameter)]
    pub(super) query: Vec<(String, String)>,
}

fn header(raw: &str) -> Result<(String, String), String> {
    let (name, value) = raw.split_once(':').ok_or("must be `NAME: VALUE`")?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

fn parameter(raw: &str) -> Result<(String, String), String> {
    let (name, value) = raw.split_once('=').ok_or("must be `NAME=VALUE`")?;
    Ok((name.to_owned(), value.to_owned()))
}

#[derive(Debug, Args)]
pub(super) struct TryArgs {
    /// The source, or PROVIDER/SOURCE if several have the name
    #[arg(value_name = "SOURCE")]
    source: SourceRef,
    /// A file with the payload as the sender sends it; left out, standard input
    #[arg(long, value_name = "FILE", default_value = "-")]
    file: PathBuf,
    #[command(flatten)]
    payload: PayloadArgs,
}

impl TryArgs {
    pub(super) async fn run(self, config: &ConfigSource, json: bool) -> Result<(), CliError> {
        explain_payload(&self.source, &read(&self.file)?, self.payload, config, json).await
    }
}

/// Looks up a source of the configuration, and its provider.
pub(super) fn configured(
    config: &Config,
    wanted: &SourceRef,
) -> Result<(Provider, NamedSource), CliError> {
    let sources = config.sources().map_err(CliError::new)?;
    let named = || sources.iter().filter(|source| source.name == wanted.name);
    let provider = match &wanted.provider {
        Some(provider) => provider.clone(),
        None => only(&wanted.name, named().map(|source| source.provider.clone()))?,
    };
    let providers = config.providers().map_err(CliError::new)?;
    let of_provider = providers.into_iter().find(|one| one.name == provider);
    let found = sources
        .into_iter()
        .find(|source| source.name == wanted.name && source.provider == provider);
    of_provider
        .zip(found)
        .ok_or_else(|| CliError::new(format!("there is no source `{provider}/{}`", wanted.name)))
}

/// Prints what a source makes of a payload. The exit code is 1 if an event of it would be rejected.
pub(crate) async fn explain_payload(
    wanted: &SourceRef,
    payload: &[u8],
    PayloadArgs { headers, query }: PayloadArgs,
    config: &ConfigSource,
    json: bool,
) -> Result<(), CliError> {
    let config = config.load()?;
    let (provider, source) = configured(&config, wanted)?;
    let mut may_emit: Vec<EventType> = source.config.may_emit.iter().cloned().collect();
    if may_emit.is_empty() {
        may_emit = source.config.mapping.emits().into_iter().collect();
    }
    let may_emit = provider.with_converted(may_emit);
    let explainer = Explainer {
        kind: source.config.kind,
        mapping: &source.config.mapping,
        provider: &provider,
        bounds: &source.config.bounds,
        may_emit: &may_emit,
    };
    let now = clock::now();
    let tried = TriedBody { body: payload, headers, query };
    let mut records = explainer.explain(tried, now).map_err(CliError::new)?;
    let total = records.len();
    records.truncate(RECORDS_MAX);
    let mut streams = Vec::new();
    if events(&records).next().is_some() {
        let store = app::open_store_to_read(&config.store).await;
        let store = store.map_err(|error| CliError::of(&error))?;
        let all = store.streams().await.map_err(|error| CliError::of(&error))?;
        for event in events(&records) {
            let known = KnownSubject::read(&*store, &provider, event, now).await;
            let known = known.map_err(|error| CliError::of(&error))?;
            streams.push(explain(&provider, all.clone(), event, &known, now));
        }
    }
    let mut streams = streams.into_iter();
    let records = records.into_iter().map(|one| ExplainedRecordView::of(one, &mut streams));
    let records = records.collect();
    let view =
        SourceExplanationView { provider: provider.name, source: source.name, records, total };
    if json {
        output::print(serde_json::to_string(&view).expect("views are plain data"))?;
    } else {
        output::print(describe(&view))?;
    }
    let is_refused = |result: &RecordResultView| match result {
        RecordResultView::Emitted(emitted) => !emitted.accepted,
        RecordResultView::Rejected { .. } => true,
        RecordResultView::Dropped { .. } => false,
    };
    if view.records.iter().flat_map(|record| &record.results).any(is_refused) {
        return Err(CliError::new("a record would be rejected"));
    }
    Ok(())
}

fn describe(view: &SourceExplanationView) -> String {
    let mut lines =
        vec![format!("source {}/{}, {} records", view.provider, view.source, view.total)];
    for (n, record) in view.records.iter().enumerate() {
        let kind = record.native_type.as_deref().map(|kind| format!(" of type {kind}"));
        let id = record.native_id.as_deref().map(|id| format!(", id {id}"));
        let (kind, id) = (kind.unwrap_or_default(), id.unwrap_or_default());
        lines.push(plain(&format!("record {}{kind}{id}", n + 1)));
        for tried in &record.rules {
            let failed = tried.path.as_ref().zip(tried.test.as_ref());
            let failed = failed.map(|(path, test)| format!(": {test} of {path}"));
            let outcome = tried.outcome.replace('_', " ");
            let failed = failed.unwrap_or_default();
            lines.push(plain(&format!("  rule {}: {outcome}{failed}", tried.rule)));
        }
        for result in &record.results {
            describe_result(result, &mut lines);
        }
    }
    if view.records.len() < view.total {
        lines.push(format!("… and {} more", view.total - view.records.len()));
    }
    lines.join("\n")
}

fn describe_result(result: &RecordResultView, lines: &mut Vec<String>) {
    let by =
        |rule: &Option<String>| rule.as_ref().map(|rule| format!(" by {rule}")).unwrap_or_default();
    match result {
        RecordResultView::Dropped { rule, why } => {
            lines.push(plain(&format!("  dropped{}: {why}", by(rule))));
        }
        RecordResultView::Rejected { rule, why, alarm, .. } => {
            let alarm = if *alarm { ", with an alarm" } else { "" };
            lines.push(plain(&format!("  rejected{}{alarm}: {why}", by(rule))));
        }
        RecordResultView::Emitted(emitted) => describe_event(emitted, lines),
    }
}

fn describe_event(emitted: &EmittedEventView, lines: &mut Vec<String>) {
    let gated = if emitted.gated { ", if its value has changed" } else { "" };
    lines.push(plain(&format!("  emitted by {}{gated}: {}", emitted.rule, emitted.event)));
    if let Some(detail) = &emitted.detail {
        lines.push(plain(&format!("    would be rejected: {detail}")));
    }
    for finding in &emitted.findings {
        let severity = finding.severity.to_uppercase();
        lines.push(format!(
            "    {severity:6}  `{}` {} ({})",
            finding.member, finding.rule, finding.section
        ));
    }
    for stream in &emitted.streams {
        let ExplainedStreamView { stream_id, receiver, delivery, fate, why, .. } = stream;
        let fate = match (fate.as_str(), why) {
            (_, Some(why)) => format!("would not get it: {why}"),
            ("held", None) => "would get it once it is enabled: it is paused".to_owned(),
            (_, None) => "would get it".to_owned(),
        };
        lines.push(format!("    {delivery} stream {stream_id} of {receiver} {fate}"));
    }
}
