//! Turns claims into a compact JWS (RFC 7515 §7.1).

use std::sync::Arc;

use base64::{Engine as _, encoded_len, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;

use crate::signing::{
    SET_TYPE,
    jwks::PublicJwk,
    keys::{SignError, SigningKey},
};

/// Encodes the JOSE header of a key's SETs. The header is the same for every SET of the key, so it is
/// made once. It holds no `jku`, `jwk` or `crit`, because a Receiver must not follow such members, or
/// could not understand them (RFC 8725 §3.10).
pub(super) fn encoded_header(key: &PublicJwk) -> String {
    typed_header(SET_TYPE, key)
}

/// Encodes a JOSE header with this `typ`, which has no character that JSON escapes.
fn typed_header(typ: &str, key: &PublicJwk) -> String {
    // Neither has one of the other values.
    let (alg, kid) = (key.algorithm(), key.kid());
    URL_SAFE_NO_PAD.encode(format!(r#"{{"typ":"{typ}","alg":"{alg}","kid":"{kid}"}}"#))
}

impl SigningKey {
    /// Signs one SET, given as the JSON text of its claims.
    pub fn sign_set(&self, claims: &str) -> Result<Bytes, SignError> {
        self.compact(self.header(), claims)
    }

    /// Signs a JWT of another kind. Its `typ` keeps it from standing for a SET (RFC 8725 §3.11).
    pub fn sign_typed(&self, typ: &'static str, claims: &str) -> Result<Bytes, SignError> {
        self.compact(&typed_header(typ, self.public_jwk()), claims)
    }

    fn compact(&self, header: &str, claims: &str) -> Result<Bytes, SignError> {
        let parts = [header.len(), encoded(claims.len()), encoded(self.signature_len())];
        // One buffer holds all three parts and never grows. Its content after two parts is what is
        // signed.
        let mut jws = String::with_capacity(parts.iter().sum::<usize>() + 2);
        jws.push_str(header);
        jws.push('.');
        URL_SAFE_NO_PAD.encode_string(claims, &mut jws);
        let signature = self.sign(jws.as_bytes())?;
        jws.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut jws);
        Ok(Bytes::from(jws))
    }

    /// Signs many SETs, with a result for each. This is one call, so that an engine that signs several
    /// inputs at a time can replace the loop.
    pub fn sign_batch(&self, claims: &[Arc<str>]) -> Vec<Result<Bytes, SignError>> {
        claims.iter().map(|claims| self.sign_set(claims)).collect()
    }
}

fn encoded(length: usize) -> usize {
    encoded_len(length, false).expect("claims are far from filling the memory")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signing::{algorithm::Algorithm, jwt::CompactJws, key_ring::KeyRing};

    /// RFC 8417 §2.3, RFC 8725 §3.10.
    #[test]
    fn the_header_has_typ_alg_and_kid_and_nothing_else() {
        for algorithm in Algorithm::ALL {
            let key = SigningKey::example(algorithm);
            let header = URL_SAFE_NO_PAD.decode(key.header()).expect("base64url");
            let expected =
                format!(r#"{{"typ":"secevent+jwt","alg":"{algorithm}","kid":"{}"}}"#, key.kid());
            assert_eq!(String::from_utf8(header).expect("UTF-8"), expected);
        }
    }

    #[test]
    fn a_jwt_of_another_kind_has_its_own_typ() {
        for algorithm in Algorithm::ALL {
            let key = SigningKey::example(algorithm);
            let jwt = key.sign_typed("x+jwt", "{}").expect("signed");
            let text = std::str::from_utf8(&jwt).expect("ASCII");
            let jws = CompactJws::parse(text).expect("a JWS");
            assert!(jws.is_of_type("x+jwt") && !jws.is_of_type(SET_TYPE), "{algorithm}");
            assert_eq!(jws.kid(), Some(key.kid().as_str()));
            let ring = KeyRing::new(vec![key]).expect("one key");
            let key = ring.verification_keys().named(jws.kid().expect("a name")).next();
            let key = key.expect("the ring has its own key");
            assert!(jws.is_signed_by(key, algorithm.into()), "{algorithm}");
        }
    }

    #[test]
    fn the_buffer_is_as_long_as_the_set() {
        for algorithm in Algorithm::ALL {
            let key = SigningKey::example(algorithm);
            let signature = key.sign(b"x").expect("signed");
            assert_eq!(signature.len(), key.signature_len(), "{algorithm}");
        }
    }

    #[test]
    fn the_results_of_a_batch_are_in_the_order_of_the_claims() {
        let key = SigningKey::example(Algorithm::EdDsa);
        let batch: Vec<Arc<str>> = vec![r#"{"jti":"a"}"#.into(), r#"{"jti":"b"}"#.into()];
        let signed = key.sign_batch(&batch);
        let expected = batch.iter().map(|claims| key.sign_set(claims).expect("signed"));
        // Ed25519 is deterministic, so the very bytes can be compared.
        assert!(signed.into_iter().map(|set| set.expect("signed")).eq(expected));
    }
}
