//! A JWT (RFC 7519) that the sender signs: a bearer token, a header, a field of a form, or the body.

use std::{sync::Arc, time::Duration};

use aws_lc_rs::{
    digest::{SHA256, digest},
    hmac::{self, Key},
};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use serde_json::{Map, Value, json};

use super::{
    ForeignSet, JwtAlgorithm, LogoutToken, Refusal, TokenPlace,
    hmac::{Encoding, from_hex},
    secrets::{SharedSecret, is_any},
};
use crate::{
    auth::JwksSource,
    domain::{secret::Secret, time::Timestamp},
    signing::{
        jwt::{CompactJws, numeric_date},
        verification_keys::VerificationKeys,
    },
    source::request::SourceRequest,
};

/// The keys that a token may be signed with. A source has keys of one kind only, so that a public key is
/// never used as a shared secret (RFC 8725 §3.1).
pub enum JwtKeys {
    /// A JWK Set in a file or at a URL.
    Public(Arc<JwksSource>),
    /// A JWK Set that is there.
    Fixed(Arc<VerificationKeys>),
    Secrets(Vec<SharedSecret>),
}

/// The rules that a token keeps besides those of every JWT.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum JwtProfile {
    #[default]
    Any,
    LogoutToken(LogoutToken),
    Set(ForeignSet),
}

/// The claim with the SHA-256 of the body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BodyHash {
    pub claim: String,
    pub encoding: Encoding,
}

/// Verifies a token and what it says of itself.
pub struct Jwt {
    pub place: TokenPlace,
    pub keys: JwtKeys,
    pub algorithms: Vec<JwtAlgorithm>,
    /// The value that `iss` must have, if any is expected.
    pub issuer: Option<String>,
    /// The value that `aud` must contain, if any is expected.
    pub audience: Option<String>,
    /// The largest difference between the sender's clock and ours.
    pub leeway: Duration,
    /// Whether a token without `exp` is refused. Without `exp`, a token can be replayed for ever.
    pub requires_exp: bool,
    pub body_hash: Option<BodyHash>,
    pub profile: JwtProfile,
    /// The values of which the header `Authorization` must have one, beside the token. None if there are
    /// none.
    pub authorization: Vec<SharedSecret>,
}

impl Jwt {
    pub(super) async fn verify(
        &self,
        request: &SourceRequest,
        now: Timestamp,
    ) -> Result<Map<String, Value>, Refusal> {
        self.judge_authorization(request)?;
        self.profile.judge_request(request)?;
        let token = self.place.token(request)?;
        let claims = self.verify_token(&token, now).await?;
        if let Some(hash) = &self.body_hash {
            hash.judge(&claims, &request.body)?;
        }
        Ok(claims)
    }

    /// Verifies a token, wherever it was.
    pub async fn verify_token(
        &self,
        token: &str,
        now: Timestamp,
    ) -> Result<Map<String, Value>, Refusal> {
        let jws = CompactJws::parse(token).map_err(|_| Refusal::Malformed)?;
        if jws.requires_extensions() {
            return Err(Refusal::Malformed);
        }
        self.profile.judge_header(&jws)?;
        let named = jws.member("alg").as_str().ok_or(Refusal::Malformed)?;
        let algorithm = named.parse::<JwtAlgorithm>().map_err(|_| Refusal::Algorithm)?;
        if !self.algorithms.contains(&algorithm) {
            return Err(Refusal::Algorithm);
        }
        match &self.keys {
            JwtKeys::Secrets(secrets) => {
                let hmac = algorithm.hmac().ok_or(Refusal::Algorithm)?;
                let (signed, signature) = jws.signed_parts();
                let is_right = secrets.iter().any(|secret| {
                    hmac::verify(&Key::new(hmac, secret.bytes()), signed, signature).is_ok()
                });
                if !is_right {
                    return Err(Refusal::Wrong);
                }
            }
            JwtKeys::Public(source) => {
                let kid = jws.kid().ok_or(Refusal::UnknownKey)?;
                let keys = source.keys_of(kid, &Secret::new(token)).await;
                let keys = keys.map_err(|none| Refusal::Unavailable { retry_after: none.0 })?;
                match judge_signature(&jws, algorithm, &keys) {
                    Err(Refusal::Wrong) => {
                        let newer = source.newer_than(&keys).await.ok_or(Refusal::Wrong)?;
                        judge_signature(&jws, algorithm, &newer)?;
                    }
                    judged => judged?,
                }
            }
            JwtKeys::Fixed(keys) => judge_signature(&jws, algorithm, keys)?,
        }
        let mut claims = jws.claims().ok_or(Refusal::Malformed)?;
        self.judge_claims(&claims, now)?;
        self.profile.judge_claims(&mut claims, now)?;
        Ok(claims)
    }

    fn judge_authorization(&self, request: &SourceRequest) -> Result<(), Refusal> {
        if self.authorization.is_empty() {
            return Ok(());
        }
        let shown = request.headers.one("authorization").ok().flatten().unwrap_or_default();
        if is_any(&self.authorization, shown) { Ok(()) } else { Err(Refusal::Authorization) }
    }

    /// Returns the headers of a trial. A body that is a token was signed by the sender. A token in a header is
    /// signed here, if the key is a shared secret.
    pub(super) fn sign(
        &self,
        body: &[u8],
        id: &str,
        now: Timestamp,
    ) -> Option<Vec<(String, String)>> {
        if !self.place.is_in_body() {
            return self.sign_header(body, id, now).map(|header| vec![header]);
        }
        let authorization = self.authorization.first();
        let header =
            |secret: &SharedSecret| ("authorization".to_owned(), secret.expose().to_owned());
        Some(authorization.map(header).into_iter().collect())
    }

    fn sign_header(&self, body: &[u8], id: &str, now: Timestamp) -> Option<(String, String)> {
        let JwtKeys::Secrets(secrets) = &self.keys else { return None };
        let algorithm = *self.algorithms.first()?;
        let key = Key::new(algorithm.hmac()?, secrets.first()?.bytes());
        let (name, prefix) = match &self.place {
            TokenPlace::Authorization => ("authorization", "Bearer "),
            TokenPlace::Header(name) => (name.as_str(), ""),
            TokenPlace::Form(_) | TokenPlace::Body => return None,
        };
        let mut claims = json!({"jti": id, "iat": now.as_secs(), "exp": now.as_secs() + 60});
        if let Some(issuer) = &self.issuer {
            claims["iss"] = issuer.as_str().into();
        }
        if let Some(audience) = &self.audience {
            claims["aud"] = audience.as_str().into();
        }
        if let Some(hash) = &self.body_hash {
            claims[&hash.claim] = hash.encoding.encode(digest(&SHA256, body).as_ref()).into();
        }
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(&json!({"alg": algorithm.as_str()})), part(&claims));
        let signature = hmac::sign(&key, signed.as_bytes());
        let token = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()));
        Some((name.to_owned(), format!("{prefix}{token}")))
    }

    fn judge_claims(&self, claims: &Map<String, Value>, now: Timestamp) -> Result<(), Refusal> {
        let claim = |name: &str| claims.get(name).filter(|value| !value.is_null());
        if let Some(issuer) = &self.issuer
            && claim("iss").and_then(Value::as_str) != Some(issuer)
        {
            return Err(Refusal::Issuer);
        }
        if let Some(audience) = &self.audience {
            let is_meant = match claim("aud") {
                Some(Value::String(one)) => one == audience,
                Some(Value::Array(several)) => several.iter().any(|one| one == audience),
                _ => false,
            };
            if !is_meant {
                return Err(Refusal::Audience);
            }
        }
        let time = |name| match claim(name) {
            None => Ok(None),
            Some(value) => numeric_date(value).map(Some).ok_or(Refusal::Malformed),
        };
        match time("exp")? {
            Some(end) if end + self.leeway <= now => return Err(Refusal::Expired),
            None if self.requires_exp => return Err(Refusal::Expired),
            _ => {}
        }
        for begin in [time("nbf")?, time("iat")?].into_iter().flatten() {
            if now + self.leeway < begin {
                return Err(Refusal::Future);
            }
        }
        Ok(())
    }
}

impl JwtProfile {
    fn judge_request(&self, request: &SourceRequest) -> Result<(), Refusal> {
        match self {
            Self::Any | Self::LogoutToken(_) => Ok(()),
            Self::Set(_) => ForeignSet::judge_request(request),
        }
    }

    fn judge_header(&self, jws: &CompactJws<'_>) -> Result<(), Refusal> {
        match self {
            Self::Any => Ok(()),
            Self::LogoutToken(_) => LogoutToken::judge_header(jws),
            Self::Set(rules) => rules.judge_header(jws),
        }
    }

    fn judge_claims(&self, claims: &mut Map<String, Value>, now: Timestamp) -> Result<(), Refusal> {
        match self {
            Self::Any => Ok(()),
            Self::LogoutToken(rules) => rules.judge_claims(claims, now),
            Self::Set(_) => ForeignSet::judge_claims(claims),
        }
    }
}

/// Returns a claim that is a text. One that is `null` is absent.
pub(super) fn text<'a>(
    claims: &'a Map<String, Value>,
    name: &'static str,
) -> Result<Option<&'a str>, Refusal> {
    match claims.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if !text.is_empty() => Ok(Some(text)),
        Some(_) => Err(Refusal::Claim(name)),
    }
}

fn judge_signature(
    jws: &CompactJws<'_>,
    algorithm: JwtAlgorithm,
    keys: &VerificationKeys,
) -> Result<(), Refusal> {
    let JwtAlgorithm::Public(algorithm) = algorithm else { return Err(Refusal::Algorithm) };
    let kid = jws.kid().ok_or(Refusal::UnknownKey)?;
    if !keys.has(kid) {
        return Err(Refusal::UnknownKey);
    }
    let is_right = keys.named(kid).any(|key| jws.is_signed_by(key, algorithm));
    if is_right { Ok(()) } else { Err(Refusal::Wrong) }
}

impl BodyHash {
    fn judge(&self, claims: &Map<String, Value>, body: &[u8]) -> Result<(), Refusal> {
        let shown = claims.get(&self.claim).and_then(Value::as_str).ok_or(Refusal::Body)?;
        let shown = match self.encoding {
            Encoding::Hex => from_hex(shown),
            Encoding::Base64 => {
                let url_safe = || URL_SAFE_NO_PAD.decode(shown.trim_end_matches('=')).ok();
                STANDARD.decode(shown).ok().or_else(url_safe)
            }
        };
        let hash = digest(&SHA256, body);
        if shown.as_deref() == Some(hash.as_ref()) { Ok(()) } else { Err(Refusal::Body) }
    }
}
