//! Logout tokens: every defect by itself, and tokens that a real Keycloak sent.

use super::{tokens::Sender, *};

const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

/// A sender of logout tokens in a form.
fn logout() -> Sender<impl Fn(&Value, &Value) -> String> {
    let (keys, sign) = public();
    let rules = LogoutToken { tolerance: Duration::from_mins(5) };
    let jwt = Jwt {
        place: TokenPlace::Form("logout_token".into()),
        profile: JwtProfile::LogoutToken(rules),
        ..jwt(JwtKeys::Fixed(keys), &["ES256", "RS256"])
    };
    let now = NOW.as_secs();
    let claims = json!({
        "iss": "https://idp.example", "aud": "ssfd", "iat": now, "exp": now + 120, "jti": "t-1",
        "sub": "kim", "sid": "s-1", "events": {EVENT: {}},
    });
    let scheme = Verifier::new(Scheme::Jwt(Box::new(jwt)));
    let wrap = |token: &str| request(&[], format!("logout_token={token}").as_bytes());
    Sender { scheme, sign, typ: "logout+jwt", claims, wrap }
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
    logout().check_required(&REQUIRED);
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
    let mut claims = logout.claims.clone();
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
    for typ in ["logout+jwt", "LOGOUT+JWT", "application/logout+jwt", "JWT", "jwt"] {
        logout.check_type(json!(typ), "ok");
    }
    logout.check_type(Value::Null, "ok");
    for typ in ["at+jwt", "secevent+jwt", "logout", "", "logout+jwt2"] {
        logout.check_type(json!(typ), "type");
    }
    for typ in [json!(7), json!(["logout+jwt"]), json!({}), json!(true)] {
        logout.check_type(typ, "type");
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
    logout().check_signatures();
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
