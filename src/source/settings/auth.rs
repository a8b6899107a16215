//! How the sender of a source is known.

use std::{path::PathBuf, time::Duration};

use serde::Deserialize;

use super::{SourceMistake, list, mistake};
use crate::source::verify::{Encoding, Hash, JwtAlgorithm, secrets::SECRETS_MAX};

/// The scheme by which requests are verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SchemeName {
    /// A header whose whole value is a secret.
    Header,
    /// `Authorization: Bearer …`.
    Bearer,
    Basic,
    Hmac,
    StandardWebhooks,
    Jwt,
    ClientState,
    /// A client certificate that a proxy or the listener has verified.
    Certificate,
    /// Anybody is believed.
    None,
}

/// The unit of the time that a signature covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SignedTime {
    /// The signature covers no time.
    #[default]
    None,
    S,
    Ms,
}

/// Where a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TokenIn {
    #[default]
    Authorization,
    Header,
    Form,
    Body,
}

/// The table `auth` of a source. Which keys count depends on the scheme.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuthSettings {
    pub scheme: SchemeName,
    /// Files with one secret each. Each of the secrets is valid.
    #[serde(default, deserialize_with = "list")]
    pub secret_files: Vec<PathBuf>,
    /// The name of the header with the credential.
    pub header: Option<String>,
    /// The name of basic authentication.
    pub user: Option<String>,
    /// The text before an HMAC.
    #[serde(default)]
    pub prefix: String,
    #[serde(default)]
    pub encoding: Encoding,
    #[serde(default)]
    pub hash: Hash,
    /// The unit of the time that an HMAC covers.
    #[serde(default)]
    pub timestamp: SignedTime,
    /// The largest distance of a signed time from ours.
    #[serde(default = "tolerance", with = "humantime_serde")]
    pub tolerance: Duration,
    #[serde(default)]
    pub token_in: TokenIn,
    /// Files with one value each. The header `Authorization` must have one of them, beside a JWT in the
    /// body.
    #[serde(default, deserialize_with = "list")]
    pub authorization_files: Vec<PathBuf>,
    pub form_field: Option<String>,
    /// The keys of a JWT: an https URL, or the path of a file with a JWK Set.
    pub jwks: Option<String>,
    /// A PEM file of certificate authorities that are trusted for `jwks` besides those of the system.
    pub trusted_roots: Option<PathBuf>,
    /// The age at which the keys are fetched again.
    #[serde(default = "jwks_max_age", with = "humantime_serde")]
    pub jwks_max_age: Duration,
    /// How long the keys are used while they cannot be fetched.
    #[serde(default = "jwks_keep", with = "humantime_serde")]
    pub jwks_keep: Duration,
    /// The shortest time between two fetches, whatever tokens arrive.
    #[serde(default = "jwks_refresh_interval_min", with = "humantime_serde")]
    pub jwks_refresh_interval_min: Duration,
    #[serde(default, deserialize_with = "list")]
    pub algorithms: Vec<JwtAlgorithm>,
    pub issuer: Option<String>,
    pub audience: Option<String>,
    /// The largest difference between the sender's clock and ours, for a JWT.
    #[serde(default = "leeway", with = "humantime_serde")]
    pub leeway: Duration,
    /// Whether a JWT without `exp` is refused.
    #[serde(default = "yes")]
    pub require_exp: bool,
    /// The claim with the SHA-256 of the body.
    #[serde(default)]
    pub body_hash_claim: String,
    #[serde(default)]
    pub body_hash_encoding: Encoding,
    /// The place of the shared text in each record, as a JSON Pointer.
    #[serde(default = "client_state")]
    pub pointer: String,
    /// SHA-256 fingerprints in hexadecimal digits.
    #[serde(default, deserialize_with = "list")]
    pub fingerprints: Vec<String>,
    /// Names in the subject alternative name of a certificate that the listener has verified.
    #[serde(default, deserialize_with = "list")]
    pub subject_names: Vec<String>,
    /// Allows the scheme `none` on a listener that others than this machine can reach.
    #[serde(default)]
    pub i_accept_that_anybody_can_sign_out_every_user: bool,
}

fn tolerance() -> Duration {
    Duration::from_mins(5)
}

fn leeway() -> Duration {
    Duration::from_mins(1)
}

fn jwks_max_age() -> Duration {
    Duration::from_mins(10)
}

fn jwks_keep() -> Duration {
    Duration::from_hours(24)
}

fn jwks_refresh_interval_min() -> Duration {
    Duration::from_secs(10)
}

fn client_state() -> String {
    "/clientState".to_owned()
}

fn yes() -> bool {
    true
}

/// The longest tolerance. A longer one would let a request be replayed for long.
const TOLERANCE_MAX: Duration = Duration::from_hours(1);

impl AuthSettings {
    /// Checks the keys that the scheme needs.
    pub(super) fn check(&self) -> Result<(), SourceMistake> {
        let secrets = self.secret_files.len();
        let needs = |key: &str, there: bool, why: &str| {
            if there { Ok(()) } else { mistake(format!("auth.{key}"), why) }
        };
        let needs_secret = || {
            needs("secret_files", secrets != 0, "must name a file with the secret of the sender")
        };
        let header = self.header.as_deref().filter(|name| !name.is_empty());
        if let Some(name) = &self.header
            && !is_header_name(name)
        {
            return mistake("auth.header", format!("`{name}` is no name of a header"));
        }
        for (key, files) in
            [("secret_files", secrets), ("authorization_files", self.authorization_files.len())]
        {
            if SECRETS_MAX < files {
                let rule =
                    format!("must name at most {SECRETS_MAX} files; remove those of old secrets");
                return mistake(format!("auth.{key}"), rule);
            }
        }
        let in_body = matches!(self.token_in, TokenIn::Form | TokenIn::Body);
        if !self.authorization_files.is_empty() && (self.scheme != SchemeName::Jwt || !in_body) {
            let rule = "has a meaning only beside a JWT in the body; remove it";
            return mistake("auth.authorization_files", rule);
        }
        if self.tolerance.is_zero() || TOLERANCE_MAX < self.tolerance {
            return mistake("auth.tolerance", "must be longer than 0 and at most 1h");
        }
        if TOLERANCE_MAX < self.leeway {
            return mistake("auth.leeway", "must be at most 1h");
        }
        match self.scheme {
            SchemeName::Header | SchemeName::Bearer | SchemeName::StandardWebhooks => {
                needs_secret()
            }
            SchemeName::Basic => {
                needs_secret()?;
                let user = self.user.as_deref().is_some_and(|user| !user.contains(':'));
                needs("user", user, "must be the name that the sender uses, without a colon")
            }
            SchemeName::Hmac => {
                needs_secret()?;
                needs("header", header.is_some(), "must name the header with the signature")
            }
            SchemeName::ClientState => {
                needs_secret()?;
                let pointer = self.pointer.is_empty() || self.pointer.starts_with('/');
                needs("pointer", pointer, "must be a JSON Pointer, which begins with `/`")
            }
            SchemeName::Certificate => {
                if header.is_some() && !self.subject_names.is_empty() {
                    let rule = "cannot be judged beside `auth.header`, because a proxy passes a fingerprint \
                                alone: list `auth.fingerprints`, or remove the header";
                    return mistake("auth.subject_names", rule);
                }
                let some = !self.fingerprints.is_empty() || !self.subject_names.is_empty();
                let rule = "must list the SHA-256 fingerprints that are allowed, or `auth.subject_names` \
                            names of certificates";
                needs("fingerprints", some, rule)
            }
            SchemeName::Jwt => self.check_jwt(header.is_some()),
            SchemeName::None => Ok(()),
        }
    }

    fn check_jwt(&self, has_header: bool) -> Result<(), SourceMistake> {
        let symmetric = self.algorithms.iter().filter(|one| one.is_symmetric()).count();
        if self.algorithms.is_empty() {
            return mistake("auth.algorithms", "must list the algorithms that are allowed");
        }
        match (&self.jwks, self.secret_files.is_empty()) {
            (Some(_), true) if symmetric != 0 => {
                return mistake(
                    "auth.algorithms",
                    "must not list an HMAC beside `auth.jwks`, because public keys are no secrets",
                );
            }
            (Some(jwks), true) if jwks.contains("://") && !jwks.starts_with("https://") => {
                return mistake("auth.jwks", "must be an https URL or the path of a file");
            }
            (Some(_), true) => {}
            (None, false) if symmetric == self.algorithms.len() => {}
            (None, false) => {
                let rule = "must list HS256, HS384 and HS512 alone beside `auth.secret_files`";
                return mistake("auth.algorithms", rule);
            }
            _ => {
                let rule =
                    "and `auth.secret_files` exclude each other, and one of them must be set";
                return mistake("auth.jwks", rule);
            }
        }
        let interval = self.jwks_refresh_interval_min;
        if interval.is_zero() || self.jwks_max_age < interval || self.jwks_keep < self.jwks_max_age
        {
            let rule =
                "must be longer than 0, at most `jwks_max_age`, and that at most `jwks_keep`";
            return mistake("auth.jwks_refresh_interval_min", rule);
        }
        let form_field = self.form_field.as_deref().is_some_and(|field| !field.is_empty());
        match self.token_in {
            TokenIn::Header if !has_header => {
                mistake("auth.header", "must name the header with the token")
            }
            TokenIn::Form if !form_field => {
                mistake("auth.form_field", "must name the field of the form with the token")
            }
            TokenIn::Form | TokenIn::Body if !self.body_hash_claim.is_empty() => mistake(
                "auth.body_hash_claim",
                "has no meaning if the token is in the body; remove it",
            ),
            _ => Ok(()),
        }
    }
}

/// Tells whether a text is a token (RFC 9110 §5.6.2).
pub(super) fn is_header_name(name: &str) -> bool {
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    !name.is_empty() && name.bytes().all(token)
}
