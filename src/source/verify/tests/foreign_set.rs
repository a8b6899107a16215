//! SETs of another Transmitter: every defect by itself.

use super::{tokens::Sender, *};
use crate::source::set::{self, SetFault};

const EVENT: &str = "https://schemas.openid.net/secevent/caep/event-type/session-revoked";
const OURS: &str = "https://tx.example";

fn rules() -> ForeignSet {
    ForeignSet { own_issuers: vec!["https://other.example".into(), OURS.into()] }
}

/// A Transmitter that pushes SETs.
fn transmitter() -> Sender<impl Fn(&Value, &Value) -> String> {
    let (keys, sign) = public();
    let jwt = Jwt {
        place: TokenPlace::Body,
        requires_exp: false,
        profile: JwtProfile::Set(rules()),
        ..jwt(JwtKeys::Fixed(keys), &["ES256", "RS256"])
    };
    let claims = json!({
        "iss": "https://idp.example", "aud": "ssfd", "iat": NOW.as_secs(), "jti": "t-1",
        "txn": "x-1", "sub_id": {"format": "opaque", "id": "kim"}, "events": {EVENT: {}},
    });
    let scheme = Verifier::new(Scheme::Jwt(Box::new(jwt)));
    let wrap =
        |token: &str| request(&[("content-type", "application/secevent+jwt")], token.as_bytes());
    Sender { scheme, sign, typ: "secevent+jwt", claims, wrap }
}

/// Each claim with the reason if it is missing, and if it has another type.
const REQUIRED: [(&str, &str, &str); 6] = [
    ("iss", "issuer", "claim"),
    ("aud", "audience", "audience"),
    ("iat", "claim", "malformed"),
    ("jti", "claim", "claim"),
    ("sub_id", "claim", "claim"),
    ("events", "claim", "claim"),
];

#[test]
fn a_set_has_every_claim_that_it_must_have() {
    transmitter().check_required(&REQUIRED);
}

#[test]
fn no_other_algorithm_and_no_extension_passes() {
    transmitter().check_signatures();
}

#[test]
fn the_type_of_a_set_is_its_own() {
    let transmitter = transmitter();
    for typ in ["secevent+jwt", "SecEvent+JWT", "application/secevent+jwt"] {
        transmitter.check_type(json!(typ), "ok");
    }
    for typ in ["JWT", "at+jwt", "logout+jwt", "", "secevent", "text/secevent+jwt"] {
        transmitter.check_type(json!(typ), "type");
    }
    for typ in [Value::Null, json!(7), json!(["secevent+jwt"])] {
        transmitter.check_type(typ, "type");
    }
}

/// A SET needs no `exp`, and one that was sent late is as old as it is.
#[test]
fn a_set_may_be_old_and_not_of_a_time_ahead() {
    let (transmitter, now) = (transmitter(), NOW.as_secs());
    for (name, value, expected) in [
        ("iat", now - 6 * 24 * 3600, "ok"),
        ("iat", now + 60, "ok"),
        ("iat", now + 61, "future"),
        ("exp", now + 60, "ok"),
        ("exp", now - 61, "expired"),
    ] {
        transmitter.check_claim(name, Some(json!(value)), expected);
    }
}

#[test]
fn a_set_has_one_event_or_several() {
    let transmitter = transmitter();
    let other = "https://idp.example/event";
    for (events, expected) in [
        (json!({EVENT: {}}), "ok"),
        (json!({EVENT: {"initiating_entity": "user"}, other: {}}), "ok"),
        (json!({"urn:ietf:params:scim:event:prov:delete": {}}), "ok"),
        // A Transmitter was seen that writes `null` for a payload without members.
        (json!({EVENT: null}), "ok"),
        (json!({}), "claim"),
        (json!({EVENT: []}), "claim"),
        (json!({EVENT: "x"}), "claim"),
        (json!({EVENT: {}, other: 7}), "claim"),
        (json!({"": {}}), "claim"),
        (json!({"session-revoked": {}}), "claim"),
        (json!([EVENT]), "claim"),
        (json!(EVENT), "claim"),
    ] {
        transmitter.check_claim("events", Some(events), expected);
    }
}

#[test]
fn the_subject_is_in_sub_id_or_in_sub() {
    let transmitter = transmitter();
    let mut claims = transmitter.claims.clone();
    claims.as_object_mut().expect("claims").remove("sub_id");
    transmitter.check(&json!({}), &claims, "claim");
    for (sub, expected) in [
        (json!("kim"), "ok"),
        (json!(""), "claim"),
        (json!(7), "claim"),
        (json!({"format": "opaque"}), "claim"),
        (Value::Null, "claim"),
    ] {
        claims["sub"] = sub;
        transmitter.check(&json!({}), &claims, expected);
    }
    for sub_id in [json!({"format": ""}), json!({"format": 7}), json!({"id": "kim"})] {
        transmitter.check_claim("sub_id", Some(sub_id), "claim");
    }
}

/// The claims that are returned are those that mappings read.
#[tokio::test]
async fn the_claims_of_a_set_have_sub_id_and_payloads() {
    let transmitter = transmitter();
    let mut claims = transmitter.claims.clone();
    claims.as_object_mut().expect("claims").remove("sub_id");
    (claims["sub"], claims["events"]) = ("kim".into(), json!({EVENT: null, "urn:x:y": {"a": 1}}));
    let token = transmitter.token(&json!({}), &claims);
    let found = set::judge(&token, &transmitter.scheme, NOW).await.expect("good");
    let subject = json!({"format": "iss_sub", "iss": "https://idp.example", "sub": "kim"});
    assert_eq!(found["sub_id"], subject);
    assert_eq!(found["events"], json!({EVENT: {}, "urn:x:y": {"a": 1}}));
    assert_eq!(found["txn"], "x-1");
    // Another subject beside it stays as it is.
    claims["sub_id"] = json!({"format": "opaque", "id": "k-1"});
    let token = transmitter.token(&json!({}), &claims);
    let found = set::judge(&token, &transmitter.scheme, NOW).await.expect("good");
    assert_eq!(found["sub_id"], claims["sub_id"]);
}

/// A SET of ours is refused before its key is looked for, because nobody else has the key.
#[test]
fn a_set_of_ours_is_refused_whatever_signed_it() {
    let transmitter = transmitter();
    for issuer in &rules().own_issuers {
        let mut claims = transmitter.claims.clone();
        claims["iss"] = json!(issuer);
        transmitter.check(&json!({}), &claims, "own_issuer");
        transmitter.check(&json!({"kid": "ours"}), &claims, "own_issuer");
        transmitter.check(&json!({"alg": "none"}), &claims, "own_issuer");
    }
    let near = format!("{OURS}/a");
    transmitter.check_claim("iss", Some(json!(near)), "issuer");
}

#[test]
fn the_media_type_is_that_of_a_set() {
    let transmitter = transmitter();
    let token = transmitter.token(&json!({}), &transmitter.claims);
    let with = |headers: &[(&str, &str)]| {
        judged_at(&transmitter.scheme, &request(headers, token.as_bytes()), 0)
    };
    for good in
        ["application/secevent+jwt", "Application/SecEvent+JWT", "application/secevent+jwt; x=y"]
    {
        assert_eq!(with(&[("content-type", good)]), "ok", "{good}");
    }
    for bad in ["application/json", "application/jwt", "", "secevent+jwt", "text/plain"] {
        assert_eq!(with(&[("content-type", bad)]), "media_type", "{bad}");
    }
    assert_eq!(with(&[]), "media_type");
    let twice = [("content-type", "application/secevent+jwt"); 2];
    assert_eq!(with(&twice), "media_type");
}

#[test]
fn a_secret_may_be_agreed_on_beside_the_signature() {
    let transmitter = transmitter();
    let token = transmitter.token(&json!({}), &transmitter.claims);
    let Scheme::Jwt(jwt) = transmitter.scheme.scheme else { panic!("a JWT") };
    let authorization = secrets(&["Bearer new", "Bearer old"]);
    let scheme = Verifier::new(Scheme::Jwt(Box::new(Jwt { authorization, ..*jwt })));
    let media_type = ("content-type", "application/secevent+jwt");
    let with = |value: &str, token: &str| {
        judged_at(&scheme, &request(&[media_type, ("authorization", value)], token.as_bytes()), 0)
    };
    assert_eq!(with("Bearer new", &token), "ok");
    assert_eq!(with("Bearer old", &token), "ok");
    for wrong in ["new", "bearer new", "Bearer other", "", "Bearer new, Bearer old"] {
        assert_eq!(with(wrong, &token), "authorization", "{wrong}");
    }
    let none = request(&[media_type], token.as_bytes());
    assert_eq!(judged_at(&scheme, &none, 0), "authorization");
    let twice = [media_type, ("authorization", "Bearer new"), ("authorization", "Bearer new")];
    assert_eq!(judged_at(&scheme, &request(&twice, token.as_bytes()), 0), "authorization");
    // The secret does not stand for the signature.
    assert_eq!(with("Bearer new", "no-token"), "malformed");
}

#[test]
fn each_fault_has_its_code_and_none_is_the_senders_if_keys_are_away() {
    for (refusal, code) in [
        (Refusal::Missing, Some("invalid_request")),
        (Refusal::Malformed, Some("invalid_request")),
        (Refusal::Type, Some("invalid_request")),
        (Refusal::MediaType, Some("invalid_request")),
        (Refusal::Claim("jti"), Some("invalid_request")),
        (Refusal::Future, Some("invalid_request")),
        (Refusal::Wrong, Some("invalid_key")),
        (Refusal::UnknownKey, Some("invalid_key")),
        (Refusal::Algorithm, Some("invalid_key")),
        (Refusal::Issuer, Some("invalid_issuer")),
        (Refusal::OwnIssuer, Some("invalid_issuer")),
        (Refusal::Audience, Some("invalid_audience")),
        (Refusal::Authorization, Some("authentication_failed")),
        (Refusal::Unavailable { retry_after: Duration::ZERO }, None),
    ] {
        let error = SetFault(refusal).error();
        assert_eq!(error.as_ref().map(|error| &*error.err), code, "{refusal:?}");
        let described = error.is_none_or(|error| error.description == refusal.to_string());
        assert!(described, "{refusal:?}");
    }
}

#[test]
fn a_set_is_taken_apart_by_its_events() {
    let mut claims = transmitter().claims;
    let control = |name: &str| format!("https://schemas.openid.net/secevent/ssf/event-type/{name}");
    let [verification, updated] = ["verification", "stream-updated"].map(control);
    claims["events"] = json!({
        EVENT: {"a": 1}, "urn:x:y": {}, verification.clone(): {"state": "s"}, updated.clone(): {},
    });
    let Value::Object(claims) = claims else { panic!("claims") };
    let records = set::records(&claims);
    let events: Vec<_> = records.iter().map(|record| &record["events"]).collect();
    assert_eq!(events, [&json!({EVENT: {"a": 1}}), &json!({"urn:x:y": {}})]);
    assert!(records.iter().all(|record| record["jti"] == "t-1" && record["txn"] == "x-1"));
    let control: Vec<_> = set::control_events(&claims).map(|(uri, _)| uri.as_str()).collect();
    assert_eq!(control, [updated, verification]);
}
