//! What the demo says, to people or to machines.

use std::{
    io::{self, Write as _},
    time::Duration,
};

use serde_json::{Value, json};

use super::{
    receivers::Streams,
    stay::Invitation,
    tally::{Sighting, Summary},
};
use crate::{
    cli::{CliError, receive::received::Received},
    domain::event_type::EventType,
};

/// Standard output.
pub(super) struct Screen {
    /// One JSON object for each arrival, the summary as the last: nothing else.
    pub(super) json: bool,
}

/// As much of a stream's id as tells two of them apart.
const ID_CHARS: usize = 11;

impl Screen {
    /// For people only.
    pub(super) fn text(&self, text: &str) -> Result<(), CliError> {
        if self.json { Ok(()) } else { print(text) }
    }

    /// What has just been done, for people only.
    pub(super) fn step(&self, step: &str) -> Result<(), CliError> {
        self.text(&format!("  {step}"))
    }

    /// Over the arrivals.
    pub(super) fn heading(&self) -> Result<(), CliError> {
        let row = row("event", "stream", "how", "jti", "signature", "after");
        self.text(&format!("\n{row}"))
    }

    pub(super) fn arrival(
        &self,
        set: &Received,
        sighting: &Sighting,
        streams: &Streams,
    ) -> Result<(), CliError> {
        let stream = &streams.of(set.method).stream_id;
        if self.json {
            return print(&arrival_json(set, sighting, stream).to_string());
        }
        let signature = match &set.verified {
            Ok(signed) => format!("{} verified", signed.algorithm),
            Err(rejection) => format!("NOT VERIFIED: {rejection}"),
        };
        let after = match sighting {
            Sighting::Expected { after } => format!("{:.1} ms", millis(*after)),
            Sighting::Again => "again".to_owned(),
            Sighting::Other | Sighting::Unverified => "-".to_owned(),
        };
        let jti = set.jti.as_deref().unwrap_or("?");
        let line = row(&name(set), head(stream), set.method.as_str(), jti, &signature, &after);
        // All of it came over the network.
        print(&line.chars().filter(|c| !c.is_control()).collect::<String>())
    }

    pub(super) fn summary(&self, summary: &Summary) -> Result<(), CliError> {
        let Summary { expected, arrived, missing, unverified, median, max } = summary;
        if self.json {
            let missing = missing.iter().map(|(event_type, method)| {
                json!({"event": event_type.short_name(), "method": method.as_str()})
            });
            let summary = json!({
                "ok": summary.is_good(), "expected": expected, "arrived": arrived,
                "missing": missing.collect::<Vec<_>>(), "unverified": unverified,
                "median_ms": median.map(millis), "max_ms": max.map(millis),
            });
            return print(&json!({"summary": summary}).to_string());
        }
        print("")?;
        if summary.is_good() {
            print(&format!(
                "All {expected} SETs arrived and were verified by the published keys."
            ))?;
        } else {
            print(&format!("{arrived} of {expected} SETs arrived, {unverified} unverified."))?;
        }
        for (event_type, method) in missing {
            print(&format!("  missing: {} by {}", event_type.short_name(), method.as_str()))?;
        }
        if let (Some(median), Some(max)) = (median, max) {
            let (median, max) = (millis(*median), millis(*max));
            print(&format!(
                "From publication to arrival it took {median:.1} ms (median), {max:.1} ms at most."
            ))?;
        }
        Ok(())
    }

    /// How to go on by hand.
    pub(super) fn invitation(&self, invitation: &Invitation) -> Result<(), CliError> {
        if self.json {
            return print(&json!({"stay": invitation.to_json()}).to_string());
        }
        print(&format!("\n{}", invitation.to_string().trim_end()))?;
        self.heading()
    }
}

/// Columns; the last but one may be long.
fn row(event: &str, stream: &str, how: &str, jti: &str, signature: &str, after: &str) -> String {
    format!("{event:<29}  {stream:<ID_CHARS$}  {how:<4}  {jti:<32}  {signature:<14}  {after:>9}")
}

fn head(id: &str) -> &str {
    id.get(..ID_CHARS).unwrap_or(id)
}

/// What people call the event.
fn name(set: &Received) -> String {
    let uri = set.event_type.as_deref().unwrap_or("?");
    uri.parse::<EventType>().map_or_else(|_| uri.to_owned(), |known| known.short_name())
}

fn millis(span: Duration) -> f64 {
    // To the microsecond: the rest is noise.
    (span.as_secs_f64() * 1e6).round() / 1e3
}

fn arrival_json(set: &Received, sighting: &Sighting, stream: &str) -> Value {
    let after = match sighting {
        Sighting::Expected { after } => Some(millis(*after)),
        _ => None,
    };
    let mut arrival = set.to_json();
    arrival["event"] = name(set).into();
    arrival["stream_id"] = stream.into();
    arrival["expected"] = after.is_some().into();
    arrival["after_ms"] = after.into();
    arrival
}

/// Whoever read, as `head` does, may have seen enough: that ends the demo in good order.
fn print(text: &str) -> Result<(), CliError> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}").map_err(|error| CliError::new(format!("standard output: {error}")))
}
