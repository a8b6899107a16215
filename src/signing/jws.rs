//! Claims → compact JWS (RFC 7515 §7.1).

use std::sync::Arc;

use base64::{Engine as _, encoded_len, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;

use crate::signing::{
    SET_TYPE,
    jwks::PublicJwk,
    keys::{SignError, SigningKey},
};

/// The same for every SET of a key, so it is made once. It says how to verify and nothing else: no
/// `jku`, `jwk` or `crit`, which a Receiver must not follow or could not understand (RFC 8725
/// §3.10).
pub(super) fn encoded_header(key: &PublicJwk) -> String {
    // None of the three values has a character that JSON would escape.
    let (alg, kid) = (key.algorithm(), key.kid());
    URL_SAFE_NO_PAD.encode(format!(r#"{{"typ":"{SET_TYPE}","alg":"{alg}","kid":"{kid}"}}"#))
}

impl SigningKey {
    /// Signs one SET, given as the JSON text of its claims.
    pub fn sign_set(&self, claims: &str) -> Result<Bytes, SignError> {
        let parts = [self.header().len(), encoded(claims.len()), encoded(self.signature_len())];
        // One buffer for all three parts, never moved: what it holds so far is what is signed.
        let mut jws = String::with_capacity(parts.iter().sum::<usize>() + 2);
        jws.push_str(self.header());
        jws.push('.');
        URL_SAFE_NO_PAD.encode_string(claims, &mut jws);
        let signature = self.sign(jws.as_bytes())?;
        jws.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut jws);
        Ok(Bytes::from(jws))
    }

    /// Signs many, with a result for each. One call, so that an engine which signs several inputs
    /// at a time can take the place of the loop.
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
    use crate::signing::algorithm::Algorithm;

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
    fn the_buffer_is_as_long_as_the_set() {
        for algorithm in Algorithm::ALL {
            let key = SigningKey::example(algorithm);
            let signature = key.sign(b"x").expect("signed");
            assert_eq!(signature.len(), key.signature_len(), "{algorithm}");
        }
    }

    #[test]
    fn a_batch_answers_in_its_order() {
        let key = SigningKey::example(Algorithm::EdDsa);
        let batch: Vec<Arc<str>> = vec![r#"{"jti":"a"}"#.into(), r#"{"jti":"b"}"#.into()];
        let signed = key.sign_batch(&batch);
        let expected = batch.iter().map(|claims| key.sign_set(claims).expect("signed"));
        // Ed25519 is deterministic, so the very bytes can be compared.
        assert!(signed.into_iter().map(|set| set.expect("signed")).eq(expected));
    }
}
