//! Checks the sources of all providers, and the listener that they need.

use std::collections::BTreeSet;

use super::{Config, ConfigError, collide, invalid};
use crate::{
    domain::id::{ProviderName, SourceName},
    source::{
        Kind,
        settings::{SchemeName, SourceConfig, SourceMistake},
    },
};

/// A source as its table says, with its name.
#[derive(Debug)]
pub struct NamedSource {
    pub provider: ProviderName,
    pub name: SourceName,
    pub config: SourceConfig,
}

/// The path that all sources stand below.
const PATH: &str = "/in";

impl NamedSource {
    fn key(&self, member: &str) -> String {
        key(&self.provider, &self.name, member)
    }
}

fn key(provider: &ProviderName, name: &SourceName, member: &str) -> String {
    let key = format!("providers.{provider}.sources.{name}");
    if member.is_empty() { key } else { format!("{key}.{member}") }
}

impl Config {
    /// Returns all sources. Fails if the table of one is not valid.
    pub fn sources(&self) -> Result<Vec<NamedSource>, ConfigError> {
        let mut sources = Vec::new();
        for (provider, settings) in self.named_providers() {
            for (name, source) in settings.sources {
                match source.read(name.as_str()) {
                    Ok(config) => {
                        sources.push(NamedSource { provider: provider.clone(), name, config });
                    }
                    Err(SourceMistake { key: member, rule }) => {
                        return invalid(key(&provider, &name, &member), rule);
                    }
                }
            }
        }
        Ok(sources)
    }

    /// Returns the issuers of all providers.
    pub fn own_issuers(&self) -> Vec<String> {
        self.named_providers().into_values().map(|provider| provider.issuer).collect()
    }
}

pub(super) fn check(config: &Config) -> Result<(), ConfigError> {
    check_listener(config)?;
    let mut keys = BTreeSet::new();
    for source in config.sources()? {
        check_source(config, &source)?;
        if let Some(redis_key) = &source.config.redis_key {
            if config.ingest.redis.servers().is_none() {
                let rule = "needs the publishers' Redis: set `ingest.redis.url`";
                return invalid(source.key("redis_key"), rule);
            }
            let provider = config.named_providers().into_keys();
            let providers: Vec<_> = provider.collect();
            let taken = crate::ingest::partitions(&config.ingest.redis, providers.iter());
            if taken.contains(redis_key) || !keys.insert(redis_key.clone()) {
                let rule = "names a Redis stream that is read already; give each source its own";
                return invalid(source.key("redis_key"), rule);
            }
        }
    }
    Ok(())
}

fn check_listener(config: &Config) -> Result<(), ConfigError> {
    let sources = &config.sources;
    if sources.tls_certificate.is_some() != sources.tls_key.is_some() {
        return invalid("sources.tls_certificate", "and `sources.tls_key` must be set together");
    }
    if sources.tls_client_ca.is_some() && (sources.listen.is_none() || sources.tls_key.is_none()) {
        let rule = "needs TLS, in which clients show their certificates: set `sources.listen`, \
                    `sources.tls_certificate` and `sources.tls_key`";
        return invalid("sources.tls_client_ca", rule);
    }
    if let Some(listen) = sources.listen {
        for (key, other) in
            [("public.listen", config.public.listen), ("internal.listen", config.internal.listen)]
        {
            if collide(other, listen) {
                let rule = format!(
                    "is {listen}, which `{key}` takes already; give each listener a port of its own"
                );
                return invalid("sources.listen", rule);
            }
        }
    }
    if sources.public {
        for (name, settings) in config.named_providers() {
            let path = url::Url::parse(&settings.issuer).map(|url| url.path().to_owned());
            let path = path.unwrap_or_default();
            if path == PATH || path.starts_with(&format!("{PATH}/")) {
                let rule = format!(
                    "has a path below `{PATH}`, which is that of sources; give the provider another path, \
                     or the sources a listener of their own (`sources.listen`)"
                );
                return invalid(format!("providers.{name}.issuer"), rule);
            }
        }
    }
    Ok(())
}

fn check_source(config: &Config, source: &NamedSource) -> Result<(), ConfigError> {
    let Some(auth) = &source.config.auth else { return Ok(()) };
    let listener = &config.sources;
    if listener.listen.is_none() && !listener.public {
        let rule = format!(
            "is not set, and the source `{}` of the provider `{}` takes requests: give the sources' \
             listener an address, or serve sources at the public one with `sources.public = true`",
            source.name, source.provider
        );
        return invalid("sources.listen", rule);
    }
    let pinned = auth.issuer.as_deref().unwrap_or_default();
    if source.config.kind == Kind::Set && config.own_issuers().iter().any(|own| own == pinned) {
        let rule = format!(
            "is {pinned}, an issuer of this daemon, whose SETs would come back again and again; name the \
             issuer of the other Transmitter"
        );
        return invalid(source.key("auth.issuer"), rule);
    }
    let is_open = listener.public || listener.listen.is_some_and(|at| !at.ip().is_loopback());
    if auth.scheme == SchemeName::None
        && is_open
        && !auth.i_accept_that_anybody_can_sign_out_every_user
    {
        let rule = "may be `none` only on a loopback address, because anybody could sign out every user; \
                    choose another scheme, or set `i_accept_that_anybody_can_sign_out_every_user = true` in \
                    the same table";
        return invalid(source.key("auth.scheme"), rule);
    }
    if auth.scheme == SchemeName::Certificate {
        check_certificate(config, source, auth.header.is_some())?;
    }
    Ok(())
}

/// Checks that somebody verifies the certificates that a source demands.
fn check_certificate(
    config: &Config,
    source: &NamedSource,
    from_proxy: bool,
) -> Result<(), ConfigError> {
    let listener = &config.sources;
    let public = if listener.public { config.public.trusted_proxies.len() } else { 0 };
    if from_proxy && listener.trusted_proxies.len() + public == 0 {
        let rule = "needs a proxy that verifies client certificates: list its network in \
                    `sources.trusted_proxies`; or remove `auth.header` and let the listener verify them \
                    (`sources.tls_client_ca`)";
        return invalid(source.key("auth.scheme"), rule);
    }
    if !from_proxy && listener.tls_client_ca.is_none() {
        let rule = "needs somebody who verifies client certificates: name their authorities in \
                    `sources.tls_client_ca`; or set `auth.header` to the header in which a proxy of \
                    `sources.trusted_proxies` passes the fingerprint";
        return invalid(source.key("auth.scheme"), rule);
    }
    Ok(())
}
