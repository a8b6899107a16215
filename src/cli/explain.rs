//! `ssfd explain`: shows what would happen to an event, or what happened to a published one.

mod trace;

use std::{
    io::Read as _,
    path::{Path, PathBuf},
};

use clap::Args;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::{
    app,
    cli::{
        self, CliError, output, read_file,
        source::ConfigSource,
        sources::{
            SourceRef,
            explain::{PayloadArgs, explain_payload},
        },
    },
    clock,
    domain::{
        event::{Event, InvalidEvent},
        id::ProviderName,
        judgement::Judged,
        lint::{Finding, lint},
        provider::{EventChecks, Provider},
        stream::Delivery,
    },
    transmitter::explain::{Explained, KnownSubject, explain},
};

use self::trace::PublishedEventArgs;

const EXAMPLES: &str = "Examples:
  ssfd explain event.json
  ssfd explain event.json --provider acme --json
  ssfd explain record.json --source keycloak
  ssfd explain --event-id evt-8841 --token-file operator.token
  ssfd explain --jti 237c3a5f688e5ab2813852be06101bca --stream st_4f0c
  echo '{\"type\":\"caep:session-revoked\",\"sub_id\":{\"format\":\"email\",\"email\":\"kim@example.com\"}}' |
    ssfd explain -";

/// Show what would happen to an event, or what happened to a published one
///
/// With a FILE, shows the rules of its specification that the event breaks, the streams that would
/// get it with its claims, and the reason for each stream that would not. Publishes nothing. Reads
/// the streams from the configured store, whether a daemon is running or not. The exit code is 1 if
/// the event would be rejected. With --source as well, the FILE is a native event of an identity
/// provider, and the rules of the source that take it are shown, too.
///
/// With --jti or --event-id, shows the state of the event's SET on each stream, or the reason why
/// there is none. Calls the internal listener of a running daemon with an operator's token.
/// Rejected events are not kept, because their publisher got the reason in the answer.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct ExplainCommand {
    /// A file with one event as a publisher would publish it; `-` stands for standard input
    #[arg(value_name = "FILE", required_unless_present_any = ["jti", "event_id"],
        conflicts_with_all = ["jti", "event_id"])]
    file: Option<PathBuf>,
    #[command(flatten)]
    published: PublishedEventArgs,
    /// The file is a payload as the sender of this source sends it: SOURCE, or PROVIDER/SOURCE
    #[arg(long, value_name = "SOURCE", requires = "file", conflicts_with = "provider")]
    source: Option<SourceRef>,
    #[command(flatten)]
    payload: PayloadArgs,
    /// The provider; may be left out if only one is configured
    #[arg(long, value_name = "NAME")]
    provider: Option<ProviderName>,
}

/// The explanation of an event that is not published.
struct ExplainReport {
    provider: Provider,
    /// The event and the findings about it, if it could be parsed.
    event: Option<(Event, Vec<Finding>)>,
    verdict: Result<(), InvalidEvent>,
    streams: Vec<Explained>,
}

/// The report as JSON.
#[derive(Serialize)]
struct ExplainView<'a> {
    provider: &'a str,
    event_checks: EventChecks,
    interop: bool,
    event_type: Option<&'a str>,
    accepted: bool,
    reason: Option<&'static str>,
    detail: Option<String>,
    findings: &'a [Finding],
    streams: Vec<ExplainedView<'a>>,
}

/// The judgement for one stream as JSON. The claims are a text, so that their numbers keep all digits.
#[derive(Serialize)]
struct ExplainedView<'a> {
    stream_id: &'a str,
    receiver: &'a str,
    delivery: &'static str,
    subject_format: &'static str,
    fate: &'static str,
    why: Option<&'static str>,
    claims: Option<&'a RawValue>,
}

impl<'a> ExplainedView<'a> {
    fn of(explained: &'a Explained) -> Self {
        let (fate, why, claims) = match &explained.judged {
            Judged::Sent(claims) => ("sent", None, Some(claims)),
            Judged::Held(claims) => ("held", None, Some(claims)),
            Judged::NotSent(why) => ("not_sent", Some(why.sentence()), None),
        };
        Self {
            stream_id: explained.stream.id.as_str(),
            receiver: explained.stream.receiver.as_str(),
            delivery: method(explained),
            subject_format: explained.stream.subject_format.as_str(),
            fate,
            why,
            claims: claims.map(|claims| serde_json::from_str(claims).expect("claims are JSON")),
        }
    }
}

impl ExplainCommand {
    pub async fn run(self, source: &ConfigSource, json: bool) -> Result<(), CliError> {
        let Some(file) = &self.file else {
            return self.published.run(self.provider.as_ref(), source, json).await;
        };
        if let Some(wanted) = &self.source {
            return explain_payload(wanted, &read(file)?, self.payload, source, json).await;
        }
        let config = source.load()?;
        let provider = cli::provider(&config, self.provider.as_ref())?;
        let text = read(file)?;
        let store = app::open_store_to_read(&config.store).await;
        let store = store.map_err(|error| CliError::of(&error))?;
        let streams = store.streams().await.map_err(|error| CliError::of(&error))?;
        let report = match Event::parse(&text, &provider) {
            Ok(event) => {
                let now = clock::now();
                let known = KnownSubject::read(&*store, &provider, &event, now).await;
                let known = known.map_err(|error| CliError::of(&error))?;
                let streams = explain(&provider, streams, &event, &known, now);
                let findings = lint(&event, &provider);
                let verdict = provider.event_checks.judge(&findings);
                ExplainReport { provider, event: Some((event, findings)), verdict, streams }
            }
            Err(error) => {
                ExplainReport { provider, event: None, verdict: Err(error), streams: Vec::new() }
            }
        };
        if json {
            let view = serde_json::to_string(&report.view()).expect("a report is plain JSON");
            output::print(view)?;
        } else {
            output::print(report.to_text().trim_end())?;
        }
        report.verdict.map_err(|_| CliError::new("the event would be rejected"))
    }
}

/// Reads a file, or standard input.
pub(super) fn read(file: &Path) -> Result<Vec<u8>, CliError> {
    if file.as_os_str() != "-" {
        return read_file(file);
    }
    let mut text = Vec::new();
    match std::io::stdin().read_to_end(&mut text) {
        Ok(_) => Ok(text),
        Err(error) => Err(CliError::new(format!("standard input: {error}"))),
    }
}

fn method(explained: &Explained) -> &'static str {
    match explained.stream.delivery {
        Delivery::Push(_) => "push",
        Delivery::Poll => "poll",
    }
}

impl ExplainReport {
    fn view(&self) -> ExplainView<'_> {
        let findings = self.event.as_ref().map(|(_, findings)| findings.as_slice());
        let error = self.verdict.as_ref().err();
        ExplainView {
            provider: self.provider.name.as_str(),
            event_checks: self.provider.event_checks,
            interop: self.provider.interop,
            event_type: self.event.as_ref().map(|(event, _)| event.event_type.as_str()),
            accepted: error.is_none(),
            reason: error.map(InvalidEvent::reason),
            detail: error.map(InvalidEvent::to_string),
            findings: findings.unwrap_or_default(),
            streams: self.streams.iter().map(ExplainedView::of).collect(),
        }
    }

    fn to_text(&self) -> String {
        let name = &self.provider.name;
        let mut lines = Vec::new();
        lines.push(match &self.verdict {
            Ok(()) => format!("provider {name} would accept the event"),
            Err(error) if self.event.is_none() => {
                format!("provider {name} would reject the event ({}): {error}", error.reason())
            }
            Err(error) => format!("provider {name} would reject the event ({})", error.reason()),
        });
        let Some((event, findings)) = &self.event else { return lines.join("\n") + "\n" };
        lines.push(format!("type {}", event.event_type));
        if findings.is_empty() {
            lines.push("the event breaks no rule of its specification".into());
        }
        for finding in findings {
            lines.push(format!("  {:6}  {finding}", finding.severity.as_str().to_uppercase()));
        }
        if self.streams.is_empty() {
            lines.push("the provider has no streams".into());
        }
        for explained in &self.streams {
            let stream = &explained.stream;
            let (fate, claims) = match &explained.judged {
                Judged::Sent(claims) => ("would get it".to_owned(), Some(claims)),
                Judged::Held(claims) => {
                    ("would get it once it is enabled: it is paused".to_owned(), Some(claims))
                }
                Judged::NotSent(why) => (format!("would not get it: {}", why.sentence()), None),
            };
            let (id, receiver) = (&stream.id, &stream.receiver);
            lines.push(format!("{} stream {id} of {receiver} {fate}", method(explained)));
            lines.extend(claims.map(|claims| format!("  {claims}")));
        }
        lines.join("\n") + "\n"
    }
}
