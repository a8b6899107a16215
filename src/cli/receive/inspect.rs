//! Verifies SETs, and tells which have arrived before.

use std::{
    collections::{HashSet, VecDeque},
    sync::{Mutex, PoisonError},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Map, Value};

use super::{
    jwks::KeySource,
    misbehave::MisbehaviourMode,
    received::{ReceiveMethod, Received, Rejection, SignedBy},
};
use crate::{
    clock,
    domain::set_error::{ErrCode, SetError},
};

/// The number of accepted SETs that are remembered, to detect duplicates.
const ACCEPTED_MAX: usize = 100_000;

/// Verifies SETs and remembers which were accepted. Shared by the push endpoint and the poller.
pub struct Inspector {
    keys: KeySource,
    issuer: Option<String>,
    audience: Option<String>,
    accepted: Mutex<AcceptedJtis>,
}

/// A SET that has arrived and is not verified yet.
#[derive(Debug, Clone)]
pub struct IncomingSet<'a> {
    pub method: ReceiveMethod,
    pub endpoint: &'a str,
    pub jws: &'a str,
    /// The `jti` under which a poll returned the SET (RFC 8936 §2.3).
    pub expected_jti: Option<&'a str>,
    pub misbehaviour: Option<MisbehaviourMode>,
}

/// The `jti`s of the last [`ACCEPTED_MAX`] accepted SETs.
#[derive(Default)]
struct AcceptedJtis {
    known: HashSet<String>,
    order: VecDeque<String>,
}

impl Inspector {
    pub fn new(keys: KeySource) -> Self {
        Self { keys, issuer: None, audience: None, accepted: Mutex::default() }
    }

    /// Accepts SETs of this issuer only.
    #[must_use]
    pub fn of_issuer(self, issuer: impl Into<String>) -> Self {
        Self { issuer: Some(issuer.into()), ..self }
    }

    /// Accepts only SETs whose `aud` contains this audience.
    #[must_use]
    pub fn for_audience(self, audience: impl Into<String>) -> Self {
        Self { audience: Some(audience.into()), ..self }
    }

    /// Returns the keys, so that they can be fetched ahead of time.
    pub fn keys(&self) -> &KeySource {
        &self.keys
    }

    /// Verifies a SET. A verified SET is accepted unless a misbehaviour prevents it.
    pub async fn inspect(&self, arrival: IncomingSet<'_>) -> Received {
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

    /// Refuses a SET for a reason that is not in the SET, such as its request.
    pub fn reject(&self, arrival: IncomingSet<'_>, error: SetError) -> Received {
        let claims = unverified_claims(arrival.jws);
        self.received(arrival, claims, Err(Rejection::Refused(error)))
    }

    fn received(
        &self,
        arrival: IncomingSet<'_>,
        claims: Map<String, Value>,
        verified: Result<SignedBy, Rejection>,
    ) -> Received {
        let jti = claims.get("jti").and_then(Value::as_str).map(str::to_owned);
        let event_type = claims.get("events").and_then(Value::as_object);
        let event_type = event_type.and_then(|events| events.keys().next()).cloned();
        let accepted = verified.is_ok()
            && arrival.misbehaviour.as_ref().is_none_or(MisbehaviourMode::accepts_set);
        let mut accepted_jtis = self.accepted.lock().unwrap_or_else(PoisonError::into_inner);
        let duplicate = match &jti {
            Some(jti) if accepted => !accepted_jtis.insert(jti),
            Some(jti) => accepted_jtis.known.contains(jti),
            None => false,
        };
        drop(accepted_jtis);
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
        arrival: &IncomingSet<'_>,
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

impl AcceptedJtis {
    /// Remembers a `jti`. Returns whether it is new.
    fn insert(&mut self, jti: &str) -> bool {
        let new = self.known.insert(jti.to_owned());
        if new {
            self.order.push_back(jti.to_owned());
        }
        if ACCEPTED_MAX < self.order.len()
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        new
    }
}

/// Decodes the claims without verification, only to show them. Returns none if they cannot be
/// decoded.
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

    fn arrival(jws: &str) -> IncomingSet<'_> {
        IncomingSet {
            method: ReceiveMethod::Push,
            endpoint: "/in",
            jws,
            expected_jti: None,
            misbehaviour: None,
        }
    }

    #[tokio::test]
    async fn a_repeated_set_is_a_duplicate_once_it_was_accepted() {
        let ring = ring();
        let (inspector, jws) = (inspector(&ring), sign(&ring));
        let with = |misbehaviour| IncomingSet { misbehaviour, ..arrival(&jws) };
        for (misbehaviour, duplicate) in [
            (Some(MisbehaviourMode::Reset), false),
            (Some(MisbehaviourMode::Lose), false),
            (None, true),
            (None, true),
        ] {
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
    async fn a_set_of_another_issuer_or_for_another_audience_is_refused() {
        let ring = ring();
        let jws = sign(&ring);
        let ours = || inspector(&ring);
        let fits = ours().of_issuer("https://tx.example").for_audience("https://rx2.example");
        assert!(fits.inspect(arrival(&jws)).await.verified.is_ok());

        let other = ours().of_issuer("https://tx.example/");
        assert_refused(&other.inspect(arrival(&jws)).await, ErrCode::InvalidIssuer);
        let other = ours().for_audience("https://rx3.example");
        assert_refused(&other.inspect(arrival(&jws)).await, ErrCode::InvalidAudience);
        let misnamed = IncomingSet { expected_jti: Some("b2"), ..arrival(&jws) };
        assert_refused(&ours().inspect(misnamed).await, ErrCode::InvalidRequest);
        let foreign = sign(&self::ring());
        assert_refused(&ours().inspect(arrival(&foreign)).await, ErrCode::InvalidKey);
    }

    #[test]
    fn the_number_of_remembered_jtis_is_bounded() {
        let mut accepted = AcceptedJtis::default();
        for n in 0..=ACCEPTED_MAX {
            assert!(accepted.insert(&n.to_string()));
        }
        assert_eq!((accepted.known.len(), accepted.order.len()), (ACCEPTED_MAX, ACCEPTED_MAX));
        assert!(accepted.insert("0"), "the oldest is forgotten");
        assert!(!accepted.insert(&ACCEPTED_MAX.to_string()));
    }
}
