//! Whether a Receiver takes a SET.

use std::{
    collections::{HashSet, VecDeque},
    sync::{Mutex, PoisonError},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Map, Value};

use super::{
    jwks::KeySource,
    misbehave::Mode,
    received::{Method, Received, Rejection, SignedBy},
};
use crate::{
    clock,
    domain::set_error::{ErrCode, SetError},
};

/// How many SETs are remembered, to tell when one comes again.
const TAKEN_MAX: usize = 100_000;

/// Verifies SETs and remembers which ones were taken. Shared by all the ways they come in.
pub struct Inspector {
    keys: KeySource,
    issuer: Option<String>,
    audience: Option<String>,
    taken: Mutex<Taken>,
}

/// A SET on its way in.
#[derive(Debug, Clone)]
pub struct Arrival<'a> {
    pub method: Method,
    pub endpoint: &'a str,
    pub jws: &'a str,
    /// Under which name it was handed out (RFC 8936 §2.3).
    pub expected_jti: Option<&'a str>,
    pub misbehaviour: Option<Mode>,
}

/// The `jti`s of the SETs that were taken, the latest [`TAKEN_MAX`] of them.
#[derive(Default)]
struct Taken {
    known: HashSet<String>,
    order: VecDeque<String>,
}

impl Inspector {
    pub fn new(keys: KeySource) -> Self {
        Self { keys, issuer: None, audience: None, taken: Mutex::default() }
    }

    /// Takes SETs of this issuer only.
    #[must_use]
    pub fn of_issuer(self, issuer: impl Into<String>) -> Self {
        Self { issuer: Some(issuer.into()), ..self }
    }

    /// Takes SETs only that name this audience, maybe among others.
    #[must_use]
    pub fn for_audience(self, audience: impl Into<String>) -> Self {
        Self { audience: Some(audience.into()), ..self }
    }

    /// The keys, as to fetch them ahead of time.
    pub fn keys(&self) -> &KeySource {
        &self.keys
    }

    /// Verifies a SET. It counts as taken if it is verified and no misbehaviour prevents it.
    pub async fn inspect(&self, arrival: Arrival<'_>) -> Received {
        let (claims, verified) = match self.keys.verify(arrival.jws).await {
            Ok(set) => {
                let signed = SignedBy { algorithm: set.algorithm, kid: set.kid };
                let checked = self.check_claims(&set.claims, &arrival);
                (set.claims, checked.map(|()| signed).map_err(Rejection::Refused))
            }
            Err(rejection) => (unverified_claims(arrival.jws), Err(rejection)),
        };
        self.received(arrival, claims, verified)
    }

    /// What arrived and is refused for another reason than itself.
    pub fn reject(&self, arrival: Arrival<'_>, error: SetError) -> Received {
        let claims = unverified_claims(arrival.jws);
        self.received(arrival, claims, Err(Rejection::Refused(error)))
    }

    fn received(
        &self,
        arrival: Arrival<'_>,
        claims: Map<String, Value>,
        verified: Result<SignedBy, Rejection>,
    ) -> Received {
        let jti = claims.get("jti").and_then(Value::as_str).map(str::to_owned);
        let event_type = claims.get("events").and_then(Value::as_object);
        let event_type = event_type.and_then(|events| events.keys().next()).cloned();
        let accepted =
            verified.is_ok() && arrival.misbehaviour.as_ref().is_none_or(Mode::takes_set);
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let duplicate = match &jti {
            Some(jti) if accepted => !taken.insert(jti),
            Some(jti) => taken.known.contains(jti),
            None => false,
        };
        drop(taken);
        Received {
            method: arrival.method,
            at: clock::now(),
            endpoint: arrival.endpoint.to_owned(),
            jti,
            event_type,
            claims,
            verified,
            duplicate,
            misbehaved: arrival.misbehaviour,
        }
    }

    fn check_claims(
        &self,
        claims: &Map<String, Value>,
        arrival: &Arrival<'_>,
    ) -> Result<(), SetError> {
        let claim = |name| claims.get(name).unwrap_or(&Value::Null);
        let refuse = |code: ErrCode, found: &str, wanted: &str| {
            let description = format!("the SET has {found}, and {wanted} is expected");
            Err(SetError::new(code.as_str(), &description))
        };
        if let Some(issuer) = &self.issuer
            && claim("iss") != issuer.as_str()
        {
            return refuse(ErrCode::InvalidIssuer, &format!("`iss` {}", claim("iss")), issuer);
        }
        if let Some(audience) = &self.audience {
            let named = match claim("aud") {
                Value::Array(several) => several.iter().any(|one| one == audience.as_str()),
                one => one == audience.as_str(),
            };
            if !named {
                let found = format!("`aud` {}", claim("aud"));
                return refuse(ErrCode::InvalidAudience, &found, audience);
            }
        }
        match arrival.expected_jti {
            Some(name) if claim("jti") != name => {
                let found = format!("`jti` {}", claim("jti"));
                refuse(ErrCode::InvalidRequest, &found, name)
            }
            _ => Ok(()),
        }
    }
}

impl Taken {
    /// Whether it is new.
    fn insert(&mut self, jti: &str) -> bool {
        let new = self.known.insert(jti.to_owned());
        if new {
            self.order.push_back(jti.to_owned());
        }
        if TAKEN_MAX < self.order.len()
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        new
    }
}

/// The payload as far as it can be read: to show what was refused.
fn unverified_claims(jws: &str) -> Map<String, Value> {
    let payload = jws.split('.').nth(1).and_then(|part| URL_SAFE_NO_PAD.decode(part).ok());
    payload.and_then(|json| serde_json::from_slice(&json).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::signing::{
        algorithm::Algorithm, generate::generate, key_ring::KeyRing, keys::SigningKey,
        verify::Verifier,
    };

    fn ring() -> KeyRing {
        let pem = generate(Algorithm::Es256).expect("a key");
        KeyRing::new(vec![SigningKey::from_pem(pem.as_bytes()).expect("a key")]).expect("a ring")
    }

    fn inspector(ring: &KeyRing) -> Inspector {
        let verifier = Verifier::from_jwks(ring.jwks_json().as_bytes()).expect("a JWK Set");
        Inspector::new(KeySource::Fixed(verifier))
    }

    fn sign(ring: &KeyRing) -> String {
        let claims = json!({
            "iss": "https://tx.example", "iat": 1_775_000_099, "jti": "b1",
            "aud": ["https://rx.example", "https://rx2.example"],
            "sub_id": {"format": "opaque", "id": "s-88"}, "events": {"urn:example:lost": {}},
        });
        let set = ring.signer().sign_set(&claims.to_string()).expect("signed");
        String::from_utf8(set.to_vec()).expect("base64url")
    }

    fn arrival(jws: &str) -> Arrival<'_> {
        Arrival {
            method: Method::Push,
            endpoint: "/in",
            jws,
            expected_jti: None,
            misbehaviour: None,
        }
    }

    #[tokio::test]
    async fn a_set_that_comes_again_is_a_duplicate_once_it_was_taken() {
        let ring = ring();
        let (inspector, jws) = (inspector(&ring), sign(&ring));
        let with = |misbehaviour| Arrival { misbehaviour, ..arrival(&jws) };
        for (misbehaviour, duplicate) in
            [(Some(Mode::Reset), false), (Some(Mode::Lose), false), (None, true), (None, true)]
        {
            let received = inspector.inspect(with(misbehaviour)).await;
            assert!(received.verified.is_ok(), "{received}");
            assert_eq!(received.duplicate, duplicate, "{received}");
            assert_eq!(received.event_name(), Some("lost"));
        }
    }

    #[track_caller]
    fn assert_refused(received: &Received, code: ErrCode) {
        match &received.verified {
            Err(Rejection::Refused(error)) => assert_eq!(error.code, code, "{received}"),
            other => panic!("{code:?} expected of {other:?}"),
        }
        assert_eq!(received.jti.as_deref(), Some("b1"));
    }

    #[tokio::test]
    async fn a_set_for_others_is_refused() {
        let ring = ring();
        let jws = sign(&ring);
        let ours = || inspector(&ring);
        let fits = ours().of_issuer("https://tx.example").for_audience("https://rx2.example");
        assert!(fits.inspect(arrival(&jws)).await.verified.is_ok());

        let other = ours().of_issuer("https://tx.example/");
        assert_refused(&other.inspect(arrival(&jws)).await, ErrCode::InvalidIssuer);
        let other = ours().for_audience("https://rx3.example");
        assert_refused(&other.inspect(arrival(&jws)).await, ErrCode::InvalidAudience);
        let misnamed = Arrival { expected_jti: Some("b2"), ..arrival(&jws) };
        assert_refused(&ours().inspect(misnamed).await, ErrCode::InvalidRequest);
        let foreign = sign(&self::ring());
        assert_refused(&ours().inspect(arrival(&foreign)).await, ErrCode::InvalidKey);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut taken = Taken::default();
        for n in 0..=TAKEN_MAX {
            assert!(taken.insert(&n.to_string()));
        }
        assert_eq!((taken.known.len(), taken.order.len()), (TAKEN_MAX, TAKEN_MAX));
        assert!(taken.insert("0"), "the oldest is forgotten");
        assert!(!taken.insert(&TAKEN_MAX.to_string()));
    }
}
