//! The rules for JWT access tokens (RFC 9068). Pure: keys and time are arguments.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::Algorithm;
use serde_json::{Map, Value};

use super::verification_keys::VerificationKeys;
use crate::domain::{grant::Scope, time::Timestamp};

/// The statements of a valid access token about its bearer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Bearer {
    /// The name of the client at the authorization server.
    pub(super) client: String,
    pub(super) scopes: Vec<Scope>,
    pub(super) expires_at: Option<Timestamp>,
}

/// The requirements that an access token must meet.
#[derive(Debug, Clone)]
pub struct Expectations {
    pub issuer: String,
    pub audience: String,
    pub algorithms: Vec<Algorithm>,
    pub leeway: Duration,
    pub lifetime_max: Duration,
    pub client_claim: String,
}

/// The reason why an access token is refused. The text names the rule that the token breaks and
/// never repeats content of the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenFault {
    #[error("it is not a JWT of three parts in base64url")]
    NotCompact,
    #[error("its `typ` is not `at+jwt` (RFC 9068 §4)")]
    Type,
    #[error("its `alg` is not accepted")]
    Algorithm,
    #[error("it has no `kid`")]
    NoKeyId,
    #[error("its `crit` requires extensions, and none is supported (RFC 7515 §4.1.11)")]
    Critical,
    #[error("its `kid` names no key of the authorization server")]
    UnknownKey,
    #[error("its signature does not verify")]
    Signature,
    #[error("it has `events`, as a Security Event Token has (RFC 8417 §4.2)")]
    Events,
    #[error("it is bound to a key by `cnf`, so it is not a bearer token")]
    Bound,
    #[error("its `{0}` is missing or has the wrong type (RFC 9068 §2.2)")]
    Claim(&'static str),
    #[error("it names no client")]
    NoClient,
    #[error("its `iss` is not the authorization server of this Transmitter")]
    Issuer,
    #[error("its `aud` does not name this Transmitter")]
    Audience,
    #[error("it has expired")]
    Expired,
    #[error("it is not valid yet")]
    NotYet,
    #[error("its lifetime is longer than allowed")]
    TooLong,
    #[error("the authorization server says that it is not active")]
    Inactive,
}

/// A JWT of which only the header was read. Nothing in it is trusted yet.
#[derive(Debug)]
pub(super) struct Unverified<'a> {
    pub(super) kid: String,
    algorithm: Algorithm,
    signed: &'a str,
    claims: &'a str,
    signature: &'a str,
}

impl<'a> Unverified<'a> {
    /// Reads the header. `alg` is compared with the allowed algorithms before any key is looked up.
    /// Keys in the header, and URLs of keys, are ignored (RFC 8725 §3.10).
    pub(super) fn parse(token: &'a str, algorithms: &[Algorithm]) -> Result<Self, TokenFault> {
        let (signed, signature) = token.rsplit_once('.').ok_or(TokenFault::NotCompact)?;
        let (header, claims) = signed.split_once('.').ok_or(TokenFault::NotCompact)?;
        let header = object(header)?;
        let text = |name| header.get(name).and_then(Value::as_str);
        // Media types are not case-sensitive.
        let typed = |typ: &str| {
            ["at+jwt", "application/at+jwt"].iter().any(|ours| typ.eq_ignore_ascii_case(ours))
        };
        if !text("typ").is_some_and(typed) {
            return Err(TokenFault::Type);
        }
        if header.contains_key("crit") {
            return Err(TokenFault::Critical);
        }
        let algorithm = text("alg").and_then(|alg| alg.parse().ok());
        let algorithm = algorithm.filter(|alg| algorithms.contains(alg));
        Ok(Self {
            algorithm: algorithm.ok_or(TokenFault::Algorithm)?,
            kid: text("kid").ok_or(TokenFault::NoKeyId)?.to_owned(),
            signed,
            claims,
            signature,
        })
    }

    /// Returns the claims if one of these keys signed them.
    pub(super) fn verify(&self, keys: &VerificationKeys) -> Result<Map<String, Value>, TokenFault> {
        if !keys.has(&self.kid) {
            return Err(TokenFault::UnknownKey);
        }
        if !keys.verifies(&self.kid, self.algorithm, self.signed, self.signature) {
            return Err(TokenFault::Signature);
        }
        object(self.claims)
    }
}

fn object(part: &str) -> Result<Map<String, Value>, TokenFault> {
    let json = URL_SAFE_NO_PAD.decode(part).map_err(|_| TokenFault::NotCompact)?;
    serde_json::from_slice(&json).map_err(|_| TokenFault::NotCompact)
}

impl Expectations {
    /// Judges the claims of a JWT access token (RFC 9068 §4).
    pub(super) fn judge(
        &self,
        claims: &Map<String, Value>,
        now: Timestamp,
    ) -> Result<Bearer, TokenFault> {
        for name in ["sub", "client_id", "jti"] {
            text(claims, name).ok_or(TokenFault::Claim(name))?;
        }
        let issued_at = time(claims, "iat")?.ok_or(TokenFault::Claim("iat"))?;
        let expires_at = time(claims, "exp")?.ok_or(TokenFault::Claim("exp"))?;
        if !claims.contains_key("iss") {
            return Err(TokenFault::Claim("iss"));
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
        match answer.get("active") {
            Some(Value::Bool(true)) => {}
            _ => return Err(TokenFault::Inactive),
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

    /// Checks the rules for both kinds of tokens: the kind of the token, its issuer and its
    /// audience.
    fn common(&self, claims: &Map<String, Value>) -> Result<Bearer, TokenFault> {
        if claims.contains_key("events") {
            return Err(TokenFault::Events);
        }
        if claims.contains_key("cnf") {
            return Err(TokenFault::Bound);
        }
        if claims.get("iss").is_some_and(|iss| *iss != *self.issuer) {
            return Err(TokenFault::Issuer);
        }
        let ours = match claims.get("aud") {
            Some(Value::String(aud)) => *aud == self.audience,
            Some(Value::Array(all)) => all.iter().any(|aud| *aud == *self.audience),
            _ => return Err(TokenFault::Claim("aud")),
        };
        if !ours {
            return Err(TokenFault::Audience);
        }
        let client = text(claims, &self.client_claim).ok_or(TokenFault::NoClient)?;
        let scopes = match claims.get("scope") {
            None => Vec::new(),
            Some(Value::String(list)) => Scope::in_list(list),
            Some(_) => return Err(TokenFault::Claim("scope")),
        };
        Ok(Bearer { client: client.to_owned(), scopes, expires_at: None })
    }
}

fn text<'a>(claims: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    claims.get(name)?.as_str().filter(|text| !text.is_empty())
}

/// Reads a `NumericDate` (RFC 7519 §2) in seconds. A fraction is dropped.
fn time(claims: &Map<String, Value>, name: &'static str) -> Result<Option<Timestamp>, TokenFault> {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the cast saturates, as far off as it gets"
    )]
    let whole = |seconds: f64| seconds.floor() as i64;
    match claims.get(name) {
        None => Ok(None),
        Some(value) => {
            let seconds = value.as_i64().or_else(|| value.as_f64().map(whole));
            let seconds = seconds.ok_or(TokenFault::Claim(name))?;
            Ok(Some(Timestamp::from_millis(seconds.saturating_mul(1000))))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: i64 = 1_775_000_000;

    fn expectations() -> Expectations {
        Expectations {
            issuer: "https://as.example".into(),
            audience: "https://tx.example".into(),
            algorithms: vec![Algorithm::RS256, Algorithm::ES256],
            leeway: Duration::from_secs(30),
            lifetime_max: Duration::from_hours(1),
            client_claim: "client_id".into(),
        }
    }

    fn now() -> Timestamp {
        Timestamp::from_millis(NOW * 1000)
    }

    fn claims() -> Value {
        json!({
            "iss": "https://as.example", "aud": "https://tx.example", "sub": "rx",
            "client_id": "rx", "jti": "t-1", "iat": NOW - 10, "exp": NOW + 600,
            "scope": "openid ssf.read",
        })
    }

    fn with(member: &str, value: Value) -> Map<String, Value> {
        let mut claims = claims();
        claims[member] = value;
        claims.as_object().expect("an object").clone()
    }

    #[track_caller]
    fn judges(member: &str, value: Value, expected: Result<(), TokenFault>) {
        let found = expectations().judge(&with(member, value), now());
        assert_eq!(found.map(drop), expected, "{member}");
    }

    /// AUTH-03
    #[test]
    fn a_token_is_taken_if_all_of_it_is_right() {
        let bearer = expectations().judge(claims().as_object().expect("an object"), now());
        let expires_at = Some(Timestamp::from_millis((NOW + 600) * 1000));
        let expected = Bearer { client: "rx".into(), scopes: vec![Scope::Read], expires_at };
        assert_eq!(bearer, Ok(expected));
        judges("aud", json!(["https://other.example", "https://tx.example"]), Ok(()));
        judges("exp", json!(2.5), Err(TokenFault::Expired));
        judges("iat", json!(1_774_999_999.5), Ok(()));
    }

    /// AUTH-03, AUTH-06
    #[test]
    fn a_missing_or_wrong_claim_is_named() {
        for name in ["iss", "exp", "aud", "sub", "client_id", "iat", "jti"] {
            let mut claims = claims();
            claims.as_object_mut().expect("an object").remove(name);
            let found = expectations().judge(claims.as_object().expect("an object"), now());
            assert_eq!(found, Err(TokenFault::Claim(name)));
        }
        judges("iss", json!("https://as.example/"), Err(TokenFault::Issuer));
        judges("iss", json!(["https://as.example"]), Err(TokenFault::Issuer));
        judges("aud", json!("https://tx.example/"), Err(TokenFault::Audience));
        judges("aud", json!([]), Err(TokenFault::Audience));
        judges("aud", json!(7), Err(TokenFault::Claim("aud")));
        judges("sub", json!(""), Err(TokenFault::Claim("sub")));
        judges("exp", json!("soon"), Err(TokenFault::Claim("exp")));
        judges("scope", json!(["ssf.read"]), Err(TokenFault::Claim("scope")));
        judges("events", json!({}), Err(TokenFault::Events));
        judges("cnf", json!({"jkt": "x"}), Err(TokenFault::Bound));
    }

    #[test]
    fn the_leeway_covers_the_difference_of_clocks_and_no_more() {
        judges("exp", json!(NOW - 29), Ok(()));
        judges("exp", json!(NOW - 30), Err(TokenFault::Expired));
        judges("nbf", json!(NOW + 30), Ok(()));
        judges("nbf", json!(NOW + 31), Err(TokenFault::NotYet));
        judges("iat", json!(NOW + 31), Err(TokenFault::NotYet));
        judges("nbf", Value::Null, Err(TokenFault::Claim("nbf")));
    }

    /// CAEP-IOP §2.7.1
    #[test]
    fn a_token_that_lives_too_long_is_refused() {
        judges("exp", json!(NOW - 10 + 3600), Ok(()));
        judges("exp", json!(NOW - 10 + 3601), Err(TokenFault::TooLong));
        judges("exp", json!(u64::MAX), Err(TokenFault::TooLong));
        let mut backdated = with("exp", json!(NOW - 10 + 3600));
        backdated.insert("nbf".into(), json!(NOW - 300));
        assert!(expectations().judge(&backdated, now()).is_ok());
    }

    #[test]
    fn the_client_may_stand_in_another_claim() {
        let expectations = Expectations { client_claim: "azp".into(), ..expectations() };
        let found = expectations.judge(&with("azp", json!("them")), now()).expect("taken");
        assert_eq!(found.client, "them");
        let found = expectations.judge(&with("azp", json!(7)), now());
        assert_eq!(found, Err(TokenFault::NoClient));
    }

    #[track_caller]
    fn answers(answer: Value, expected: Result<(), TokenFault>) {
        let answer = answer.as_object().expect("an object");
        assert_eq!(expectations().judge_answer(answer, now()).map(drop), expected);
    }

    /// AUTH-08
    #[test]
    fn an_introspection_answer_is_checked_like_a_token() {
        let active = |more: Value| {
            let mut answer = json!({
                "active": true, "client_id": "rx", "aud": "https://tx.example", "scope": "ssf.read",
            });
            for (name, value) in more.as_object().expect("an object") {
                answer[name] = value.clone();
            }
            answer
        };
        answers(active(json!({})), Ok(()));
        answers(active(json!({"iss": "https://as.example", "exp": NOW + 1})), Ok(()));
        answers(json!({"active": false}), Err(TokenFault::Inactive));
        answers(json!({}), Err(TokenFault::Inactive));
        answers(active(json!({"active": "true"})), Err(TokenFault::Inactive));
        answers(active(json!({"exp": NOW})), Err(TokenFault::Expired));
        answers(active(json!({"nbf": NOW + 31})), Err(TokenFault::NotYet));
        answers(active(json!({"iss": "https://other.example"})), Err(TokenFault::Issuer));
        answers(active(json!({"aud": "https://other.example"})), Err(TokenFault::Audience));
        answers(active(json!({"aud": null})), Err(TokenFault::Claim("aud")));
        answers(active(json!({"client_id": null})), Err(TokenFault::NoClient));
        answers(active(json!({"cnf": {}})), Err(TokenFault::Bound));
        answers(active(json!({"events": {}})), Err(TokenFault::Events));
    }

    #[track_caller]
    fn header(header: Value, expected: Result<(), TokenFault>) {
        let encode = |json: &Value| URL_SAFE_NO_PAD.encode(json.to_string());
        let token = format!("{}.{}.c2ln", encode(&header), encode(&claims()));
        let found = Unverified::parse(&token, &expectations().algorithms);
        assert_eq!(found.map(drop), expected, "{header}");
    }

    /// AUTH-03, AUTH-06 (RFC 8725 §3.1, §3.11)
    #[test]
    fn only_the_header_of_an_access_token_is_accepted() {
        header(json!({"typ": "at+jwt", "alg": "RS256", "kid": "k"}), Ok(()));
        header(json!({"typ": "application/at+jwt", "alg": "ES256", "kid": "k"}), Ok(()));
        header(json!({"typ": "AT+JWT", "alg": "ES256", "kid": "k"}), Ok(()));
        for typ in ["JWT", "secevent+jwt", "at+jwt ", "id_token+jwt", ""] {
            header(json!({"typ": typ, "alg": "RS256", "kid": "k"}), Err(TokenFault::Type));
        }
        header(json!({"alg": "RS256", "kid": "k"}), Err(TokenFault::Type));
        for alg in ["none", "None", "HS256", "PS256", "rs256", ""] {
            header(json!({"typ": "at+jwt", "alg": alg, "kid": "k"}), Err(TokenFault::Algorithm));
        }
        header(json!({"typ": "at+jwt", "alg": "RS256"}), Err(TokenFault::NoKeyId));
        let critical = json!({"typ": "at+jwt", "alg": "RS256", "kid": "k", "crit": ["b64"]});
        header(critical, Err(TokenFault::Critical));
        for token in ["", "a.b", "a.b.c", "e30.e30", "e30", ".."] {
            assert!(Unverified::parse(token, &expectations().algorithms).is_err(), "{token}");
        }
    }
}
