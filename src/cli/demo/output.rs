//! The output of the demo, for people or as JSON.

use std::{
    io::{self, Write as _},
    time::Duration,
};

use serde_json::{Value, json};

use super::{
    instructions::Instructions,
    receivers::ReceiverStreams,
    results::{Arrival, DemoSummary},
};
use crate::{
    cli::{CliError, receive::received::Received},
    domain::event_type::EventType,
};

/// Writes to standard output.
pub(super) struct DemoOutput {
    /// Print one JSON object for each arrival and one for the summary, and nothing else.
    pub(super) json: bool,
}

/// How many characters of a stream's id are printed; enough to tell two streams apart.
const ID_CHARS: usize = 11;

impl DemoOutput {
    /// Prints a text unless the output is JSON.
    pub(super) fn text(&self, text: &str) -> Result<(), CliError> {
        if self.json { Ok(()) } else { print(text) }
    }

    /// Prints a step that is done, unless the output is JSON.
    pub(super) fn step(&self, step: &str) -> Result<(), CliError> {
        self.text(&format!("  {step}"))
    }

    /// Prints the heading of the table of arrivals, unless the output is JSON.
    pub(super) fn heading(&self) -> Result<(), CliError> {
        let row = row("event", "stream", "via", "jti", "signature", "latency");
        self.text(&format!("\n{row}"))
    }

    pub(super) fn arrival(
        &self,
        set: &Received,
        arrival: &Arrival,
        streams: &ReceiverStreams,
    ) -> Result<(), CliError> {
        let stream = &streams.of(set.method).stream_id;
        if self.json {
            return print(&arrival_json(set, arrival, stream).to_string());
        }
        let signature = match &set.verified {
            Ok(signed) => format!("{} verified", signed.algorithm),
            Err(rejection) => format!("NOT VERIFIED: {rejection}"),
        };
        let latency = match arrival {
            Arrival::Expected { latency } => format!("{:.1} ms", millis(*latency)),
            Arrival::Duplicate => "duplicate".to_owned(),
            Arrival::Unexpected | Arrival::Unverified => "-".to_owned(),
        };
        let jti = set.jti.as_deref().unwrap_or("?");
        let stream = stream.get(..ID_CHARS).unwrap_or(stream);
        let line = row(&event_name(set), stream, set.method.as_str(), jti, &signature, &latency);
        // Control characters are dropped, because the texts came over the network.
        print(&line.chars().filter(|c| !c.is_control()).collect::<String>())
    }

    pub(super) fn summary(&self, summary: &DemoSummary) -> Result<(), CliError> {
        let DemoSummary { expected, arrived, missing, unverified, median, max } = summary;
        if self.json {
            let missing = missing.iter().map(|(event_type, method)| {
                json!({"event": event_type.short_name(), "method": method.as_str()})
            });
            let summary = json!({
                "ok": summary.is_success(), "expected": expected, "arrived": arrived,
                "missing": missing.collect::<Vec<_>>(), "unverified": unverified,
                "median_ms": median.map(millis), "max_ms": max.map(millis),
            });
            return print(&json!({"summary": summary}).to_string());
        }
        print("")?;
        if summary.is_success() {
            print(&format!(
                "All {expected} SETs arrived, and their signatures were verified with the published keys."
            ))?;
        } else {
            print(&format!(
                "{arrived} of {expected} SETs arrived; {unverified} could not be verified."
            ))?;
        }
        for (event_type, method) in missing {
            print(&format!("  missing: {} by {}", event_type.short_name(), method.as_str()))?;
        }
        if let (Some(median), Some(max)) = (median, max) {
            let (median, max) = (millis(*median), millis(*max));
            print(&format!(
                "Latency from publication to arrival: {median:.1} ms (median), {max:.1} ms (maximum)."
            ))?;
        }
        Ok(())
    }

    /// Prints the instructions, and the heading for further arrivals.
    pub(super) fn instructions(&self, instructions: &Instructions) -> Result<(), CliError> {
        if self.json {
            return print(&json!({"stay": instructions.to_json()}).to_string());
        }
        print(&format!("\n{}", instructions.to_string().trim_end()))?;
        self.heading()
    }
}

/// Formats a row of the table.
fn row(event: &str, stream: &str, via: &str, jti: &str, signature: &str, latency: &str) -> String {
    format!("{event:<29}  {stream:<ID_CHARS$}  {via:<4}  {jti:<32}  {signature:<14}  {latency:>9}")
}

/// Returns the short name of an event type, or the URI if it has none.
fn event_name(set: &Received) -> String {
    let uri = set.event_type.as_deref().unwrap_or("?");
    uri.parse::<EventType>().map_or_else(|_| uri.to_owned(), |known| known.short_name())
}

fn millis(span: Duration) -> f64 {
    // Rounded to microseconds, because smaller digits are noise.
    (span.as_secs_f64() * 1e6).round() / 1e3
}

fn arrival_json(set: &Received, arrival: &Arrival, stream: &str) -> Value {
    let latency = match arrival {
        Arrival::Expected { latency } => Some(millis(*latency)),
        _ => None,
    };
    let mut json = set.to_json();
    json["event"] = event_name(set).into();
    json["stream_id"] = stream.into();
    json["expected"] = latency.is_some().into();
    json["after_ms"] = latency.into();
    json
}

/// Prints a line. If the reader of a pipe has closed it, as `head` does, the error ends the demo in
/// order.
fn print(text: &str) -> Result<(), CliError> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}").map_err(|error| CliError::new(format!("standard output: {error}")))
}
