//! A sender of tokens of one kind, and the defects that no kind of token may have.

use super::*;

/// A scheme for tokens of one kind, with what signs them and good claims.
pub(super) struct Sender<S> {
    pub(super) scheme: Verifier,
    pub(super) sign: S,
    /// The `typ` of a good token.
    pub(super) typ: &'static str,
    pub(super) claims: Value,
    pub(super) wrap: fn(&str) -> SourceRequest,
}

impl<S: Fn(&Value, &Value) -> String> Sender<S> {
    pub(super) fn judged(&self, token: &str) -> &'static str {
        judged_at(&self.scheme, &(self.wrap)(token), 0)
    }

    /// Signs a token whose header has these members besides or in place of those of a good one.
    pub(super) fn token(&self, header: &Value, claims: &Value) -> String {
        (self.sign)(&self.header(header), claims)
    }

    fn header(&self, more: &Value) -> Value {
        let mut header = json!({"typ": self.typ});
        for (name, value) in more.as_object().expect("members") {
            header[name] = value.clone();
        }
        header
    }

    #[track_caller]
    pub(super) fn check(&self, header: &Value, claims: &Value, expected: &str) {
        let found = self.judged(&self.token(header, claims));
        assert_eq!(found, expected, "{header} {claims}");
    }

    /// Checks a token with another `typ`.
    #[track_caller]
    pub(super) fn check_type(&self, typ: Value, expected: &str) {
        self.check(&json!({"typ": typ}), &self.claims, expected);
    }

    /// Checks good claims of which one has another value. With `None` it is missing.
    #[track_caller]
    pub(super) fn check_claim(&self, name: &str, value: Option<Value>, expected: &str) {
        let mut claims = self.claims.clone();
        let members = claims.as_object_mut().expect("claims");
        match value {
            Some(value) => drop(members.insert(name.to_owned(), value)),
            None => drop(members.remove(name)),
        }
        self.check(&json!({}), &claims, expected);
    }

    /// Checks each of these claims: the reason if it is missing, and the one if it has another type.
    pub(super) fn check_required(&self, required: &[(&str, &str, &str)]) {
        self.check(&json!({}), &self.claims, "ok");
        for (name, missing, other_type) in required {
            self.check_claim(name, None, missing);
            self.check_claim(name, Some(Value::Null), missing);
            for value in [json!(true), json!(""), json!([]), json!({}), json!([7])] {
                self.check_claim(name, Some(value), other_type);
            }
        }
    }

    /// Checks that no other algorithm, key or extension passes. The algorithms of the scheme are ES256 and
    /// RS256.
    pub(super) fn check_signatures(&self) {
        let claims = &self.claims;
        for (header, expected) in [
            (json!({"alg": "none"}), "algorithm"),
            (json!({"alg": "None"}), "algorithm"),
            (json!({"alg": null}), "malformed"),
            (json!({"alg": 7}), "malformed"),
            (json!({"alg": "HS256"}), "algorithm"),
            (json!({"alg": "ES384"}), "algorithm"),
            // The list has this one, and the key does not.
            (json!({"alg": "RS256"}), "wrong"),
            (json!({"crit": ["exp"]}), "malformed"),
            (json!({"crit": []}), "malformed"),
            (json!({"kid": "another"}), "unknown_key"),
            (json!({"kid": null}), "unknown_key"),
        ] {
            self.check(&header, claims, expected);
        }
        // The key that is published is no secret.
        let jwk = serde_json::to_value(SigningKey::example(Algorithm::Es256).public_jwk());
        let jwk = jwk.expect("JSON");
        for secret in [jwk.to_string(), jwk["x"].as_str().expect("a point").to_owned()] {
            let header = self.header(&json!({"alg": "HS256", "kid": jwk["kid"]}));
            let secret = Key::new(HMAC_SHA256, secret.as_bytes());
            let signed = |input: &[u8]| sign(&secret, input).as_ref().to_vec();
            assert_eq!(self.judged(&compact(&header, claims, signed)), "algorithm");
        }
        // Without a signature, and with that of another token.
        let token = self.token(&json!({}), claims);
        let (signed, _) = token.rsplit_once('.').expect("three parts");
        assert_eq!(self.judged(&format!("{signed}.")), "wrong");
        let other = self.token(&json!({}), &json!({"jti": "another"}));
        let (_, signature) = other.rsplit_once('.').expect("three parts");
        assert_eq!(self.judged(&format!("{signed}.{signature}")), "wrong");
        assert_eq!(self.judged(""), "missing");
        for text in [".", "..", "a.b", "a.b.c.d", signed] {
            assert_eq!(self.judged(text), "malformed", "{text}");
        }
    }
}
