//! The rules for JWT access tokens (RFC 9068) and for what an authorization server says about a token
//! (RFC 7662). Pure: keys and time are arguments.

use std::{collections::BTreeMap, time::Duration};

use serde_json::{Map, Value};

use super::{pattern::Pattern, token_fault::TokenFault};
use crate::{
    domain::{grant::Scope, json, time::Timestamp},
    signing::{
        jws_algorithm::JwsAlgorithm,
        jwt::{CompactJws, numeric_date},
        verification_keys::VerificationKeys,
    },
};

/// The media type in the header of an access token (RFC 9068 §2.1).
const TOKEN_TYPE: &str = "at+jwt";

/// The members that tell the kind of a token, with the values of a bearer access token in lower case. A
/// server may leave each of them out.
const KINDS: [(&str, &[&str]); 3] = [
    // Ory Hydra, Amazon Cognito.
    ("token_use", &["access", "access_token"]),
    // RFC 7662 §2.2. Some servers name the kind of token here.
    ("token_type", &["bearer", "access_token", "urn:ietf:params:oauth:token-type:access_token"]),
    // Keycloak.
    ("typ", &["bearer", "at+jwt", "application/at+jwt", "jwt"]),
];

/// The claims with the scopes of a token. The second one counts if the first is absent: Okta and
/// Microsoft Entra use it.
const SCOPES: [&str; 2] = ["scope", "scp"];

/// The statements of a valid access token about its bearer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Bearer {
    /// The name of the client at the authorization server.
    pub(super) client: String,
    pub(super) scopes: Vec<Scope>,
    pub(super) expires_at: Option<Timestamp>,
}

/// Patterns by the names of the claims that must match them.
pub type Requirements = BTreeMap<String, Pattern>;

/// The requirements that an access token must meet.
#[derive(Debug, Clone)]
pub struct Expectations {
    pub issuer: String,
    pub audience: String,
    /// Whether an introspection answer without `aud` is accepted. A JWT must have one.
    pub audience_optional: bool,
    pub algorithms: Vec<JwsAlgorithm>,
    pub leeway: Duration,
    pub lifetime_max: Duration,
    pub client_claim: String,
    /// The claims that every token must have, and those that the tokens of one client must have.
    pub require: Requirements,
    pub require_of: BTreeMap<String, Requirements>,
}

/// A JWT of which only the header was read. Nothing in it is trusted yet.
#[derive(Debug)]
pub(super) struct Unverified<'a> {
    jws: CompactJws<'a>,
    pub(super) kid: String,
    algorithm: JwsAlgorithm,
}

impl<'a> Unverified<'a> {
    /// Reads the header. `alg` is compared with the allowed algorithms before any key is looked up.
    pub(super) fn parse(token: &'a str, algorithms: &[JwsAlgorithm]) -> Result<Self, TokenFault> {
        let jws = CompactJws::parse(token).map_err(|_| TokenFault::NotCompact)?;
        if !jws.is_of_type(TOKEN_TYPE) {
            return Err(TokenFault::Type);
        }
        if jws.requires_extensions() {
            return Err(TokenFault::Critical);
        }
        let algorithm = jws.algorithm().filter(|algorithm| algorithms.contains(algorithm));
        let algorithm = algorithm.ok_or(TokenFault::Algorithm)?;
        let kid = jws.kid().ok_or(TokenFault::NoKeyId)?.to_owned();
        Ok(Self { jws, kid, algorithm })
    }

    /// Returns the claims if one of these keys signed them.
    pub(super) fn verify(&self, keys: &VerificationKeys) -> Result<Map<String, Value>, TokenFault> {
        if !keys.has(&self.kid) {
            return Err(TokenFault::UnknownKey);
        }
        if !keys.named(&self.kid).any(|key| self.jws.is_signed_by(key, self.algorithm)) {
            return Err(TokenFault::Signature);
        }
        self.jws.claims().ok_or(TokenFault::NotCompact)
    }
}

/// Returns the client that a token names, for the log. Nothing of the token was verified.
pub(super) fn claimed_client(token: &str, client_claim: &str) -> Option<String> {
    text(&CompactJws::parse(token).ok()?.claims()?, client_claim).map(str::to_owned)
}

impl Expectations {
    /// Judges the claims of a JWT access token (RFC 9068 §4).
    pub(super) fn judge(
        &self,
        claims: &Map<String, Value>,
        now: Timestamp,
    ) -> Result<Bearer, TokenFault> {
        let claims = &present(claims);
        for name in ["sub", "client_id", "jti"] {
            // A server that names the client in another claim may have no `client_id`.
            if name != "client_id" || self.client_claim == name {
                text(claims, name).ok_or(TokenFault::Claim(name))?;
            }
        }
        let issued_at = time(claims, "iat")?.ok_or(TokenFault::Claim("iat"))?;
        let expires_at = time(claims, "exp")?.ok_or(TokenFault::Claim("exp"))?;
        for name in ["iss", "aud"] {
            if !claims.contains_key(name) {
                return Err(TokenFault::Claim(name));
            }
        }
        let bearer = self.common(claims)?;
        if expires_at + self.leeway <= now {
            return Err(TokenFault::Expired);
        }
        // The life of a token begins when it is both issued and valid. Some servers set `nbf` to an
        // earlier time, for clocks that are slow.
        let begins_at = time(claims, "nbf")?.map_or(issued_at, |nbf| nbf.max(issued_at));
        if now + self.leeway < begins_at {
            return Err(TokenFault::NotYet);
        }
        if self.lifetime_max < expires_at.since(begins_at) {
            return Err(TokenFault::TooLong);
        }
        Ok(Bearer { expires_at: Some(expires_at), ..bearer })
    }

    /// Judges the response of an introspection endpoint (RFC 7662 §2.2). The server knows whether
    /// the token is active. We check whether the token is meant for us.
    pub(super) fn judge_answer(
        &self,
        answer: &Map<String, Value>,
        now: Timestamp,
    ) -> Result<Bearer, TokenFault> {
        let answer = &present(answer);
        match answer.get("active") {
            Some(Value::Bool(true)) => {}
            _ => return Err(TokenFault::Inactive),
        }
        if !answer.contains_key("aud") && !self.audience_optional {
            return Err(TokenFault::Claim("aud"));
        }
        let bearer = self.common(answer)?;
        let expires_at = time(answer, "exp")?;
        if expires_at.is_some_and(|at| at <= now) {
            return Err(TokenFault::Expired);
        }
        if time(answer, "nbf")?.is_some_and(|nbf| now + self.leeway < nbf) {
            return Err(TokenFault::NotYet);
        }
        Ok(Bearer { expires_at, ..bearer })
    }

    /// Checks the rules for both kinds of tokens: the kind of the token, its issuer, its audience and
    /// its client.
    fn common(&self, claims: &Map<String, Value>) -> Result<Bearer, TokenFault> {
        if claims.contains_key("events") {
            return Err(TokenFault::Events);
        }
        if claims.contains_key("cnf") {
            return Err(TokenFault::Bound);
        }
        for (name, bearer) in KINDS {
            let fits = |kind: &Value| {
                let kind = kind.as_str().map(str::to_ascii_lowercase);
                kind.is_some_and(|kind| kind.is_empty() || bearer.contains(&&*kind))
            };
            if !claims.get(name).is_none_or(fits) {
                return Err(TokenFault::Kind(name));
            }
        }
        if claims.get("iss").is_some_and(|iss| *iss != *self.issuer) {
            return Err(TokenFault::Issuer);
        }
        let ours = match claims.get("aud") {
            None => true,
            Some(Value::String(aud)) => *aud == self.audience,
            Some(Value::Array(all)) => all.iter().any(|aud| *aud == *self.audience),
            Some(_) => return Err(TokenFault::Claim("aud")),
        };
        if !ours {
            return Err(TokenFault::Audience);
        }
        let client = text(claims, &self.client_claim).ok_or(TokenFault::NoClient)?;
        let of_client = self.require_of.get(client).into_iter().flatten();
        for (name, pattern) in self.require.iter().chain(of_client) {
            if !pattern.fits(claims.get(name)) {
                return Err(TokenFault::Requirement(name.clone()));
            }
        }
        Ok(Bearer { client: client.to_owned(), scopes: scopes(claims)?, expires_at: None })
    }
}

/// Returns the members that are not `null`. A server writes `null` for a member that it has no value
/// for.
fn present(claims: &Map<String, Value>) -> Map<String, Value> {
    let mut present = claims.clone();
    json::without_nulls(&mut present);
    present
}

/// Reads the scopes: a list separated by spaces (RFC 8693 §4.2), or an array as many servers have it.
fn scopes(claims: &Map<String, Value>) -> Result<Vec<Scope>, TokenFault> {
    for name in SCOPES {
        match claims.get(name) {
            None => {}
            Some(Value::String(list)) => return Ok(Scope::in_list(list)),
            Some(Value::Array(all)) => {
                let all: Option<Vec<&str>> = all.iter().map(Value::as_str).collect();
                let all = all.ok_or(TokenFault::Claim(name))?;
                return Ok(all.into_iter().flat_map(Scope::in_list).collect());
            }
            Some(_) => return Err(TokenFault::Claim(name)),
        }
    }
    Ok(Vec::new())
}

fn text<'a>(claims: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    claims.get(name)?.as_str().filter(|text| !text.is_empty())
}

fn time(claims: &Map<String, Value>, name: &'static str) -> Result<Option<Timestamp>, TokenFault> {
    let read = |value| numeric_date(value).ok_or(TokenFault::Claim(name));
    claims.get(name).map(read).transpose()
}

#[cfg(test)]
mod tests;
