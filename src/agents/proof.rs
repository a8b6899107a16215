//! The proof that an answer comes from a device: an HMAC with the token of the device.
//!
//! The token is found first, by the device that the answer names or by the hash of the token in a header;
//! tokens are never tried. Two things are compared with secrets, both in a time that does not depend on
//! how much of them is right: the signature, by the HMAC of the crypto library, and the hash of the token,
//! whose digits tell nothing of the token's.

use aws_lc_rs::hmac::{self, Key};

use super::HMAC;
use crate::{
    domain::{
        posture::{ANSWER_ALGORITHM, AnswerClaims, Refusal},
        secret::Secret,
    },
    signing::jwt::CompactJws,
};

/// A token as the key of an HMAC.
pub(super) struct TokenKey(Key);

impl TokenKey {
    pub(super) fn of(token: &Secret) -> Self {
        Self(Key::new(HMAC, token.expose().as_bytes()))
    }
}

/// An answer that was read. Nothing in it is believed yet.
pub(super) struct ShownAnswer<'a> {
    jws: CompactJws<'a>,
    pub(super) claims: AnswerClaims,
}

impl<'a> ShownAnswer<'a> {
    pub(super) fn read(text: &'a str) -> Result<Self, Refusal> {
        let jws = CompactJws::parse(text).map_err(|_| Refusal::Malformed)?;
        // Exactly one algorithm counts, and the header does not choose it (RFC 8725 §3.1).
        if jws.member("alg").as_str() != Some(ANSWER_ALGORITHM) {
            return Err(Refusal::Algorithm);
        }
        if jws.requires_extensions() {
            return Err(Refusal::Malformed);
        }
        let claims = AnswerClaims::read(jws.claims().ok_or(Refusal::Malformed)?)?;
        Ok(Self { jws, claims })
    }

    /// Verifies the signature with a token.
    pub(super) fn is_signed_with(&self, token: &TokenKey) -> bool {
        let (signed, signature) = self.jws.signed_parts();
        hmac::verify(&token.0, signed, signature).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::hmac::{HMAC_SHA256, HMAC_SHA384, HMAC_SHA512};
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

    use super::*;

    const CLAIMS: &str = r#"{"iss":"dev-1","aud":"agents","atc":"a.b.c"}"#;

    fn answer(header: &str, claims: &str, algorithm: hmac::Algorithm, token: &str) -> String {
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let signed = format!("{}.{}", encode(header.as_bytes()), encode(claims.as_bytes()));
        let tag = hmac::sign(&Key::new(algorithm, token.as_bytes()), signed.as_bytes());
        format!("{signed}.{}", encode(tag.as_ref()))
    }

    fn refusal(text: &str) -> Option<Refusal> {
        ShownAnswer::read(text).err()
    }

    #[test]
    fn only_hs512_is_an_algorithm_of_answers() {
        for (alg, algorithm) in [
            (r#""HS256""#, HMAC_SHA256),
            (r#""HS384""#, HMAC_SHA384),
            (r#""hs512""#, HMAC_SHA512),
            (r#""none""#, HMAC_SHA512),
            (r#""RS256""#, HMAC_SHA512),
            (r#""ES256""#, HMAC_SHA512),
            ("null", HMAC_SHA512),
            (r#"["HS512"]"#, HMAC_SHA512),
        ] {
            let text = answer(&format!(r#"{{"alg":{alg}}}"#), CLAIMS, algorithm, "token");
            assert_eq!(refusal(&text), Some(Refusal::Algorithm), "{alg}");
        }
        let good = answer(r#"{"alg":"HS512","typ":"JWT"}"#, CLAIMS, HMAC_SHA512, "token");
        let shown = ShownAnswer::read(&good).unwrap_or_else(|refusal| panic!("{refusal}"));
        assert!(shown.is_signed_with(&TokenKey::of(&Secret::new("token"))));
    }

    #[test]
    fn a_signature_is_that_of_the_whole_token_over_the_whole_answer() {
        let good = answer(r#"{"alg":"HS512"}"#, CLAIMS, HMAC_SHA512, "the-token-of-a-device");
        let is_signed = |text: &str, token: &str| {
            let shown = ShownAnswer::read(text).unwrap_or_else(|refusal| panic!("{refusal}"));
            shown.is_signed_with(&TokenKey::of(&Secret::new(token)))
        };
        assert!(is_signed(&good, "the-token-of-a-device"));
        for token in ["", "the-token-of-a-devic", "the-token-of-a-device ", "another"] {
            assert!(!is_signed(&good, token), "{token}");
        }
        let (signed, signature) = good.rsplit_once('.').expect("a signature");
        let (header, _) = signed.split_once('.').expect("claims");
        let other = URL_SAFE_NO_PAD.encode(CLAIMS.replace("dev-1", "dev-2"));
        let short =
            URL_SAFE_NO_PAD.encode(&URL_SAFE_NO_PAD.decode(signature).expect("base64url")[..32]);
        for text in [
            format!("{header}.{other}.{signature}"),
            format!("{signed}."),
            format!("{signed}.{short}"),
        ] {
            assert!(!is_signed(&text, "the-token-of-a-device"), "{text}");
        }
    }

    #[test]
    fn a_text_that_is_no_answer_is_refused() {
        let of = |header: &str, claims: &str| answer(header, claims, HMAC_SHA512, "token");
        for text in [
            String::new(),
            "a.b".to_owned(),
            of(r#"{"alg":"HS512","crit":["x"]}"#, CLAIMS),
            of(r#"{"alg":"HS512","alg":"HS512"}"#, CLAIMS),
            of(r#"{"alg":"HS512"}"#, "[]"),
            of(r#"{"alg":"HS512"}"#, r#"{"iss":"dev-1"}"#),
            of(r#"{"alg":"HS512"}"#, r#"{"iss":"a","iss":"b","aud":"x","atc":"y"}"#),
        ] {
            assert_eq!(refusal(&text), Some(Refusal::Malformed), "{text}");
        }
    }
}
