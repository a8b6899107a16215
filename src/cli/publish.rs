//! `ssfd publish`: publishes events, as a publisher does.

pub mod http;
pub mod input;
pub mod redis;

use std::path::PathBuf;

use clap::Args;
use serde_json::json;
use url::Url;

use self::{
    http::HttpPublisher,
    input::{EventInput, RawEvent},
    redis::{RedisPublisher, connect},
};
use crate::{
    cli::{CliError, http::HttpClient, output, secrets::TokenArgs, source::ConfigSource},
    domain::id::ProviderName,
    http::events::{Answer, Answers},
};

/// The most events and bytes of one batch; a larger event is a batch of its own. Both are well
/// below the default limits of the daemon.
const BATCH_EVENTS_MAX: usize = 1000;
const BATCH_BYTES_MAX: usize = 1 << 20;

const REDIS_HELP: &str = "The Redis server, as redis://host:port or redis+unix:///path";

const EXAMPLES: &str = r#"Examples:
  One event over HTTP, to the internal listener of the daemon on this machine:
    SSFD_TOKEN=ssfd_... ssfd publish --type caep:session-revoked --email kim@example.com

  One event with all members that it can have:
    ssfd publish --token-file t --type caep:session-revoked --id evt-8841 --txn c-991 \
      --sub-id '{"format":"iss_sub","iss":"https://idp.example","sub":"kim"}' \
      --event '{"initiating_entity":"user","reason_admin":{"en":"signed out"}}'

  A file of events, or the output of another program:
    ssfd publish events.ndjson --url http://127.0.0.1:9090 --token-file t
    ssfd publish - --token-file t --json

  Into Redis, for the provider acme:
    ssfd publish events.ndjson --redis redis://127.0.0.1 --provider acme"#;

/// Publish events, over HTTP or into Redis
///
/// Over HTTP, the daemon answers for each event, and the exit code is 1 if it rejected one. In
/// Redis, the daemon reads the events later and moves rejected ones to `<key>:rejected`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct PublishCommand {
    #[command(flatten)]
    input: EventInput,
    #[command(flatten)]
    http: HttpArgs,
    #[command(flatten)]
    redis: RedisArgs,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Over HTTP")]
struct HttpArgs {
    /// The URL of the daemon's internal listener [default: `internal.listen` of the configuration]
    #[arg(long, conflicts_with = "redis")]
    url: Option<Url>,
    #[command(flatten)]
    token: TokenArgs,
    /// A PEM file of certificate authorities to trust in addition to those of the system
    #[arg(long, value_name = "FILE", conflicts_with = "redis")]
    trusted_roots: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Into Redis")]
struct RedisArgs {
    #[arg(long, value_name = "URL", requires = "provider", help = REDIS_HELP)]
    redis: Option<String>,
    /// The provider of the events
    #[arg(long, value_name = "NAME", requires = "redis")]
    provider: Option<ProviderName>,
    /// The daemon's setting `ingest.redis.key_prefix`
    #[arg(long, value_name = "TEXT", default_value = "ssf:events:", requires = "redis")]
    key_prefix: String,
    /// The partition, if the daemon's setting `ingest.redis.partitions` is not 0
    #[arg(long, value_name = "N", requires = "redis")]
    partition: Option<u32>,
}

impl PublishCommand {
    pub async fn run(self, config: &ConfigSource, json: bool) -> Result<(), CliError> {
        let events = self.input.read().map_err(CliError::new)?;
        match (self.redis.redis, self.redis.provider) {
            (Some(url), Some(provider)) => {
                let partition = self.redis.partition.map(|n| format!(":{n}")).unwrap_or_default();
                let key = format!("{}{provider}{partition}", self.redis.key_prefix);
                into_redis(&url, key, &events, json).await
            }
            _ => self.http.publish(&events, config, json).await,
        }
    }
}

impl HttpArgs {
    async fn publish(
        self,
        events: &[RawEvent],
        config: &ConfigSource,
        json: bool,
    ) -> Result<(), CliError> {
        let token = self.token.read()?.ok_or_else(|| {
            CliError::new(
                "publishing over HTTP needs a publisher's token: give --token-file or set SSFD_TOKEN; \
                 `ssfd tokens create publisher` makes one",
            )
        })?;
        let http = HttpClient::new(self.trusted_roots.as_deref());
        let http = http.map_err(|error| CliError::of(&error))?;
        let url = self.url.map_or_else(|| config.internal_url(), Ok)?;
        let publisher = HttpPublisher::new(http, &url, token);
        let mut answers = Vec::with_capacity(events.len());
        for batch in batches(events) {
            match publisher.publish(batch).await {
                Ok(more) => answers.extend(more),
                Err(error) => {
                    // The earlier batches are published, and the user needs to know.
                    print_answers(&Answers::new(answers.clone()), json)?;
                    return Err(broken_off(&CliError::of(&error), answers.len(), events.len()));
                }
            }
        }
        let answers = Answers::new(answers);
        print_answers(&answers, json)?;
        match answers.rejected {
            0 => Ok(()),
            some => Err(CliError::new(format!("{some} of {} events were rejected", events.len()))),
        }
    }
}

async fn into_redis(
    url: &str,
    key: String,
    events: &[RawEvent],
    json: bool,
) -> Result<(), CliError> {
    let connection = connect(url).await.map_err(|error| CliError::of(&error))?;
    let mut publisher = RedisPublisher::new(connection, key);
    let mut entries = Vec::with_capacity(events.len());
    let mut outcome = Ok(());
    for batch in batches(events) {
        match publisher.publish(batch).await {
            Ok(more) => entries.extend(more),
            Err(error) => {
                outcome = Err(broken_off(&CliError::of(&error), entries.len(), events.len()));
                break;
            }
        }
    }
    if json {
        output::print(json!({"key": publisher.key(), "entries": entries}))?;
    } else {
        for entry in &entries {
            output::print(entry)?;
        }
    }
    outcome
}

/// Adds to an error how many events are published. The failed batch may be published as well, if
/// only its answer was lost.
fn broken_off(error: &CliError, done: usize, all: usize) -> CliError {
    match done {
        0 => CliError::new(error),
        _ => CliError::new(format!("{error}; the first {done} of {all} events are published")),
    }
}

fn print_answers(answers: &Answers, json: bool) -> Result<(), CliError> {
    if json {
        return output::print(serde_json::to_string(answers).expect("numbers and text"));
    }
    for (number, answer) in answers.events.iter().enumerate() {
        let number = number + 1;
        output::print(match answer {
            Answer::Accepted { streams } => format!("{number}  accepted, streams: {streams}"),
            Answer::Duplicate => format!("{number}  duplicate, nothing was added"),
            Answer::Rejected { reason, detail } => {
                format!("{number}  rejected, {reason}: {detail}")
            }
        })?;
    }
    Ok(())
}

/// Divides the events into batches and keeps their order.
fn batches(events: &[RawEvent]) -> Vec<&[RawEvent]> {
    let mut batches = Vec::new();
    let (mut start, mut bytes) = (0, 0);
    for (at, event) in events.iter().enumerate() {
        let size = event.get().len();
        let full = at - start == BATCH_EVENTS_MAX || BATCH_BYTES_MAX < bytes + size;
        if full && start < at {
            batches.push(&events[start..at]);
            (start, bytes) = (at, 0);
        }
        bytes += size;
    }
    batches.push(&events[start..]);
    batches
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use serde_json::value::to_raw_value;

    use super::*;

    #[derive(Debug, Parser)]
    struct TestCli {
        #[command(flatten)]
        publish: PublishCommand,
    }

    #[track_caller]
    fn refuses(line: &[&str], why: &str) {
        let error = TestCli::try_parse_from(line).expect_err(why).to_string();
        assert!(error.contains(why), "{error}");
    }

    #[test]
    fn a_wrong_command_line_is_refused_with_the_rule() {
        refuses(&["publish"], "<FILE>");
        refuses(&["publish", "--type", "caep:session-revoked"], "--email");
        refuses(&["publish", "f", "--email", "kim@example.com"], "cannot be used with");
        refuses(&["publish", "--email", "kim@example.com"], "--type");
        refuses(
            &["publish", "f", "--type", "t", "--email", "kim@example.com"],
            "cannot be used with",
        );
        refuses(&["publish", "--type", "t", "--sub-id", "[]"], "must be a JSON object");
        refuses(
            &["publish", "--type", "t", "--sub-id", "{}", "--email", "k"],
            "cannot be used with",
        );
        refuses(&["publish", "f", "--redis", "redis://h"], "--provider");
        refuses(&["publish", "f", "--provider", "acme"], "--redis");
        refuses(&["publish", "f", "--redis", "redis://h", "--provider", "a:b"], "provider name");
    }

    #[track_caller]
    fn check_batches(sizes: &[usize], expected: &[usize]) {
        // The quotes of a JSON string are two more bytes.
        let event = |size: &usize| to_raw_value(&"x".repeat(size - 2)).expect("JSON");
        let events: Vec<RawEvent> = sizes.iter().map(event).collect();
        let found: Vec<_> = batches(&events).into_iter().map(<[RawEvent]>::len).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn a_batch_is_limited_by_number_and_by_size() {
        check_batches(&[10], &[1]);
        check_batches(&vec![10; 2500], &[1000, 1000, 500]);
        check_batches(&[BATCH_BYTES_MAX / 2; 3], &[2, 1]);
        check_batches(&[10, BATCH_BYTES_MAX + 1, 10], &[1, 1, 1]);
    }
}
