//! What an operator may set about who may ask.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use jsonwebtoken::Algorithm;
use serde::{Deserialize, Serialize};

use crate::domain::{audience::Audience, grant::Scope, id::ReceiverId};

/// The built-in token endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TokenEndpointSettings {
    /// How long its tokens live; an hour at most.
    #[serde(with = "humantime_serde")]
    pub token_lifetime: Duration,
    /// Live tokens of one client; one more ends the oldest.
    pub tokens_per_client_max: usize,
    /// Tokens that one client may ask for in a second, and wrong secrets that may be shown for it;
    /// further requests are answered 429.
    pub requests_per_second_max: u32,
}

impl Default for TokenEndpointSettings {
    fn default() -> Self {
        Self {
            token_lifetime: Duration::from_hours(1),
            tokens_per_client_max: 100,
            requests_per_second_max: 5,
        }
    }
}

/// An authorization server that is not ours, and what its access tokens are good for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OauthSettings {
    /// Its issuer, exactly as in `iss`. Without it the provider has its own token endpoint.
    pub issuer: Option<String>,
    /// What `aud` must hold; the provider's issuer unless given.
    pub audience: Option<String>,
    /// Where its keys are: an https URL, or the path of a file.
    pub jwks: Option<String>,
    /// The age at which its keys are fetched again.
    #[serde(with = "humantime_serde")]
    pub jwks_max_age: Duration,
    /// How long its keys are used while it cannot be reached.
    #[serde(with = "humantime_serde")]
    pub jwks_keep: Duration,
    /// The least time between two fetches, whatever tokens come.
    #[serde(with = "humantime_serde")]
    pub jwks_refresh_interval_min: Duration,
    /// The signature algorithms that are taken; only asymmetric ones may be.
    pub algorithms: Vec<Algorithm>,
    /// How far its clock may be from ours.
    #[serde(with = "humantime_serde")]
    pub leeway: Duration,
    /// The longest life of a JWT that is taken.
    #[serde(with = "humantime_serde")]
    pub token_lifetime_max: Duration,
    /// The claim that names the client.
    pub client_claim: String,
    pub unlisted_clients: UnlistedClients,
    /// The Receivers, by what the server calls them.
    pub clients: BTreeMap<String, ClientSettings>,
    /// A PEM file of certificates that are trusted for this server beside the system's.
    pub trusted_roots: Option<PathBuf>,
    /// To ask the server about each token, in place of `jwks`.
    pub introspection: IntrospectionSettings,
}

impl Default for OauthSettings {
    fn default() -> Self {
        Self {
            issuer: None,
            audience: None,
            jwks: None,
            jwks_max_age: Duration::from_mins(10),
            jwks_keep: Duration::from_hours(1),
            jwks_refresh_interval_min: Duration::from_secs(10),
            algorithms: vec![
                Algorithm::RS256,
                Algorithm::PS256,
                Algorithm::ES256,
                Algorithm::ES384,
                Algorithm::EdDSA,
            ],
            leeway: Duration::from_secs(30),
            token_lifetime_max: Duration::from_hours(1),
            client_claim: "client_id".into(),
            unlisted_clients: UnlistedClients::Refuse,
            clients: BTreeMap::new(),
            trusted_roots: None,
            introspection: IntrospectionSettings::default(),
        }
    }
}

/// What becomes of a valid token whose client is not listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UnlistedClients {
    /// It is answered 403.
    Refuse,
    /// The client is the Receiver `client~<its id>`, and its id is the `aud` of its streams.
    Admit,
}

/// One client of the server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientSettings {
    /// Who owns the streams that are made with its tokens.
    pub receiver: ReceiverId,
    /// The `aud` of those streams (SSF §8).
    pub audience: Audience,
    /// The most that its tokens may allow, whatever their `scope` says.
    #[serde(default = "everything")]
    pub scopes: Vec<Scope>,
}

fn everything() -> Vec<Scope> {
    vec![Scope::Manage]
}

/// Token introspection (RFC 7662).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct IntrospectionSettings {
    /// An https URL.
    pub endpoint: Option<String>,
    /// How we are known there.
    pub client_id: Option<String>,
    /// The file of our secret there.
    pub client_secret: Option<PathBuf>,
    /// How long an answer counts, and so how long a token outlives its revocation.
    #[serde(with = "humantime_serde")]
    pub cache_for: Duration,
}

impl Default for IntrospectionSettings {
    fn default() -> Self {
        Self {
            endpoint: None,
            client_id: None,
            client_secret: None,
            cache_for: Duration::from_secs(30),
        }
    }
}
