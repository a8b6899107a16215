//! The configuration of authentication.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

use super::Requirements;
use crate::{
    domain::{audience::Audience, grant::Scope, id::ReceiverId},
    signing::jws_algorithm::JwsAlgorithm,
};

/// The built-in token endpoint of a provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TokenEndpointSettings {
    /// How long its tokens are valid; one hour at most.
    #[serde(with = "humantime_serde")]
    pub token_lifetime: Duration,
    /// The largest number of live tokens of one client. One more ends the oldest.
    pub tokens_per_client_max: usize,
    /// The largest number of tokens that one client may ask for in a second. Further requests are
    /// answered 429.
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

/// An external authorization server, and the access that its tokens give.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OauthSettings {
    /// The issuer of the server, exactly as in `iss`. Without it the provider has its own token
    /// endpoint.
    pub issuer: Option<String>,
    /// The value that `aud` must contain; by default the provider's issuer.
    pub audience: Option<String>,
    /// The location of the server's keys: an https URL, or the path of a file.
    pub jwks: Option<String>,
    /// The age at which the keys are fetched again.
    #[serde(with = "humantime_serde")]
    pub jwks_max_age: Duration,
    /// How long old keys are used while the server cannot be reached.
    #[serde(with = "humantime_serde")]
    pub jwks_keep: Duration,
    /// The shortest time between two fetches, whichever tokens arrive.
    #[serde(with = "humantime_serde")]
    pub jwks_refresh_interval_min: Duration,
    /// The signature algorithms that are accepted. Only asymmetric ones are allowed.
    pub algorithms: Vec<JwsAlgorithm>,
    /// The largest difference between the server's clock and ours.
    #[serde(with = "humantime_serde")]
    pub leeway: Duration,
    /// The longest lifetime of a JWT that is accepted.
    #[serde(with = "humantime_serde")]
    pub token_lifetime_max: Duration,
    /// The claim that names the client.
    pub client_claim: String,
    /// The claims that every token must have, each with a pattern in which `*` stands for any
    /// characters. By them a client's own token is told from that of a person who signed in.
    pub require: Requirements,
    pub unlisted_clients: UnlistedClients,
    /// The Receivers, by their names at the server.
    pub clients: BTreeMap<String, ClientSettings>,
    /// A PEM file of certificates that are trusted for this server in addition to those of the
    /// system.
    pub trusted_roots: Option<PathBuf>,
    /// Asks the server about each token, in place of `jwks`.
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
                JwsAlgorithm::Rs256,
                JwsAlgorithm::Ps256,
                JwsAlgorithm::Es256,
                JwsAlgorithm::Es384,
                JwsAlgorithm::EdDsa,
            ],
            leeway: Duration::from_secs(30),
            token_lifetime_max: Duration::from_hours(1),
            client_claim: "client_id".into(),
            require: Requirements::new(),
            unlisted_clients: UnlistedClients::Refuse,
            clients: BTreeMap::new(),
            trusted_roots: None,
            introspection: IntrospectionSettings::default(),
        }
    }
}

/// The treatment of a valid token whose client is not listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UnlistedClients {
    /// The request is answered 403.
    Refuse,
    /// The client is the Receiver `client~<its id>`, and its id is the `aud` of its streams.
    Admit,
}

/// A client at the external server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientSettings {
    /// The Receiver that owns the streams made with the client's tokens.
    pub receiver: ReceiverId,
    /// The `aud` of these streams (SSF §8).
    pub audience: Audience,
    /// The scopes that the client's tokens may have at most, whatever their `scope` says.
    #[serde(default = "everything")]
    pub scopes: Vec<Scope>,
    /// The claims that the client's tokens must have besides those in `oauth.require`.
    #[serde(default, skip_serializing_if = "Requirements::is_empty")]
    pub require: Requirements,
}

fn everything() -> Vec<Scope> {
    vec![Scope::Manage]
}

/// Token introspection (RFC 7662).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct IntrospectionSettings {
    /// The https URL of the endpoint.
    pub endpoint: Option<String>,
    /// The client id of this daemon at the server.
    pub client_id: Option<String>,
    /// The file with the client secret of this daemon.
    pub client_secret: Option<PathBuf>,
    /// Whether an answer must have `aud`. Some servers leave it out for all tokens.
    pub require_audience: bool,
    /// How long an answer is cached. A revoked token may be accepted for this time.
    #[serde(with = "humantime_serde")]
    pub cache_for: Duration,
}

impl Default for IntrospectionSettings {
    fn default() -> Self {
        Self {
            endpoint: None,
            client_id: None,
            client_secret: None,
            require_audience: true,
            cache_for: Duration::from_secs(30),
        }
    }
}
