//! The signing keys of a provider, and of all providers.

use std::collections::HashMap;

use crate::{
    domain::id::ProviderName,
    signing::{
        jwks,
        keys::{KeyError, SigningKey},
        verification_keys::VerificationKeys,
    },
};

/// The keys of one provider. The first key signs, and all keys are published. The other keys are the
/// next one, which Receivers have to know before it signs, and earlier ones, as long as a Receiver may
/// still verify a SET that they signed.
///
/// Invariant: there is at least one key, and no two keys have the same `kid`.
#[derive(Debug)]
pub struct KeyRing {
    keys: Vec<SigningKey>,
    jwks_json: String,
    verification_keys: VerificationKeys,
}

impl KeyRing {
    pub fn new(keys: Vec<SigningKey>) -> Result<Self, KeyError> {
        if keys.is_empty() {
            return Err(KeyError::NoKey);
        }
        for (index, key) in keys.iter().enumerate() {
            if keys[..index].iter().any(|earlier| earlier.kid() == key.kid()) {
                return Err(KeyError::Repeated(key.kid().clone()));
            }
        }
        let jwks_json = jwks::set_of(keys.iter().map(SigningKey::public_jwk));
        let verification_keys = VerificationKeys::from_json(jwks_json.as_bytes());
        let verification_keys = verification_keys.expect("our own JWK Set is one");
        Ok(Self { keys, jwks_json, verification_keys })
    }

    /// Returns the key that signs.
    pub fn signer(&self) -> &SigningKey {
        &self.keys[0]
    }

    /// Returns the public keys of the ring, by which we know what we have signed ourselves.
    pub fn verification_keys(&self) -> &VerificationKeys {
        &self.verification_keys
    }

    /// Returns the document behind `jwks_uri`, which is made once.
    pub fn jwks_json(&self) -> &str {
        &self.jwks_json
    }
}

/// The key rings of all providers.
#[derive(Debug, Default)]
pub struct KeyRings(HashMap<ProviderName, KeyRing>);

impl KeyRings {
    pub fn get(&self, provider: &ProviderName) -> Option<&KeyRing> {
        self.0.get(provider)
    }

    /// Returns the providers that have keys, in no order.
    pub fn providers(&self) -> impl Iterator<Item = &ProviderName> {
        self.0.keys()
    }
}

impl FromIterator<(ProviderName, KeyRing)> for KeyRings {
    fn from_iter<T: IntoIterator<Item = (ProviderName, KeyRing)>>(rings: T) -> Self {
        Self(rings.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;
    use crate::signing::algorithm::Algorithm;

    #[test]
    fn a_key_ring_has_at_least_one_key_and_no_key_twice() {
        let error = KeyRing::new(Vec::new()).expect_err("no key");
        assert_eq!(error.to_string(), "an issuer needs at least one key");
        let keys = [Algorithm::Es256, Algorithm::EdDsa, Algorithm::Es256].map(SigningKey::example);
        let error = KeyRing::new(Vec::from(keys)).expect_err("one key twice");
        assert!(matches!(error, KeyError::Repeated(_)), "{error}");
    }

    /// KEY-01, KEY-02: all keys are published, with their public members only.
    #[test]
    fn the_first_key_signs_and_all_are_published() {
        let ring = KeyRing::new(Algorithm::ALL.map(SigningKey::example).into()).expect("valid");
        assert_eq!(ring.signer().algorithm(), Algorithm::Rs256);
        let set: Value = serde_json::from_str(ring.jwks_json()).expect("JSON");
        let keys = set["keys"].as_array().expect("an array");
        let members: Vec<BTreeSet<&str>> = keys
            .iter()
            .map(|key| key.as_object().expect("an object").keys().map(String::as_str).collect())
            .collect();
        let ec = BTreeSet::from(["alg", "crv", "kid", "kty", "use", "x", "y"]);
        let rsa = BTreeSet::from(["alg", "e", "kid", "kty", "n", "use"]);
        let okp = BTreeSet::from(["alg", "crv", "kid", "kty", "use", "x"]);
        assert_eq!(members, [rsa, ec.clone(), ec.clone(), ec, okp]);
        for (key, algorithm) in keys.iter().zip(Algorithm::ALL) {
            assert_eq!((&key["alg"], &key["use"]), (&algorithm.as_str().into(), &"sig".into()));
        }
        assert_eq!(keys[3]["crv"], "P-521");
        assert_eq!(keys[0]["kid"], ring.signer().kid().as_str());
    }
}
