//! Logout tokens: every defect by itself, and tokens that a real Keycloak sent.

use super::*;

const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

fn logout_claims() -> Value {
    let now = NOW.as_secs();
    json!({
        "iss": "https://idp.example", "aud": "ssfd", "iat": now, "exp": now + 120, "jti": "t-1",
        "sub": "kim", "sid": "s-1", "events": {EVENT: {}},
    })
}

/// A scheme for logout tokens in a form, and what signs them.
struct Logout<S> {
    scheme: Verifier,
    sign: S,
}

fn logout() -> Logout<impl Fn(&Value, &Value) -> String> {
    let (keys, sign) = public();
    let rules = LogoutToken { tolerance: Duration::from_mins(5) };
    let jwt = Jwt {
        place: TokenPlace::Form("logout_token".into()),
        profile: JwtProfile::LogoutToken(rules),
        ..jwt(JwtKeys::Fixed(keys), &["ES256", "RS256"])
    };
    Logout { scheme: Verifier::new(Scheme::Jwt(Box::new(jwt))), sign }
}

impl<S: Fn(&Value, &Value) -> String> Logout<S> {
    fn judged(&self, token: &str) -> &'static str {
        judged_at(&self.scheme, &request(&[], format!("logout_token={token}").as_bytes()), 0)
    }

    #[track_caller]
    fn check(&self, header: &Value, claims: &Value, expected: &str) {
        let found = self.judged(&(self.sign)(header, claims));
        assert_eq!(found, expected, "{header} {claims}");
    }

    /// Checks good claims of which one has another value. With `None` it is missing.
    #[track_caller]
    fn check_claim(&self, name: &str, value: Option<Value>, expected: &str) {
        let mut claims = logout_claims();
        let members = claims.as_object_mut().expect("claims");
        match value {
            Some(value) => drop(members.insert(name.to_owned(), value)),
            None => drop(members.remove(name)),
        }
        self.check(&json!({}), &claims, expected);
    }
}

/// Each claim with the reason if it is missing, and if it has another type.
const REQUIRED: [(&str, &str, &str); 6] = [
    ("iss", "issuer", "issuer"),
    ("aud", "audience", "audience"),
    ("exp", "expired", "malformed"),
    ("iat", "claim", "malformed"),
    ("jti", "claim", "claim"),
    ("events", "claim", "claim"),
];

#[test]
fn a_logout_token_has_every_claim_that_it_must_have() {
    let logout = logout();
    logout.check(&json!({}), &logout_claims(), "ok");
    for (name, missing, other_type) in REQUIRED {
        logout.check_claim(name, None, missing);
        logout.check_claim(name, Some(Value::Null), missing);
        for value in [json!(true), json!(""), json!([]), json!({}), json!([7])] {
            logout.check_claim(name, Some(value), other_type);
        }
    }
}

#[test]
fn a_logout_token_names_the_user_or_the_session() {
    let logout = logout();
    for name in ["sub", "sid"] {
        logout.check_claim(name, None, "ok");
        logout.check_claim(name, Some(Value::Null), "ok");
        for value in [json!(7), json!(""), json!(["s-1"]), json!({})] {
            logout.check_claim(name, Some(value), "claim");
        }
    }
    let mut claims = logout_claims();
    claims.as_object_mut().expect("claims").retain(|name, _| !["sub", "sid"].contains(&&**name));
    logout.check(&json!({}), &claims, "claim");
}

#[test]
fn a_logout_token_has_the_event_of_a_logout() {
    let logout = logout();
    for (events, expected) in [
        (json!({EVENT: {}}), "ok"),
        (json!({EVENT: {"reason": "x"}}), "ok"),
        (json!({EVENT: {}, "https://idp.example/event": {}}), "ok"),
        (json!({EVENT: null}), "claim"),
        (json!({EVENT: []}), "claim"),
        (json!({EVENT: "x"}), "claim"),
        (json!({EVENT.replace("http:", "https:"): {}}), "claim"),
        (json!({"https://idp.example/event": {}}), "claim"),
        (json!([EVENT]), "claim"),
        (json!(EVENT), "claim"),
    ] {
        logout.check_claim("events", Some(events), expected);
    }
}

/// An ID token of the same client has a nonce, and perhaps everything else.
#[test]
fn a_logout_token_has_no_nonce() {
    for value in [json!("n-1"), json!(""), json!(7), Value::Null] {
        logout().check_claim("nonce", Some(value), "forbidden");
    }
}

#[test]
fn the_type_of_a_logout_token_is_its_own_or_none() {
    let logout = logout();
    let of_type = |typ: Value, expected| {
        logout.check(&json!({"typ": typ}), &logout_claims(), expected);
    };
    for typ in ["logout+jwt", "LOGOUT+JWT", "application/logout+jwt", "JWT", "jwt"] {
        of_type(json!(typ), "ok");
    }
    of_type(Value::Null, "ok");
    for typ in ["at+jwt", "secevent+jwt", "logout", "", "logout+jwt2"] {
        of_type(json!(typ), "type");
    }
    for typ in [json!(7), json!(["logout+jwt"]), json!({}), json!(true)] {
        of_type(typ, "type");
    }
}

#[test]
fn a_logout_token_is_recent() {
    let (logout, now) = (logout(), NOW.as_secs());
    for (name, value, expected) in [
        ("iat", now - 300, "ok"),
        ("iat", now - 301, "old"),
        ("iat", now + 60, "ok"),
        ("iat", now + 61, "future"),
        ("iat", 0, "old"),
        ("exp", now - 59, "ok"),
        ("exp", now - 60, "expired"),
        ("nbf", now + 61, "future"),
    ] {
        logout.check_claim(name, Some(json!(value)), expected);
    }
    logout.check_claim("iat", Some(json!(f64::MAX)), "future");
    logout.check_claim("iat", Some(json!(f64::MIN)), "old");
}

#[test]
fn no_other_algorithm_and_no_extension_passes() {
    let logout = logout();
    let claims = logout_claims();
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
        logout.check(&header, &claims, expected);
    }
    // The key that is published is no secret.
    let key = SigningKey::example(Algorithm::Es256);
    let jwk = serde_json::to_value(key.public_jwk()).expect("JSON");
    for secret in [jwk.to_string(), jwk["x"].as_str().expect("a point").to_owned()] {
        let header = json!({"alg": "HS256", "kid": jwk["kid"]});
        let secret = Key::new(HMAC_SHA256, secret.as_bytes());
        let token = compact(&header, &claims, |input| sign(&secret, input).as_ref().to_vec());
        assert_eq!(logout.judged(&token), "algorithm");
    }
    // Without a signature, and with that of another token.
    let token = (logout.sign)(&json!({}), &claims);
    let (signed, _) = token.rsplit_once('.').expect("three parts");
    assert_eq!(logout.judged(&format!("{signed}.")), "wrong");
    let other = (logout.sign)(&json!({}), &with(json!({"jti": "t-2"})));
    let (_, signature) = other.rsplit_once('.').expect("three parts");
    assert_eq!(logout.judged(&format!("{signed}.{signature}")), "wrong");
    for text in ["", ".", "..", "a.b", "a.b.c.d", signed] {
        let expected = if text.is_empty() { "missing" } else { "malformed" };
        assert_eq!(logout.judged(text), expected, "{text}");
    }
}

/// Tokens that a real Keycloak sent, with its real key.
#[test]
fn recorded_tokens_of_keycloak_are_right() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/sources/payloads/keycloak");
    let read = |file: &str| fs::read(folder.join(file)).expect("a recorded file");
    let keys = VerificationKeys::from_json(&read("bcl-jwks.json")).expect("a JWK Set");
    let keys = Arc::new(keys);
    let scheme = |audience: &str| {
        let rules = LogoutToken { tolerance: Duration::from_mins(5) };
        Verifier::new(Scheme::Jwt(Box::new(Jwt {
            place: TokenPlace::Form("logout_token".into()),
            issuer: Some("https://localhost:13443/realms/main".into()),
            audience: Some(audience.into()),
            profile: JwtProfile::LogoutToken(rules),
            ..jwt(JwtKeys::Fixed(Arc::clone(&keys)), &["RS256"])
        })))
    };
    for (file, issued) in [
        ("bcl-logout-browser.txt", 1_795_955_418),
        ("bcl-admin-logout-all-sessions.txt", 1_795_955_485),
    ] {
        let body = read(file);
        // Each token lives for two minutes.
        for (age, expected) in [(0, "ok"), (179, "ok"), (180, "expired"), (-61, "future")] {
            let later = (issued + age) * 1000 - NOW.as_millis();
            let sent = request(&[], body.trim_ascii());
            assert_eq!(judged_at(&scheme("bcl-app"), &sent, later), expected, "{file} {age}");
        }
        let (later, sent) = (issued * 1000 - NOW.as_millis(), request(&[], body.trim_ascii()));
        assert_eq!(judged_at(&scheme("portal"), &sent, later), "audience", "{file}");
        let mut changed = body.trim_ascii().to_vec();
        let signature = changed.iter().rposition(|byte| *byte == b'.').expect("a signature") + 1;
        changed[signature] = if changed[signature] == b'A' { b'B' } else { b'A' };
        let changed = request(&[], &changed);
        assert_eq!(judged_at(&scheme("bcl-app"), &changed, later), "wrong", "{file}");
    }
}
