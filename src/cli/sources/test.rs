//! Sends a payload to a source of the running daemon, as its sender would.

use std::{path::PathBuf, time::Duration};

use bytes::Bytes;
use clap::Args;
use http_body_util::Full;
use hyper::{Request, header};
use serde_json::json;
use url::Url;

use super::{
    SourceRef,
    explain::{PayloadArgs, configured},
};
use crate::{
    cli::{CliError, explain::read, http::HttpClient, output, plain, source::ConfigSource},
    clock,
    config::Config,
    source::verify::{Verifier, VerifierContext},
};

/// The longest time until the answer.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug, Args)]
pub(super) struct TestArgs {
    /// The source, or PROVIDER/SOURCE if several have the name
    #[arg(value_name = "SOURCE")]
    source: SourceRef,
    /// A file with the payload as the sender sends it; `-` stands for standard input
    #[arg(long, value_name = "FILE")]
    send: PathBuf,
    #[command(flatten)]
    payload: PayloadArgs,
    /// The URL of the listener with the sources [default: `sources.listen` or `public.listen` of the
    /// configuration]
    #[arg(long)]
    url: Option<Url>,
    /// A PEM file of certificate authorities to trust in addition to those of the system
    #[arg(long, value_name = "FILE")]
    trusted_roots: Option<PathBuf>,
}

impl TestArgs {
    pub(super) async fn run(self, config: &ConfigSource, json: bool) -> Result<(), CliError> {
        let body = read(&self.send)?;
        let config = config.load()?;
        let (provider, source) = configured(&config, &self.source)?;
        let auth = source.config.auth.as_ref().ok_or_else(|| {
            CliError::new(
                "the source takes no requests; it fetches its records (`redis_key`, `poll`)",
            )
        })?;
        let context = VerifierContext {
            provider: &provider.name,
            kind: source.config.kind,
            trusted_proxies: &[],
            own_issuers: &[],
        };
        let verifier = Verifier::open(auth, context);
        let verifier = verifier.map_err(|error| CliError::of(&error))?;
        let id = clock::random_uuid().to_string();
        let signed = verifier.sign(&body, &id, clock::now()).map_err(CliError::new)?;
        let mut url = self.url.map_or_else(|| sources_url(&config), Ok)?;
        url.set_path(&format!("/in/{}/{}", provider.name, source.name));
        if !self.payload.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&self.payload.query);
        }
        let mut request = Request::post(url.as_str())
            .header(header::CONTENT_TYPE, source.config.kind.media_type());
        for (name, value) in signed.iter().chain(&self.payload.headers) {
            request = request.header(name, value);
        }
        let request = request.body(Full::new(Bytes::from(body)));
        let request = request.map_err(|error| CliError::of(&error))?;
        let http = HttpClient::new(self.trusted_roots.as_deref());
        let http = http.map_err(|error| CliError::of(&error))?;
        let answer = http.send(&url, request, PATIENCE).await;
        let (status, body) = answer.map_err(|error| CliError::of(&error))?;
        let text = String::from_utf8_lossy(&body);
        if json {
            output::print(json!({"url": url.as_str(), "status": status.as_u16(), "body": text}))?;
        } else {
            output::print(format!("{} answered {status} {}", plain(url.as_str()), plain(&text)))?;
        }
        if status.is_success() {
            Ok(())
        } else {
            Err(CliError::new("the payload was not taken in"))
        }
    }
}

/// Returns the URL of the listener that serves the sources, as this machine reaches it.
fn sources_url(config: &Config) -> Result<Url, CliError> {
    let (address, tls) = match config.sources.listen {
        Some(listen) => (listen, config.sources.tls_certificate.is_some()),
        None => (config.public.listen, config.public.tls_certificate.is_some()),
    };
    if address.port() == 0 {
        return Err(CliError::new(
            "the configuration lets the system choose the port: give the listener's URL with --url",
        ));
    }
    let scheme = if tls { "https" } else { "http" };
    let address = super::super::source::reachable(address);
    Ok(Url::parse(&format!("{scheme}://{address}")).expect("an address makes a URL"))
}
