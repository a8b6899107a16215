//! Sets up the authorization servers of the providers, from the settings and the files that they name.

use std::{collections::BTreeMap, error::Error, io, sync::Arc};

use hyper::Uri;

use crate::{
    auth::{
        Expectations, Fetcher, Introspection, JwksLocation, JwksSource, KeyLimits, TokenIssuer,
        external::{External, TokenCheck},
        settings::{IntrospectionSettings, OauthSettings},
        token_endpoint::TokenEndpoint,
    },
    config::{Config, ProviderSettings},
    domain::{id::ProviderName, secret::Secret},
    telemetry::causes::with_causes,
};

/// An authorization server that cannot be set up as configured.
#[derive(Debug, thiserror::Error)]
#[error("`providers.{provider}.oauth.{key}` cannot be used: {}", with_causes(source.as_ref()))]
pub struct AuthorizationError {
    provider: ProviderName,
    key: &'static str,
    source: Box<dyn Error + Send + Sync>,
}

/// Makes an error about a configuration key of a provider.
fn unusable<E: Error + Send + Sync + 'static>(
    provider: &ProviderName,
    key: &'static str,
) -> impl FnOnce(E) -> AuthorizationError {
    let provider = provider.clone();
    move |error| AuthorizationError { provider, key, source: error.into() }
}

/// Reads the files. No request is sent yet.
pub fn load(config: &Config) -> Result<BTreeMap<ProviderName, TokenIssuer>, AuthorizationError> {
    let servers = config.named_providers().into_iter().map(|(name, settings)| {
        let server = match &settings.oauth.issuer {
            Some(issuer) => TokenIssuer::External(Box::new(external(&name, issuer, &settings)?)),
            None => TokenIssuer::BuiltIn(TokenEndpoint::new(settings.token_endpoint.clone())),
        };
        Ok((name, server))
    });
    servers.collect()
}

fn external(
    provider: &ProviderName,
    issuer: &str,
    settings: &ProviderSettings,
) -> Result<External, AuthorizationError> {
    let oauth = &settings.oauth;
    let roots = oauth.trusted_roots.as_deref();
    let fetcher = Fetcher::new(roots).map_err(unusable(provider, "trusted_roots"))?;
    let check = match &oauth.jwks {
        Some(jwks) => TokenCheck::Keys(keys(provider, jwks, oauth, fetcher)?),
        None => TokenCheck::Introspection(introspection(provider, &oauth.introspection, fetcher)?),
    };
    let require_of = oauth.clients.iter().map(|(id, client)| (id.clone(), client.require.clone()));
    Ok(External {
        expected: Expectations {
            issuer: issuer.to_owned(),
            audience: oauth.audience.clone().unwrap_or_else(|| settings.issuer.clone()),
            audience_optional: !oauth.introspection.require_audience,
            algorithms: oauth.algorithms.clone(),
            leeway: oauth.leeway,
            lifetime_max: oauth.token_lifetime_max,
            client_claim: oauth.client_claim.clone(),
            require: oauth.require.clone(),
            require_of: require_of.collect(),
        },
        check,
        clients: oauth.clients.clone(),
        unlisted: oauth.unlisted_clients,
    })
}

fn keys(
    provider: &ProviderName,
    jwks: &str,
    oauth: &OauthSettings,
    fetcher: Fetcher,
) -> Result<Arc<JwksSource>, AuthorizationError> {
    let location = if jwks.contains("://") {
        JwksLocation::Url(uri(provider, "jwks", jwks)?, fetcher)
    } else {
        JwksLocation::File(jwks.into())
    };
    location.check().map_err(unusable(provider, "jwks"))?;
    let limits = KeyLimits {
        max_age: oauth.jwks_max_age,
        keep: oauth.jwks_keep,
        interval_min: oauth.jwks_refresh_interval_min,
    };
    Ok(JwksSource::new(provider, location, limits))
}

/// The endpoint, the client and its secret are there, because the configuration was validated.
fn introspection(
    provider: &ProviderName,
    settings: &IntrospectionSettings,
    fetcher: Fetcher,
) -> Result<Arc<Introspection>, AuthorizationError> {
    let endpoint = settings.endpoint.as_deref().unwrap_or_default();
    let client_id = settings.client_id.as_deref().unwrap_or_default();
    let path = settings.client_secret.as_deref().unwrap_or("".as_ref());
    let named = |error: io::Error| {
        io::Error::new(error.kind(), format!("cannot read {}: {error}", path.display()))
    };
    let secret = std::fs::read_to_string(path).map_err(named);
    let secret = secret.map_err(unusable(provider, "introspection.client_secret"))?;
    // Editors end a file with a line break, which is no part of the secret.
    let secret = Secret::new(secret.trim_end_matches(['\r', '\n']));
    let endpoint = uri(provider, "introspection.endpoint", endpoint)?;
    let cache_for = settings.cache_for;
    Ok(Introspection::new(provider, endpoint, fetcher, client_id, &secret, cache_for))
}

fn uri(provider: &ProviderName, key: &'static str, raw: &str) -> Result<Uri, AuthorizationError> {
    raw.parse().map_err(unusable(provider, key))
}
