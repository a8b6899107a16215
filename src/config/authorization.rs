//! Checks the settings of a provider's authorization servers.

use std::time::Duration;

use url::Url;

use super::{ConfigError, invalid};
use crate::auth::settings::{OauthSettings, TokenEndpointSettings};

/// The longest lifetime of a token of the built-in server (CAEP-IOP §2.7.1).
const TOKEN_LIFETIME_MAX: Duration = Duration::from_hours(1);
/// The largest leeway. It should be no more than a few minutes (RFC 9068 §4).
const LEEWAY_MAX: Duration = Duration::from_mins(5);

/// Checks both tables. `key` returns the full name of a key of the provider.
pub(super) fn check(
    token_endpoint: &TokenEndpointSettings,
    oauth: &OauthSettings,
    key: impl Fn(&str) -> String,
) -> Result<(), ConfigError> {
    if token_endpoint.token_lifetime < Duration::from_secs(1)
        || TOKEN_LIFETIME_MAX < token_endpoint.token_lifetime
    {
        return invalid(key("token_endpoint.token_lifetime"), "must be between 1s and 1h");
    }
    if token_endpoint.tokens_per_client_max == 0 {
        return invalid(key("token_endpoint.tokens_per_client_max"), "must be at least 1");
    }
    if token_endpoint.requests_per_second_max == 0 {
        return invalid(key("token_endpoint.requests_per_second_max"), "must be at least 1");
    }
    let introspection = &oauth.introspection;
    if oauth.issuer.is_none() {
        let has_other_keys = oauth.jwks.is_some()
            || oauth.audience.is_some()
            || !oauth.clients.is_empty()
            || introspection.endpoint.is_some();
        if has_other_keys {
            return invalid(key("oauth.issuer"), "is required by the other keys of the table");
        }
        return Ok(());
    }
    match (&oauth.jwks, &introspection.endpoint) {
        (Some(jwks), None) if jwks.contains("://") => https(jwks, key("oauth.jwks"))?,
        (Some(_), None) => {}
        (None, Some(url)) => https(url, key("oauth.introspection.endpoint"))?,
        _ => {
            let rule =
                "and `introspection.endpoint` exclude each other, and one of them must be set";
            return invalid(key("oauth.jwks"), rule);
        }
    }
    let has_credentials =
        introspection.client_id.is_some() && introspection.client_secret.is_some();
    if introspection.endpoint.is_some() && !has_credentials {
        return invalid(
            key("oauth.introspection.client_id"),
            "and `client_secret` are required, because the endpoint must authenticate its callers \
             (RFC 7662 §2.1)",
        );
    }
    if oauth.algorithms.is_empty() {
        return invalid(key("oauth.algorithms"), "must list at least one algorithm");
    }
    if LEEWAY_MAX < oauth.leeway {
        return invalid(key("oauth.leeway"), "must be at most 5m");
    }
    let interval = oauth.jwks_refresh_interval_min;
    if interval.is_zero() || oauth.jwks_max_age < interval || oauth.jwks_keep < oauth.jwks_max_age {
        let rule = "must be longer than 0, at most `jwks_max_age`, and that at most `jwks_keep`";
        return invalid(key("oauth.jwks_refresh_interval_min"), rule);
    }
    for (client, settings) in &oauth.clients {
        if settings.scopes.is_empty() {
            return invalid(key(&format!("oauth.clients.{client}.scopes")), "must not be empty");
        }
    }
    Ok(())
}

/// Checks that a URL is https, because keys and tokens need TLS (RFC 9068 §4, RFC 7662 §4).
fn https(raw: &str, key: String) -> Result<(), ConfigError> {
    match Url::parse(raw) {
        Ok(url) if url.scheme() == "https" && url.has_host() => Ok(()),
        _ => invalid(key, "must be an https URL"),
    }
}
