//! Makes a [`Verifier`] from the settings of a source and the files that they name.

use std::{error::Error, sync::Arc};

use hyper::Uri;
use ipnet::IpNet;

use super::{
    Basic, BodyHash, Certificate, CertificateShown, ClientState, ForeignSet, Hmac, Jwt, JwtKeys,
    JwtProfile, LogoutToken, Scheme, StandardWebhooks, StatePlace, StaticHeader, TimeUnit,
    Timestamped, TokenPlace, Verifier, WebhookKey,
    secrets::{self, SharedSecret},
};
use crate::{
    auth::{Fetcher, JwksLocation, JwksSource, KeyLimits},
    domain::id::ProviderName,
    source::{
        Kind,
        client_certificate::SubjectName,
        settings::{AuthSettings, SchemeName, SignedTime, TokenIn},
    },
    telemetry::causes::with_causes,
};

/// The facts that a verifier needs besides the table `auth` of its source.
#[derive(Debug, Clone, Copy)]
pub struct VerifierContext<'a> {
    pub provider: &'a ProviderName,
    pub kind: Kind,
    pub trusted_proxies: &'a [IpNet],
    /// The issuers of this daemon.
    pub own_issuers: &'a [String],
}

/// A key of the table `auth` that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("`auth.{key}` cannot be used: {}", with_causes(source.as_ref()))]
pub struct VerifierError {
    pub key: &'static str,
    source: Box<dyn Error + Send + Sync>,
}

fn unusable<E: Into<Box<dyn Error + Send + Sync>>>(
    key: &'static str,
) -> impl FnOnce(E) -> VerifierError {
    move |error| VerifierError { key, source: error.into() }
}

impl Verifier {
    /// Reads the secrets. Keys at a URL are fetched when the first token comes. The settings must have been
    /// checked.
    pub fn open(
        settings: &AuthSettings,
        context: VerifierContext<'_>,
    ) -> Result<Self, VerifierError> {
        let secrets = secrets::read(&settings.secret_files).map_err(unusable("secret_files"))?;
        let header = || settings.header.clone().unwrap_or_else(|| "Authorization".to_owned());
        let scheme = match settings.scheme {
            SchemeName::Header | SchemeName::Bearer => Scheme::StaticHeader(StaticHeader {
                header: header(),
                bearer: settings.scheme == SchemeName::Bearer,
                secrets,
            }),
            SchemeName::Basic => {
                Scheme::Basic(Basic::new(settings.user.as_deref().unwrap_or_default(), &secrets))
            }
            SchemeName::Hmac => Scheme::Hmac(hmac(settings, header(), &secrets)),
            SchemeName::StandardWebhooks => {
                let keys = secrets.iter().map(WebhookKey::parse).collect::<Result<_, _>>();
                let keys = keys.map_err(unusable("secret_files"))?;
                Scheme::StandardWebhooks(StandardWebhooks { keys, tolerance: settings.tolerance })
            }
            SchemeName::Jwt => Scheme::Jwt(Box::new(jwt(settings, context, header(), secrets)?)),
            SchemeName::ClientState => {
                let place = match &settings.header {
                    Some(header) => StatePlace::Header(header.clone()),
                    None => StatePlace::Record(settings.pointer.clone()),
                };
                Scheme::ClientState(ClientState { place, secrets })
            }
            SchemeName::Certificate => {
                Scheme::Certificate(certificate(settings, context.trusted_proxies)?)
            }
            SchemeName::None => Scheme::None,
        };
        Ok(Self::new(scheme))
    }
}

fn hmac(settings: &AuthSettings, header: String, secrets: &[SharedSecret]) -> Hmac {
    let unit = match settings.timestamp {
        SignedTime::None => None,
        SignedTime::S => Some(TimeUnit::Seconds),
        SignedTime::Ms => Some(TimeUnit::Millis),
    };
    let tolerance = settings.tolerance;
    let timestamped = unit.map(|unit| Timestamped { unit, tolerance });
    let form = (settings.hash, settings.encoding);
    Hmac::new(header, settings.prefix.clone(), form, timestamped, secrets)
}

fn certificate(
    settings: &AuthSettings,
    trusted_proxies: &[IpNet],
) -> Result<Certificate, VerifierError> {
    let shown = match &settings.header {
        Some(header) => CertificateShown::ToProxy {
            header: header.clone(),
            trusted_proxies: trusted_proxies.to_vec(),
        },
        None => CertificateShown::ToListener,
    };
    let name = |text: &String| {
        SubjectName::written(text)
            .ok_or_else(|| format!("`{text}` is no DNS name, e-mail address, IP address or URI"))
    };
    let names = settings.subject_names.iter().map(name).collect::<Result<_, _>>();
    let names = names.map_err(unusable("subject_names"))?;
    let rule = "each must be a SHA-256 fingerprint in hexadecimal digits";
    Certificate::new(shown, &settings.fingerprints, names)
        .map_err(|_| unusable("fingerprints")(rule))
}

fn jwt(
    settings: &AuthSettings,
    context: VerifierContext<'_>,
    header: String,
    secrets: Vec<SharedSecret>,
) -> Result<Jwt, VerifierError> {
    let keys = match &settings.jwks {
        None => JwtKeys::Secrets(secrets),
        Some(jwks) => JwtKeys::Public(jwks_source(jwks, settings, context.provider)?),
    };
    let place = match settings.token_in {
        TokenIn::Authorization => TokenPlace::Authorization,
        TokenIn::Header => TokenPlace::Header(header),
        TokenIn::Form => TokenPlace::Form(settings.form_field.clone().unwrap_or_default()),
        TokenIn::Body => TokenPlace::Body,
    };
    let profile = match context.kind {
        Kind::Native => JwtProfile::Any,
        Kind::LogoutToken => JwtProfile::LogoutToken(LogoutToken { tolerance: settings.tolerance }),
        Kind::Set => JwtProfile::Set(ForeignSet { own_issuers: context.own_issuers.to_vec() }),
    };
    let authorization = secrets::read(&settings.authorization_files);
    let claim = &settings.body_hash_claim;
    Ok(Jwt {
        place,
        keys,
        algorithms: settings.algorithms.clone(),
        issuer: settings.issuer.clone(),
        audience: settings.audience.clone(),
        leeway: settings.leeway,
        requires_exp: settings.require_exp,
        body_hash: (!claim.is_empty())
            .then(|| BodyHash { claim: claim.clone(), encoding: settings.body_hash_encoding }),
        profile,
        authorization: authorization.map_err(unusable("authorization_files"))?,
    })
}

fn jwks_source(
    jwks: &str,
    settings: &AuthSettings,
    provider: &ProviderName,
) -> Result<Arc<JwksSource>, VerifierError> {
    let location = if jwks.contains("://") {
        let uri: Uri = jwks.parse().map_err(unusable("jwks"))?;
        let roots = settings.trusted_roots.as_deref();
        JwksLocation::Url(uri, Fetcher::new(roots).map_err(unusable("trusted_roots"))?)
    } else {
        JwksLocation::File(jwks.into())
    };
    location.check().map_err(unusable("jwks"))?;
    let limits = KeyLimits {
        max_age: settings.jwks_max_age,
        keep: settings.jwks_keep,
        interval_min: settings.jwks_refresh_interval_min,
    };
    Ok(JwksSource::new(provider, location, limits))
}
