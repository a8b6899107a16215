//! Sets up the sources, from the settings and the files that they name.

use std::sync::Arc;

use ipnet::IpNet;

use crate::{
    config::{Config, NamedSource},
    domain::id::{ProviderName, SourceName},
    source::{
        Source, SourceParts, SourceServices, SourceSet,
        poll::{Poll, PollError},
        verify::{Verifier, VerifierContext, VerifierError},
    },
    store::{Records, Store},
    telemetry::readiness::Readiness,
    transmitter::Transmitter,
};

/// A source that cannot be set up as configured.
#[derive(Debug, thiserror::Error)]
#[error("the source `{source_name}` of the provider `{provider}`: {error}")]
pub struct SourceFileError {
    provider: ProviderName,
    source_name: SourceName,
    error: SourceError,
}

/// The part of a source that its files do not let be.
#[derive(Debug, thiserror::Error)]
enum SourceError {
    #[error(transparent)]
    Verifier(#[from] VerifierError),
    #[error(transparent)]
    Poll(#[from] PollError),
}

/// A source with what its files hold.
pub struct OpenedSource {
    source: NamedSource,
    verifier: Option<Verifier>,
    poll: Option<Arc<Poll>>,
}

/// Reads the files of all sources. The configuration must be valid.
pub fn load(config: &Config) -> Result<Vec<OpenedSource>, SourceFileError> {
    let own_issuers = config.own_issuers();
    let sources = config.sources().unwrap_or_default().into_iter().map(|source| {
        let mut proxies = config.sources.trusted_proxies.clone();
        if config.sources.public {
            proxies.extend(&config.public.trusted_proxies);
        }
        open(source, &proxies, &own_issuers)
    });
    sources.collect()
}

fn open(
    source: NamedSource,
    trusted_proxies: &[IpNet],
    own_issuers: &[String],
) -> Result<OpenedSource, SourceFileError> {
    let settings = &source.config;
    let (provider, kind) = (&source.provider, settings.kind);
    let context = VerifierContext { provider, kind, trusted_proxies, own_issuers };
    let verifier = || settings.auth.as_ref().map(|auth| Verifier::open(auth, context)).transpose();
    let poll = || {
        let per_minute = settings.bounds.events_per_minute_max;
        let poll = settings.poll.clone().map(|poll| Poll::open(poll, per_minute)).transpose()?;
        Ok::<_, SourceError>((verifier()?, poll.map(Arc::new)))
    };
    match poll() {
        Ok((verifier, poll)) => Ok(OpenedSource { source, verifier, poll }),
        Err(error) => {
            let NamedSource { provider, name, .. } = source;
            Err(SourceFileError { provider, source_name: name, error })
        }
    }
}

/// Makes the sources.
pub(super) fn build(
    config: &Config,
    opened: Vec<OpenedSource>,
    transmitter: &Arc<Transmitter>,
    store: &Arc<dyn Store>,
    readiness: &Arc<Readiness>,
) -> SourceSet {
    let services = SourceServices {
        transmitter: Arc::clone(transmitter),
        store: Arc::clone(store) as Arc<dyn Records>,
        readiness: Arc::clone(readiness),
    };
    SourceSet::new(opened.into_iter().filter_map(|OpenedSource { source, verifier, poll }| {
        let NamedSource { provider, name, config: settings } = source;
        let parts = SourceParts {
            provider: Arc::clone(transmitter.directory().provider(&provider)?),
            name,
            preset: settings.preset,
            mode: settings.mode,
            bounds: settings.bounds,
            kind: settings.kind,
            mapping: settings.mapping,
            verifier,
            redis_key: settings.redis_key,
            poll,
            may_emit: settings.may_emit.into_iter().collect(),
            event_bytes_max: config.ingest.redis.event_bytes_max,
            store_id_retention: config.store.event_id_retention,
        };
        Some(Source::new(parts, services.clone()))
    }))
}
