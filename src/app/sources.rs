//! Sets up the sources, from the settings and the files that they name.

use std::sync::Arc;

use crate::{
    config::{Config, NamedSource},
    domain::id::{ProviderName, SourceName},
    source::{
        Source, SourceParts, SourceServices, SourceSet,
        settings::SourceConfig,
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
    error: VerifierError,
}

/// A source with what its files hold.
pub struct OpenedSource {
    source: NamedSource,
    verifier: Option<Verifier>,
}

/// Reads the files of all sources. The configuration must be valid.
pub fn load(config: &Config) -> Result<Vec<OpenedSource>, SourceFileError> {
    let own_issuers = config.own_issuers();
    let sources = config.sources().unwrap_or_default().into_iter().map(|source| {
        let mut proxies = config.sources.trusted_proxies.clone();
        if config.sources.public {
            proxies.extend(&config.public.trusted_proxies);
        }
        let NamedSource { provider, config: SourceConfig { kind, auth, .. }, .. } = &source;
        let context = VerifierContext {
            provider,
            kind: *kind,
            trusted_proxies: &proxies,
            own_issuers: &own_issuers,
        };
        let open = |auth| Verifier::open(auth, context);
        let verifier = auth.as_ref().map(open);
        match verifier.transpose() {
            Ok(verifier) => Ok(OpenedSource { source, verifier }),
            Err(error) => {
                Err(SourceFileError { provider: source.provider, source_name: source.name, error })
            }
        }
    });
    sources.collect()
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
    SourceSet::new(opened.into_iter().filter_map(|OpenedSource { source, verifier }| {
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
            may_emit: settings.may_emit.into_iter().collect(),
            event_bytes_max: config.ingest.redis.event_bytes_max,
            store_id_retention: config.store.event_id_retention,
        };
        Some(Source::new(parts, services.clone()))
    }))
}
