mod foreign_set;
mod logout_token;
mod tokens;

use std::{fs, path::Path, sync::Arc};

use aws_lc_rs::hmac::{HMAC_SHA256, Key, sign};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use serde_json::json;

use super::{client_state::StatePlace, hmac::to_hex, jwt::JwtKeys, secrets::SharedSecret, *};
use crate::{
    signing::{algorithm::Algorithm, keys::SigningKey, verification_keys::VerificationKeys},
    source::{
        client_certificate::{ClientCertificate, SubjectName},
        request::{Headers, Method},
    },
};

const BODY: &[u8] = br#"{"a":1}"#;
const NOW: Timestamp = Timestamp::from_millis(1_775_000_000_000);

fn request(headers: &[(&str, &str)], body: &[u8]) -> SourceRequest {
    let header = |(name, value): &(&str, &str)| ((*name).to_owned(), value.as_bytes().to_vec());
    SourceRequest {
        method: Method::Post,
        headers: Headers::new(headers.iter().map(header)),
        query: String::new(),
        body: Bytes::copy_from_slice(body),
        peer: Some("10.0.0.1".parse().expect("an address")),
        certificate: None,
    }
}

fn secrets(texts: &[&str]) -> Vec<SharedSecret> {
    texts.iter().map(|text| SharedSecret::new(*text)).collect()
}

/// Verifies at [`NOW`] plus some milliseconds. Returns the label of the refusal, or `ok`.
fn judged_at(scheme: &Verifier, request: &SourceRequest, later_millis: i64) -> &'static str {
    let now = Timestamp::from_millis(NOW.as_millis() + later_millis);
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    match runtime.block_on(scheme.verify(request, now)) {
        Ok(_) => "ok",
        Err(refusal) => {
            assert!(Refusal::LABELS.contains(&refusal.label()));
            refusal.label()
        }
    }
}

#[track_caller]
fn check(scheme: &Verifier, headers: &[(&str, &str)], expected: &str) {
    assert_eq!(judged_at(scheme, &request(headers, BODY), 0), expected, "{headers:?}");
}

fn header(name: &str, bearer: bool) -> Verifier {
    let secrets = secrets(&["new-secret", "old-secret"]);
    Verifier::new(Scheme::StaticHeader(StaticHeader { header: name.into(), bearer, secrets }))
}

#[test]
fn a_header_has_one_of_the_secrets_as_it_is() {
    let scheme = header("Authorization", false);
    check(&scheme, &[("authorization", "new-secret")], "ok");
    check(&scheme, &[("AUTHORIZATION", "old-secret")], "ok");
    check(&scheme, &[], "missing");
    for wrong in ["Bearer new-secret", "new-secre", "new-secrets", "", "NEW-SECRET"] {
        check(&scheme, &[("authorization", wrong)], "wrong");
    }
    let twice = [("authorization", "new-secret"), ("authorization", "new-secret")];
    check(&scheme, &twice, "repeated");
    check(&header("X-Hook", false), &[("x-hook", "new-secret")], "ok");
    check(&header("X-Hook", false), &[("authorization", "new-secret")], "missing");
}

#[test]
fn a_bearer_token_is_one_of_the_secrets() {
    let scheme = header("Authorization", true);
    check(&scheme, &[("authorization", "Bearer new-secret")], "ok");
    check(&scheme, &[("authorization", "bearer  old-secret")], "ok");
    check(&scheme, &[("authorization", "Bearer other")], "wrong");
    for malformed in ["new-secret", "Bearer", "Bearer ", "Basic new-secret", "Bearernew-secret"] {
        check(&scheme, &[("authorization", malformed)], "malformed");
    }
    check(&scheme, &[], "missing");
}

#[test]
fn a_name_and_a_password_are_compared_as_a_whole() {
    let scheme = Verifier::new(Scheme::Basic(Basic::new("hook", &secrets(&["new", "old:x"]))));
    for (value, expected) in [
        ("Basic aG9vazpuZXc=", "ok"),     // hook:new
        ("basic aG9vazpvbGQ6eA==", "ok"), // hook:old:x
        ("Basic aG9vazpvdGhlcg==", "wrong"),
        ("Basic b3RoZXI6bmV3", "wrong"), // other:new
        ("Basic aG9vaw==", "malformed"), // hook
        ("Basic ###", "malformed"),
        ("Bearer aG9vazpuZXc=", "malformed"),
        ("Basic", "malformed"),
    ] {
        check(&scheme, &[("authorization", value)], expected);
    }
    check(&scheme, &[], "missing");
}

fn hmac(prefix: &str, form: (Hash, Encoding), timestamped: Option<Timestamped>) -> Verifier {
    let secrets = secrets(&["key", "old-key"]);
    Verifier::new(Scheme::Hmac(Hmac::new(
        "X-Signature".into(),
        prefix.into(),
        form,
        timestamped,
        &secrets,
    )))
}

#[test]
fn an_hmac_has_each_hash_encoding_and_prefix() {
    let vectors = [
        (Hash::Sha1, Encoding::Hex, "b5557a4b8f3cc308d19eb4f69f336392a31eef7b"),
        (
            Hash::Sha256,
            Encoding::Hex,
            "88a67f24bbcdaed0e6c997404bb79a743baf44c6bab2f4c27328e3009d22e342",
        ),
        (Hash::Sha256, Encoding::Base64, "iKZ/JLvNrtDmyZdAS7eadDuvRMa6svTCcyjjAJ0i40I="),
        (
            Hash::Sha512,
            Encoding::Base64,
            "3H2KankmBZ6YaX71SmX3Rdkk/D4TwRdoedzchOrEgLrjd/oG0evMb6sTdc2b1hGhiZaUzEyn3A9inYuBM8XIPQ==",
        ),
    ];
    for (hash, encoding, signature) in vectors {
        let plain = hmac("", (hash, encoding), None);
        check(&plain, &[("x-signature", signature)], "ok");
        let prefixed = hmac("sha=", (hash, encoding), None);
        check(&prefixed, &[("x-signature", &format!("sha={signature}"))], "ok");
        check(&prefixed, &[("x-signature", signature)], "malformed");
        check(&plain, &[], "missing");
        check(&plain, &[("x-signature", signature), ("x-signature", signature)], "repeated");
        // A signature that was cut is wrong, or no text of its encoding any more.
        for cut in 0..signature.len() {
            let cut = &signature[..cut];
            let found = judged_at(&plain, &request(&[("x-signature", cut)], BODY), 0);
            assert!(["wrong", "malformed"].contains(&found), "{cut}: {found}");
        }
        let other = request(&[("x-signature", signature)], br#"{"a": 1}"#);
        assert_eq!(judged_at(&plain, &other, 0), "wrong", "another body");
    }
    let upper = vectors[1].2.to_uppercase();
    check(&hmac("", (Hash::Sha256, Encoding::Hex), None), &[("x-signature", &upper)], "ok");
}

/// Every signature that a real Keycloak made, with the secrets that it was given.
#[test]
fn recorded_signatures_of_keycloak_are_right() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/sources/payloads/keycloak");
    let table = fs::read_to_string(folder.join("signatures.tsv")).expect("recorded signatures");
    let mut seen = 0;
    for (name, signature) in table.lines().filter_map(|line| line.split_once('\t')) {
        let body = fs::read(folder.join(name)).expect("a recorded body");
        let sender = name.split('-').next().expect("a sender");
        let secret = match sender {
            "webhook" => "kc-hook-secret",
            "http" => "kc-http-secret",
            other => panic!("unknown sender {other}"),
        };
        let scheme = |secret: &str| {
            Verifier::new(Scheme::Hmac(Hmac::new(
                "X-Keycloak-Signature".into(),
                String::new(),
                (Hash::Sha256, Encoding::Hex),
                None,
                &secrets(&[secret]),
            )))
        };
        let sent = request(&[("X-Keycloak-Signature", signature)], &body);
        assert_eq!(judged_at(&scheme(secret), &sent, 0), "ok", "{name}");
        assert_eq!(judged_at(&scheme("another"), &sent, 0), "wrong", "{name}");
        let changed = request(&[("X-Keycloak-Signature", signature)], &body[1..]);
        assert_eq!(judged_at(&scheme(secret), &changed, 0), "wrong", "{name}");
        seen += 1;
    }
    assert!(100 < seen, "{seen} signatures were found");
}

fn timed(time: &str, unit: &str) -> String {
    let key = Key::new(HMAC_SHA256, b"key");
    let tag = sign(&key, &[time.as_bytes(), b".", BODY].concat());
    format!("t={time},{unit}v1={}", to_hex(tag.as_ref()))
}

#[test]
fn a_signed_time_is_judged_by_its_tolerance() {
    let tolerance = Duration::from_mins(5);
    for (unit, time) in [(TimeUnit::Seconds, "1775000000"), (TimeUnit::Millis, "1775000000000")] {
        let form = (Hash::Sha256, Encoding::Hex);
        let scheme = hmac("", form, Some(Timestamped { unit, tolerance }));
        // Another unit's time would be far off.
        let sent = request(&[("x-signature", &timed(time, ""))], BODY);
        for (later, expected) in
            [(0, "ok"), (300_000, "ok"), (301_000, "old"), (-300_000, "ok"), (-301_000, "future")]
        {
            assert_eq!(judged_at(&scheme, &sent, later), expected, "{unit:?} {later}");
        }
        let spaced = timed(time, "").replace(',', ", ");
        check(&scheme, &[("x-signature", &spaced)], "ok");
        // A sender that changes its secret lists a signature for each.
        check(&scheme, &[("x-signature", &timed(time, "v1=00,v0=x,"))], "ok");
        let valid = timed(time, "");
        let signature = valid.rsplit('=').next().expect("a signature");
        for malformed in [
            signature.to_owned(),
            format!("v1={signature}"),
            format!("t={time}"),
            format!("t=,v1={signature}"),
            format!("t=-{time},v1={signature}"),
            format!("t={time},t={time},v1={signature}"),
            format!("t={time},v1=xyz"),
            format!("t=99999999999999999999,v1={signature}"),
            String::new(),
        ] {
            check(&scheme, &[("x-signature", &malformed)], "malformed");
        }
        let moved = format!("t=1{time},v1={signature}");
        check(&scheme, &[("x-signature", &moved)], "wrong");
        check(&scheme, &[], "missing");
    }
}

#[test]
fn the_signature_of_a_time_matches_those_of_zitadel_and_workos() {
    let tolerance = Duration::from_mins(5);
    let vector = |unit, key: &str| {
        let form = (Hash::Sha256, Encoding::Hex);
        let timestamped = Some(Timestamped { unit, tolerance });
        let secrets = secrets(&[key]);
        let scheme = Hmac::new("Signature".into(), String::new(), form, timestamped, &secrets);
        Verifier::new(Scheme::Hmac(scheme))
    };
    check(
        &vector(TimeUnit::Seconds, "zitadel-key"),
        &[(
            "signature",
            "t=1775000000,v1=9464ce2eff37a915ab0ba4a065f21989ed82d1b59b0e4823efb8fcaff9bdab24",
        )],
        "ok",
    );
    check(
        &vector(TimeUnit::Millis, "workos-key"),
        &[(
            "signature",
            "t=1775000000123, v1=174fc199bc147dda2c80391e46fc9b9a479188de71fb5e8c0a6347cd047be533",
        )],
        "ok",
    );
}

/// The example of the standard.
mod standard {
    pub(super) const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    pub(super) const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    pub(super) const TIME: i64 = 1_614_265_330;
    pub(super) const BODY: &[u8] = br#"{"test": 2432232314}"#;
    pub(super) const SIGNATURE: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
}

fn webhooks(texts: &[&str]) -> Verifier {
    let keys = secrets(texts);
    let keys = keys.iter().map(|secret| WebhookKey::parse(secret).expect("a key"));
    let tolerance = Duration::from_mins(5);
    Verifier::new(Scheme::StandardWebhooks(StandardWebhooks { keys: keys.collect(), tolerance }))
}

fn judged_webhook(
    scheme: &Verifier,
    family: &str,
    signature: &str,
    later_secs: i64,
) -> &'static str {
    let time = standard::TIME.to_string();
    let name = |part| format!("{family}-{part}");
    let (id_name, time_name, signature_name) = (name("id"), name("timestamp"), name("signature"));
    let headers = [(&*id_name, standard::ID), (&*time_name, &*time), (&*signature_name, signature)];
    let later = (standard::TIME + later_secs) * 1000 - NOW.as_millis();
    judged_at(scheme, &request(&headers, standard::BODY), later)
}

#[test]
fn the_example_of_standard_webhooks_is_right_under_both_names() {
    let scheme = webhooks(&[standard::SECRET]);
    for family in ["webhook", "svix", "Webhook"] {
        assert_eq!(judged_webhook(&scheme, family, standard::SIGNATURE, 0), "ok", "{family}");
    }
    let other = format!("v1,{}", "A".repeat(43) + "=");
    let valid = standard::SIGNATURE;
    for (list, expected) in [
        (format!("{other} {valid}"), "ok"),
        (format!("{other}, {valid}"), "ok"),
        (format!("{valid}, {other}"), "ok"),
        (format!("v2,whatever {valid}"), "ok"),
        (other, "wrong"),
        ("v2,whatever".to_owned(), "malformed"),
        ("v1".to_owned(), "malformed"),
        (valid[..20].to_owned(), "malformed"),
        (valid.replace("v1", "v1a"), "wrong"),
        (String::new(), "malformed"),
    ] {
        assert_eq!(judged_webhook(&scheme, "webhook", &list, 0), expected, "{list}");
    }
    assert_eq!(judged_webhook(&scheme, "webhook", valid, 301), "old");
    assert_eq!(judged_webhook(&scheme, "webhook", valid, -301), "future");
    let rotated = webhooks(&["whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", standard::SECRET]);
    assert_eq!(judged_webhook(&rotated, "webhook", valid, 0), "ok");
    check(&scheme, &[], "missing");
    check(&scheme, &[("webhook-signature", valid)], "missing");
}

#[test]
fn standard_webhooks_may_be_signed_with_ed25519() {
    let key = SigningKey::example(Algorithm::EdDsa);
    let jwk = serde_json::to_value(key.public_jwk()).expect("JSON");
    let point = URL_SAFE_NO_PAD.decode(jwk["x"].as_str().expect("a point")).expect("base64url");
    let public = format!("whpk_{}", base64::engine::general_purpose::STANDARD.encode(&point));
    let scheme = webhooks(&[&public]);
    let signed = format!("{}.{}.", standard::ID, standard::TIME);
    let signed = [signed.as_bytes(), standard::BODY].concat();
    let signature = key.sign(&signed).expect("it signs");
    let signature = base64::engine::general_purpose::STANDARD.encode(signature);
    assert_eq!(judged_webhook(&scheme, "webhook", &format!("v1a,{signature}"), 0), "ok");
    assert_eq!(judged_webhook(&scheme, "webhook", &format!("v1,{signature}"), 0), "wrong");
    assert_eq!(judged_webhook(&scheme, "webhook", standard::SIGNATURE, 0), "wrong");
}

#[test]
fn a_secret_that_is_no_key_of_standard_webhooks_is_refused_with_the_reason() {
    for (text, expected) in [
        ("whsec_###", WebhookKeyError::NotBase64),
        ("whsec_AAAA", WebhookKeyError::Short),
        ("whpk_AAAA", WebhookKeyError::NotAPoint),
        ("whsk_AAAA", WebhookKeyError::Private),
    ] {
        let found = WebhookKey::parse(&SharedSecret::new(text)).expect_err("no key");
        assert_eq!(found, expected, "{text}");
    }
    assert!(WebhookKey::parse(&SharedSecret::new(format!("v1,{}", standard::SECRET))).is_ok());
}

fn jwt(keys: JwtKeys, algorithms: &[&str]) -> Jwt {
    Jwt {
        place: TokenPlace::Authorization,
        keys,
        algorithms: algorithms.iter().map(|name| name.parse().expect("known")).collect(),
        issuer: Some("https://idp.example".into()),
        audience: Some("ssfd".into()),
        leeway: Duration::from_mins(1),
        requires_exp: true,
        body_hash: None,
        profile: JwtProfile::Any,
        authorization: Vec::new(),
    }
}

fn claims() -> Value {
    let now = NOW.as_secs();
    json!({"iss": "https://idp.example", "aud": "ssfd", "iat": now, "exp": now + 300})
}

fn with(change: Value) -> Value {
    let mut claims = claims();
    for (name, value) in change.as_object().expect("members") {
        claims[name] = value.clone();
    }
    claims
}

fn compact(header: &Value, claims: &Value, sign: impl Fn(&[u8]) -> Vec<u8>) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(header), part(claims));
    let signature = URL_SAFE_NO_PAD.encode(sign(signed.as_bytes()));
    format!("{signed}.{signature}")
}

/// A token by the key of a JWK Set, and that set.
fn public() -> (Arc<VerificationKeys>, impl Fn(&Value, &Value) -> String) {
    let key = SigningKey::example(Algorithm::Es256);
    let jwk = serde_json::to_value(key.public_jwk()).expect("JSON");
    let keys = VerificationKeys::from_json(json!({"keys": [jwk]}).to_string().as_bytes());
    let sign = move |header: &Value, claims: &Value| {
        let mut whole = json!({"alg": "ES256", "kid": jwk["kid"]});
        for (name, value) in header.as_object().expect("members") {
            whole[name] = value.clone();
        }
        compact(&whole, claims, |input| key.sign(input).expect("it signs"))
    };
    (Arc::new(keys.expect("a JWK Set")), sign)
}

#[test]
fn a_jwt_is_judged_by_key_algorithm_issuer_audience_and_time() {
    let (keys, sign) = public();
    let scheme = Verifier::new(Scheme::Jwt(Box::new(jwt(JwtKeys::Fixed(keys), &["ES256"]))));
    let bearer = |header: Value, claims: Value| format!("Bearer {}", sign(&header, &claims));
    let none = || json!({});
    let now = NOW.as_secs();
    for (name, header, claims, expected) in [
        ("good", none(), claims(), "ok"),
        ("aud list", none(), with(json!({"aud": ["other", "ssfd"]})), "ok"),
        ("leeway", none(), with(json!({"exp": now - 59})), "ok"),
        ("expired", none(), with(json!({"exp": now - 60})), "expired"),
        ("no exp", none(), with(json!({"exp": null})), "expired"),
        ("exp is text", none(), with(json!({"exp": "soon"})), "malformed"),
        ("not yet", none(), with(json!({"nbf": now + 61})), "future"),
        ("issued ahead", none(), with(json!({"iat": now + 61})), "future"),
        ("issuer", none(), with(json!({"iss": "https://other.example"})), "issuer"),
        ("no issuer", none(), with(json!({"iss": null})), "issuer"),
        ("audience", none(), with(json!({"aud": "other"})), "audience"),
        ("no audience", none(), with(json!({"aud": null})), "audience"),
        ("key", json!({"kid": "other"}), claims(), "unknown_key"),
        ("no key", json!({"kid": null}), claims(), "unknown_key"),
        ("none", json!({"alg": "none"}), claims(), "algorithm"),
        ("algorithm", json!({"alg": "RS256"}), claims(), "algorithm"),
        ("symmetric", json!({"alg": "HS256"}), claims(), "algorithm"),
        ("crit", json!({"crit": ["x"]}), claims(), "malformed"),
    ] {
        let sent = request(&[("authorization", &bearer(header, claims))], BODY);
        assert_eq!(judged_at(&scheme, &sent, 0), expected, "{name}");
    }
    let token = bearer(none(), claims());
    let mut parts: Vec<_> = token.split('.').map(str::to_owned).collect();
    parts[1] = URL_SAFE_NO_PAD.encode(with(json!({"sub": "other"})).to_string());
    check(&scheme, &[("authorization", &parts.join("."))], "wrong");
    for cut in ["Bearer a.b", "Bearer x", &token[..token.len() / 2], "Basic x"] {
        check(&scheme, &[("authorization", cut)], "malformed");
    }
    check(&scheme, &[], "missing");
}

#[test]
fn a_jwt_may_be_signed_with_a_secret() {
    let keys = || JwtKeys::Secrets(secrets(&["new", "old"]));
    let scheme = Verifier::new(Scheme::Jwt(Box::new(jwt(keys(), &["HS256"]))));
    let token = |alg: &str, secret: &str| {
        let key = Key::new(HMAC_SHA256, secret.as_bytes());
        let signed = |input: &[u8]| sign(&key, input).as_ref().to_vec();
        format!("Bearer {}", compact(&json!({"alg": alg}), &claims(), signed))
    };
    check(&scheme, &[("authorization", &token("HS256", "new"))], "ok");
    check(&scheme, &[("authorization", &token("HS256", "old"))], "ok");
    check(&scheme, &[("authorization", &token("HS256", "other"))], "wrong");
    check(&scheme, &[("authorization", &token("HS512", "new"))], "algorithm");
    check(&scheme, &[("authorization", &token("none", "new"))], "algorithm");
}

#[test]
fn a_jwt_is_found_wherever_it_is() {
    let (keys, sign) = public();
    let token = sign(&json!({}), &claims());
    let scheme = |place| {
        let jwt = Jwt { place, ..jwt(JwtKeys::Fixed(Arc::clone(&keys)), &["ES256"]) };
        Verifier::new(Scheme::Jwt(Box::new(jwt)))
    };
    let at = |place, headers: &[(&str, &str)], body: &str| {
        judged_at(&scheme(place), &request(headers, body.as_bytes()), 0)
    };
    assert_eq!(at(TokenPlace::Header("X-Jwt".into()), &[("x-jwt", &token)], ""), "ok");
    assert_eq!(at(TokenPlace::Body, &[], &format!("{token}\n")), "ok");
    assert_eq!(at(TokenPlace::Body, &[], ""), "missing");
    let form = |field: &str| TokenPlace::Form(field.to_owned());
    assert_eq!(at(form("logout_token"), &[], &format!("a=b&logout_token={token}")), "ok");
    assert_eq!(at(form("logout_token"), &[], "a=b"), "missing");
    let twice = format!("logout_token={token}&logout_token={token}");
    assert_eq!(at(form("logout_token"), &[], &twice), "repeated");
}

#[test]
fn a_jwt_about_another_body_is_refused() {
    let (keys, sign) = public();
    // The SHA-256 of the body, in hexadecimal digits and in base64.
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, BODY);
    let (hex, base64) =
        (to_hex(hash.as_ref()), base64::engine::general_purpose::STANDARD.encode(hash.as_ref()));
    for (encoding, right, other) in
        [(Encoding::Hex, &hex, &base64), (Encoding::Base64, &base64, &hex)]
    {
        let body_hash = Some(BodyHash { claim: "request_body_sha256".into(), encoding });
        let jwt = Jwt { body_hash, ..jwt(JwtKeys::Fixed(Arc::clone(&keys)), &["ES256"]) };
        let scheme = Verifier::new(Scheme::Jwt(Box::new(jwt)));
        let token = |hash: Value| {
            let claims = with(json!({"request_body_sha256": hash}));
            format!("Bearer {}", sign(&json!({}), &claims))
        };
        check(&scheme, &[("authorization", &token(json!(right)))], "ok");
        check(&scheme, &[("authorization", &token(json!(other)))], "body");
        check(&scheme, &[("authorization", &token(json!(null)))], "body");
        let sent = request(&[("authorization", &token(json!(right)))], br#"{"a":2}"#);
        assert_eq!(judged_at(&scheme, &sent, 0), "body");
    }
}

#[test]
fn the_state_of_a_subscription_is_in_each_record_or_in_a_header() {
    let secrets = || secrets(&["new", "old"]);
    let place = StatePlace::Record("/clientState".into());
    let scheme = Verifier::new(Scheme::ClientState(ClientState { place, secrets: secrets() }));
    assert!(scheme.judges_records());
    check(&scheme, &[], "ok");
    for (record, expected) in [
        (json!({"clientState": "new"}), Ok(())),
        (json!({"clientState": "old"}), Ok(())),
        (json!({"clientState": "other"}), Err(Refusal::Wrong)),
        (json!({"clientState": null}), Err(Refusal::Missing)),
        (json!({"clientState": 7}), Err(Refusal::Malformed)),
        (json!({}), Err(Refusal::Missing)),
        (json!("new"), Err(Refusal::Missing)),
    ] {
        assert_eq!(scheme.verify_record(&record), expected, "{record}");
    }
    let place = StatePlace::Header("X-Goog-Channel-Token".into());
    let scheme = Verifier::new(Scheme::ClientState(ClientState { place, secrets: secrets() }));
    assert!(!scheme.judges_records());
    check(&scheme, &[("x-goog-channel-token", "old")], "ok");
    check(&scheme, &[("x-goog-channel-token", "other")], "wrong");
    check(&scheme, &[], "missing");
}

#[test]
fn a_fingerprint_counts_only_from_a_trusted_proxy() {
    let print = "ab".repeat(32);
    let scheme = |networks: &[&str]| {
        let trusted = networks.iter().map(|network| network.parse().expect("a network"));
        let prints = [print.clone()];
        let (header, trusted_proxies) = ("X-Client".to_owned(), trusted.collect());
        let shown = CertificateShown::ToProxy { header, trusted_proxies };
        let certificate = Certificate::new(shown, &prints, Vec::new());
        Verifier::new(Scheme::Certificate(certificate.expect("a fingerprint")))
    };
    let ours = scheme(&["10.0.0.0/8"]);
    check(&ours, &[("x-client", &print)], "ok");
    check(&ours, &[("x-client", &print.to_uppercase())], "ok");
    let colons: Vec<_> = (0..32).map(|_| "AB").collect();
    check(&ours, &[("x-client", &colons.join(":"))], "ok");
    check(&ours, &[("x-client", &"cd".repeat(32))], "wrong");
    check(&ours, &[("x-client", "ab")], "malformed");
    check(&ours, &[("x-client", "")], "malformed");
    check(&ours, &[], "missing");
    check(&scheme(&[]), &[("x-client", &print)], "untrusted_proxy");
    check(&scheme(&["192.0.2.0/24"]), &[("x-client", &print)], "untrusted_proxy");
    let short = Certificate::new(CertificateShown::ToListener, &["short".into()], Vec::new());
    assert!(short.is_err());
}

#[test]
fn a_certificate_of_the_connection_counts_by_fingerprint_or_name() {
    let name = |text: &str| SubjectName::written(text).expect("a name");
    let shown = |byte: u8, names: &[&str]| {
        let (fingerprint, names) = (vec![byte; 32], names.iter().copied().map(name).collect());
        Some(Arc::new(ClientCertificate { fingerprint, names }))
    };
    let (print, uri) = ("ab".repeat(32), "spiffe://corp.example/idp");
    let scheme = |prints: &[String], names: &[&str]| {
        let names = names.iter().copied().map(name).collect();
        let certificate = Certificate::new(CertificateShown::ToListener, prints, names);
        Verifier::new(Scheme::Certificate(certificate.expect("fingerprints")))
    };
    let by_print = scheme(std::slice::from_ref(&print), &[]);
    let by_name = scheme(&[], &["idp.corp.example", uri]);
    let by_both = scheme(std::slice::from_ref(&print), &["idp.corp.example"]);
    for (scheme, certificate, expected) in [
        (&by_print, None, "missing"),
        (&by_print, shown(0xab, &[]), "ok"),
        (&by_print, shown(0xcd, &["idp.corp.example"]), "wrong"),
        (&by_name, shown(0xab, &[]), "wrong"),
        (&by_name, shown(0xab, &["other.example", "IDP.corp.example"]), "ok"),
        (&by_name, shown(0xab, &[uri]), "ok"),
        (&by_name, shown(0xab, &["sub.idp.corp.example"]), "wrong"),
        (&by_both, shown(0xab, &[]), "ok"),
        (&by_both, shown(0xcd, &["idp.corp.example"]), "ok"),
        (&by_both, shown(0xcd, &["other.example"]), "wrong"),
    ] {
        // A header that a client made up counts for nothing.
        let request = SourceRequest { certificate, ..request(&[("x-client", &print)], BODY) };
        let shown = &request.certificate;
        assert_eq!(judged_at(scheme, &request, 0), expected, "{shown:?}");
    }
}

#[test]
fn a_secret_is_never_printed() {
    let secret = SharedSecret::new("hush");
    assert_eq!(format!("{secret:?}"), "[redacted]");
    let key = WebhookKey::parse(&SharedSecret::new(standard::SECRET)).expect("a key");
    assert_eq!(format!("{key:?}"), "[redacted]");
    let headers = Headers::new([("Authorization".to_owned(), b"hush".to_vec())]);
    assert!(!format!("{headers:?}").contains("hush"));
}
