//! `ssfd receive`: a Receiver for tests and trials.
//!
//! - [`push::PushReceiver`] is a push endpoint on a small HTTP `server`. [`poll::PollReceiver`]
//!   polls a stream.
//! - [`inspect::Inspector`] verifies each SET with the keys of [`jwks::KeySource`], which finds
//!   them through the [`metadata`].
//! - [`misbehave::Misbehaviour`] makes the endpoint fail on purpose.
//! - `watch` prints each [`received::Received`] SET until a limit is reached.
//! - [`certificate`] makes certificates for a trial on one machine.

pub mod certificate;
pub mod inspect;
pub mod jwks;
pub mod metadata;
pub mod misbehave;
pub mod poll;
pub mod push;
pub mod received;

mod server;
mod watch;

use std::{path::PathBuf, sync::Arc};

use clap::{Args, Subcommand};
use rustls::ServerConfig;
use tokio::sync::mpsc;
use url::Url;

use self::{
    certificate::{kept_certificate, server_config},
    inspect::Inspector,
    jwks::KeySource,
    misbehave::Misbehaviour,
    poll::{PollOptions, PollReceiver},
    push::{PushOptions, PushReceiver},
    watch::{WatchLimits, watch},
};
use crate::{
    cli::{
        CliError,
        http::HttpClient,
        output, read_file,
        secrets::{TokenArgs, secret},
    },
    domain::{issuer::Issuer, secret::Secret},
    signing::verify::Verifier,
    telemetry::causes::with_causes,
};

/// The most SETs that wait to be printed.
const PRINT_QUEUE_MAX: usize = 1024;

const PUSH_EXAMPLES: &str = "\
Examples:
  Print the SETs that the Transmitter pushes to http://127.0.0.1:8443/, on any path:
    ssfd receive push --issuer https://tx.example

  The same over TLS, with a new certificate:
    ssfd receive push --jwks http://127.0.0.1:8080/jwks.json --tls-trial roots.pem

  Refuse the first three SETs with 503 and Retry-After, and exit after ten:
    ssfd receive push --issuer https://tx.example --misbehave 503:2,first=3 --count 10";

const POLL_EXAMPLES: &str = "\
Examples:
  ssfd receive poll https://tx.example/ssf/poll/st_1 --issuer https://tx.example --token-file t";

const EXAMPLES: &str = "\
Examples:
  ssfd receive push --issuer https://tx.example --tls-trial roots.pem
  ssfd receive poll https://tx.example/ssf/poll/st_1 --issuer https://tx.example --token-file t";

/// Run a Receiver for tests and trials, which verifies and prints each SET that arrives
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct ReceiveCommand {
    #[command(subcommand)]
    command: ReceiveAction,
}

#[derive(Debug, Subcommand)]
enum ReceiveAction {
    Push(PushArgs),
    Poll(PollArgs),
}

/// Receive SETs by push (RFC 8935)
#[derive(Debug, Args)]
#[command(after_help = PUSH_EXAMPLES)]
struct PushArgs {
    /// The address to listen on; port 0 chooses any free port
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:8443")]
    listen: String,
    /// Serve TLS with the certificate chain in this PEM file
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_certificate: Option<PathBuf>,
    /// The PEM file of the certificate's private key
    #[arg(long, value_name = "FILE", requires = "tls_certificate")]
    tls_key: Option<PathBuf>,
    /// Serve TLS with a certificate for localhost whose authority is in this file; makes both unless
    /// they were made by an earlier start, which leaves the key in FILE.key
    #[arg(long, value_name = "FILE", conflicts_with = "tls_certificate")]
    tls_trial: Option<PathBuf>,
    /// Answer 401 unless the header `Authorization` has this value
    #[arg(long, value_name = "VALUE", value_parser = secret)]
    authorization: Option<Secret>,
    /// Fail on purpose: slow:DURATION, STATUS, STATUS:SECONDS (for Retry-After), 400:ERR,
    /// redirect:URL, reset (close the connection) or lose (accept the SET, then close the
    /// connection); `,first=N` limits this to the first N requests, `,every=N` to one in N
    #[arg(long, value_name = "MODE")]
    misbehave: Option<Misbehaviour>,
    #[command(flatten)]
    trust: VerificationArgs,
    #[command(flatten)]
    limits: WatchLimits,
}

/// Receive SETs by poll (RFC 8936)
#[derive(Debug, Args)]
#[command(after_help = POLL_EXAMPLES)]
struct PollArgs {
    /// The stream's `endpoint_url`
    url: Url,
    #[command(flatten)]
    token: TokenArgs,
    /// Request at most this many SETs at a time
    #[arg(long, value_name = "N")]
    max_events: Option<usize>,
    #[command(flatten)]
    trust: VerificationArgs,
    #[command(flatten)]
    limits: WatchLimits,
}

/// The arguments that say how a SET is verified.
#[derive(Debug, Args)]
struct VerificationArgs {
    /// The issuer of the Transmitter, which must be the `iss` of each SET
    #[arg(long, value_name = "URL", required_unless_present = "jwks")]
    issuer: Option<String>,
    /// The JWK Set, as a URL or a file [default: the JWK Set in the issuer's metadata]
    #[arg(long, value_name = "URL|FILE")]
    jwks: Option<String>,
    /// The audience that the `aud` of each SET must contain
    #[arg(long)]
    audience: Option<String>,
    /// A PEM file of certificate authorities to trust in addition to those of the system
    #[arg(long, value_name = "FILE")]
    trusted_roots: Option<PathBuf>,
}

impl ReceiveCommand {
    /// Prints SETs as they arrive. Fails if one was not verified or if too few arrived.
    pub async fn run(self, json: bool) -> Result<(), CliError> {
        match self.command {
            ReceiveAction::Push(push) => push.run(json).await,
            ReceiveAction::Poll(poll) => poll.run(json).await,
        }
    }
}

impl PushArgs {
    async fn run(self, json: bool) -> Result<(), CliError> {
        let http = self.trust.http()?;
        let inspector = self.trust.inspector(&http).await?;
        let (received, arriving) = mpsc::channel(PRINT_QUEUE_MAX);
        let options = PushOptions {
            listen: self.listen.clone(),
            tls: self.tls()?,
            authorization_header: self.authorization,
            misbehaviour: self.misbehave,
            inspector,
            received,
        };
        let endpoint = PushReceiver::start(options)
            .await
            .map_err(|error| CliError::new(format!("cannot listen on {}: {error}", self.listen)))?;
        output::note(format_args!("listening on {}", endpoint.url()));
        let seen = watch(arriving, &self.limits, json).await;
        // Stopping ends the request of the last SET, which was printed before it was answered.
        endpoint.stop().await;
        seen.check(&self.limits)
    }

    fn tls(&self) -> Result<Option<ServerConfig>, CliError> {
        let config = match (&self.tls_certificate, &self.tls_key, &self.tls_trial) {
            (Some(certificate), Some(key), _) => {
                server_config(&read_file(certificate)?, &read_file(key)?)
            }
            (_, _, Some(file)) => {
                let kept = kept_certificate(file)
                    .map_err(|error| CliError::new(format!("{}: {error}", file.display())))?;
                server_config(kept.as_bytes(), kept.as_bytes())
            }
            _ => return Ok(None),
        };
        config.map(Some).map_err(|error| CliError::of(&error))
    }
}

impl PollArgs {
    async fn run(self, json: bool) -> Result<(), CliError> {
        let http = self.trust.http()?;
        let inspector = self.trust.inspector(&http).await?;
        let (received, arriving) = mpsc::channel(PRINT_QUEUE_MAX);
        let poller = PollReceiver::start(PollOptions {
            url: self.url,
            token: self.token.read()?,
            events_max: self.max_events,
            http,
            inspector,
            received,
        });
        let seen = watch(arriving, &self.limits, json).await;
        poller.stop().await.map_err(|error| CliError::of(&error))?;
        seen.check(&self.limits)
    }
}

impl VerificationArgs {
    fn http(&self) -> Result<HttpClient, CliError> {
        HttpClient::new(self.trusted_roots.as_deref()).map_err(|error| CliError::of(&error))
    }

    async fn inspector(&self, http: &HttpClient) -> Result<Arc<Inspector>, CliError> {
        let keys = self.keys(http.clone())?;
        if let Err(error) = keys.check().await {
            // No reason to give up, because the Transmitter may be about to start.
            let error = with_causes(&error);
            output::note(format_args!(
                "cannot fetch the keys yet; trying again with the first SET: {error}"
            ));
        }
        let mut inspector = Inspector::new(keys);
        if let Some(issuer) = &self.issuer {
            inspector = inspector.of_issuer(issuer);
        }
        if let Some(audience) = &self.audience {
            inspector = inspector.for_audience(audience);
        }
        Ok(Arc::new(inspector))
    }

    fn keys(&self, http: HttpClient) -> Result<KeySource, CliError> {
        match (&self.jwks, &self.issuer) {
            (Some(url), _) if url.starts_with("https://") || url.starts_with("http://") => {
                let url = Url::parse(url).map_err(|e| CliError::new(format!("{url}: {e}")))?;
                Ok(KeySource::jwks(http, url))
            }
            (Some(file), _) => {
                let keys = Verifier::from_jwks(&read_file(file.as_ref())?);
                let keys =
                    keys.map_err(|e| CliError::new(format!("{file}: {}", with_causes(&e))))?;
                Ok(KeySource::Fixed(keys))
            }
            (None, Some(issuer)) => {
                let issuer =
                    Issuer::try_from(issuer.clone()).map_err(|error| CliError::of(&error))?;
                Ok(KeySource::metadata(http, issuer))
            }
            (None, None) => {
                Err(CliError::new("give --issuer or --jwks, so that SETs can be verified"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct TestCli {
        #[command(flatten)]
        receive: ReceiveCommand,
    }

    fn parse(line: &str) -> Result<ReceiveCommand, clap::Error> {
        let words = ["receive"].into_iter().chain(line.split(' '));
        TestCli::try_parse_from(words).map(|cli| cli.receive)
    }

    #[track_caller]
    fn refuses(line: &str, rule: &str) {
        let error = parse(line).expect_err(line).to_string();
        assert!(error.contains(rule), "{error}");
    }

    #[test]
    fn a_wrong_command_line_is_refused_with_the_rule() {
        refuses("push", "--issuer");
        refuses("push --jwks j --misbehave sleep", "`sleep` is none of slow:DURATION");
        refuses("push --jwks j --tls-key k", "--tls-certificate");
        refuses("poll --jwks j", "<URL>");
        refuses("poll https://tx.example/p --jwks j --timeout soon", "--timeout");
    }

    #[test]
    fn secrets_are_not_printed() {
        let debug = format!("{:?}", parse("push --jwks j --authorization s3cret"));
        assert!(!debug.contains("s3cret"), "{debug}");
    }
}
