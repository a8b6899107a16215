//! The rules of access tokens, case by case.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::json;

use super::*;

const NOW: i64 = 1_775_000_000;

fn expectations() -> Expectations {
    Expectations {
        issuer: "https://as.example".into(),
        audience: "https://tx.example".into(),
        audience_optional: false,
        algorithms: vec![JwsAlgorithm::Rs256, JwsAlgorithm::Es256, JwsAlgorithm::EdDsa],
        leeway: Duration::from_secs(30),
        lifetime_max: Duration::from_hours(1),
        client_claim: "client_id".into(),
        require: Requirements::new(),
        require_of: BTreeMap::new(),
    }
}

fn required(claim: &str, pattern: &str) -> Requirements {
    BTreeMap::from([(claim.to_owned(), pattern.to_owned().try_into().expect("not empty"))])
}

fn now() -> Timestamp {
    Timestamp::from_millis(NOW * 1000)
}

fn claims() -> Value {
    json!({
        "iss": "https://as.example", "aud": "https://tx.example", "sub": "rx",
        "client_id": "rx", "jti": "t-1", "iat": NOW - 10, "exp": NOW + 600,
        "scope": "openid ssf.read",
    })
}

fn with(member: &str, value: Value) -> Map<String, Value> {
    let mut claims = claims();
    claims[member] = value;
    claims.as_object().expect("an object").clone()
}

#[track_caller]
fn judges(member: &str, value: Value, expected: Result<(), TokenFault>) {
    let found = expectations().judge(&with(member, value), now());
    assert_eq!(found.map(drop), expected, "{member}");
}

/// AUTH-03
#[test]
fn a_token_is_taken_if_all_of_it_is_right() {
    let bearer = expectations().judge(claims().as_object().expect("an object"), now());
    let expires_at = Some(Timestamp::from_millis((NOW + 600) * 1000));
    let expected = Bearer { client: "rx".into(), scopes: vec![Scope::Read], expires_at };
    assert_eq!(bearer, Ok(expected));
    judges("aud", json!(["https://other.example", "https://tx.example"]), Ok(()));
    judges("exp", json!(2.5), Err(TokenFault::Expired));
    judges("iat", json!(1_774_999_999.5), Ok(()));
}

/// AUTH-03, AUTH-06
#[test]
fn a_missing_or_wrong_claim_is_named() {
    for name in ["iss", "exp", "aud", "sub", "client_id", "iat", "jti"] {
        let mut claims = claims();
        claims.as_object_mut().expect("an object").remove(name);
        let found = expectations().judge(claims.as_object().expect("an object"), now());
        assert_eq!(found, Err(TokenFault::Claim(name)));
    }
    judges("iss", json!("https://as.example/"), Err(TokenFault::Issuer));
    judges("iss", json!(["https://as.example"]), Err(TokenFault::Issuer));
    judges("aud", json!("https://tx.example/"), Err(TokenFault::Audience));
    judges("aud", json!([]), Err(TokenFault::Audience));
    judges("aud", json!(7), Err(TokenFault::Claim("aud")));
    judges("sub", json!(""), Err(TokenFault::Claim("sub")));
    judges("exp", json!("soon"), Err(TokenFault::Claim("exp")));
    judges("scope", json!(7), Err(TokenFault::Claim("scope")));
    judges("scope", json!(["ssf.read", 7]), Err(TokenFault::Claim("scope")));
    judges("events", json!({}), Err(TokenFault::Events));
    judges("cnf", json!({"jkt": "x"}), Err(TokenFault::Bound));
}

#[test]
fn the_leeway_covers_the_difference_of_clocks_and_no_more() {
    judges("exp", json!(NOW - 29), Ok(()));
    judges("exp", json!(NOW - 30), Err(TokenFault::Expired));
    judges("nbf", json!(NOW + 30), Ok(()));
    judges("nbf", json!(NOW + 31), Err(TokenFault::NotYet));
    judges("iat", json!(NOW + 31), Err(TokenFault::NotYet));
    judges("nbf", json!("soon"), Err(TokenFault::Claim("nbf")));
}

/// CAEP-IOP §2.7.1
#[test]
fn a_token_that_lives_too_long_is_refused() {
    judges("exp", json!(NOW - 10 + 3600), Ok(()));
    judges("exp", json!(NOW - 10 + 3601), Err(TokenFault::TooLong));
    judges("exp", json!(u64::MAX), Err(TokenFault::TooLong));
    let mut backdated = with("exp", json!(NOW - 10 + 3600));
    backdated.insert("nbf".into(), json!(NOW - 300));
    assert!(expectations().judge(&backdated, now()).is_ok());
}

#[test]
fn the_client_may_stand_in_another_claim() {
    let expectations = Expectations { client_claim: "azp".into(), ..expectations() };
    let found = expectations.judge(&with("azp", json!("them")), now()).expect("taken");
    assert_eq!(found.client, "them");
    let found = expectations.judge(&with("azp", json!(7)), now());
    assert_eq!(found, Err(TokenFault::NoClient));
}

/// Keycloak names the client in `azp`, and has no `client_id` in the tokens of some clients.
#[test]
fn a_token_needs_no_client_id_if_its_client_stands_elsewhere() {
    let expectations = Expectations { client_claim: "azp".into(), ..expectations() };
    let mut claims = with("azp", json!("them"));
    claims.remove("client_id");
    assert_eq!(expectations.judge(&claims, now()).expect("taken").client, "them");
}

#[test]
fn scopes_are_a_list_or_an_array_under_either_name() {
    for (name, value) in [
        ("scope", json!("openid ssf.read")),
        ("scope", json!(["openid", "ssf.read"])),
        ("scp", json!("openid ssf.read")),
        ("scp", json!(["openid", "ssf.read"])),
    ] {
        let mut claims = with(name, value);
        if name == "scp" {
            claims.insert("scope".into(), Value::Null);
        }
        let bearer = expectations().judge(&claims, now()).expect("taken");
        assert_eq!(bearer.scopes, [Scope::Read], "{claims:?}");
    }
    let both = with("scp", json!(["ssf.manage"]));
    let bearer = expectations().judge(&both, now()).expect("taken");
    assert_eq!(bearer.scopes, [Scope::Read], "the registered name comes first");
}

/// The members that a token need not have. Each may be `null`.
const OPTIONAL: [&str; 9] =
    ["cnf", "scope", "scp", "nbf", "events", "token_use", "token_type", "typ", "x"];

#[test]
fn an_optional_member_that_is_null_is_absent() {
    for name in OPTIONAL {
        judges(name, Value::Null, Ok(()));
        answers(active(json!({ name: null })), Ok(()));
    }
    for name in ["iss", "exp"] {
        answers(active(json!({ name: null })), Ok(()));
        judges(name, Value::Null, Err(TokenFault::Claim(name)));
    }
    answers(active(json!({"aud": null})), Err(TokenFault::Claim("aud")));
}

#[test]
fn only_a_bearer_access_token_is_accepted() {
    for (name, values) in [
        ("token_use", ["access", "access_token", ""]),
        ("token_type", ["Bearer", "bearer", "access_token"]),
        ("typ", ["Bearer", "at+jwt", "JWT"]),
    ] {
        for value in values {
            judges(name, json!(value), Ok(()));
            answers(active(json!({ name: value })), Ok(()));
        }
        for value in [
            json!("refresh_token"),
            json!("Refresh"),
            json!("Offline"),
            json!("id_token"),
            json!("ID"),
            json!("DPoP"),
            json!("mac"),
            json!(7),
        ] {
            judges(name, value.clone(), Err(TokenFault::Kind(name)));
            answers(active(json!({ name: value })), Err(TokenFault::Kind(name)));
        }
    }
}

/// A client may also sign people in. Only the operator knows how a client's own token looks.
#[test]
fn a_token_must_have_the_claims_that_the_operator_requires() {
    let server =
        Expectations { require: required("username", "service-account-*"), ..expectations() };
    let client = Expectations {
        require_of: BTreeMap::from([("rx".to_owned(), required("username", "service-account-rx"))]),
        ..expectations()
    };
    let username = || Err(TokenFault::Requirement("username".into()));
    for (name, by_server, by_client) in [
        (json!("service-account-rx"), Ok(()), Ok(())),
        (json!("service-account-other"), Ok(()), username()),
        (json!("kim"), username(), username()),
        (Value::Null, username(), username()),
    ] {
        let answer = active(json!({ "username": name }));
        let answer = answer.as_object().expect("an object");
        let token = with("username", name.clone());
        for (expectations, expected) in [(&server, &by_server), (&client, &by_client)] {
            let judged = expectations.judge_answer(answer, now()).map(drop);
            assert_eq!(judged, *expected, "{name}");
            assert_eq!(expectations.judge(&token, now()).map(drop), *expected, "{name}");
        }
    }
    // The requirement for one client says nothing about another.
    let other = with("client_id", json!("other"));
    assert!(client.judge(&other, now()).is_ok());
}

#[test]
fn an_answer_without_an_audience_is_accepted_where_the_operator_says_so() {
    let optional = Expectations { audience_optional: true, ..expectations() };
    for (aud, expected) in [
        (Value::Null, Ok(())),
        (json!("https://tx.example"), Ok(())),
        (json!("https://other.example"), Err(TokenFault::Audience)),
        (json!([]), Err(TokenFault::Audience)),
    ] {
        let answer = active(json!({ "aud": aud }));
        let answer = answer.as_object().expect("an object");
        assert_eq!(optional.judge_answer(answer, now()).map(drop), expected, "{aud}");
        assert!(expectations().judge_answer(answer, now()).map(drop) == expected || aud.is_null());
    }
    // RFC 9068 §2.2 requires `aud` in a JWT.
    let found = optional.judge(&with("aud", Value::Null), now());
    assert_eq!(found, Err(TokenFault::Claim("aud")));
}

#[test]
fn each_fault_has_one_of_the_labels() {
    for fault in [
        TokenFault::NotCompact,
        TokenFault::Type,
        TokenFault::Algorithm,
        TokenFault::NoKeyId,
        TokenFault::Critical,
        TokenFault::UnknownKey,
        TokenFault::Signature,
        TokenFault::Events,
        TokenFault::Bound,
        TokenFault::Kind("typ"),
        TokenFault::Claim("sub"),
        TokenFault::Claim("aud"),
        TokenFault::NoClient,
        TokenFault::Requirement("username".into()),
        TokenFault::Issuer,
        TokenFault::Audience,
        TokenFault::Expired,
        TokenFault::NotYet,
        TokenFault::TooLong,
        TokenFault::Inactive,
    ] {
        assert!(TokenFault::LABELS.contains(&fault.label()), "{fault}");
    }
}

/// An answer about an active token, with these members besides.
fn active(more: Value) -> Value {
    let mut answer = json!({
        "active": true, "client_id": "rx", "aud": "https://tx.example", "scope": "ssf.read",
    });
    for (name, value) in more.as_object().expect("an object") {
        answer[name] = value.clone();
    }
    answer
}

#[track_caller]
fn answers(answer: Value, expected: Result<(), TokenFault>) {
    let answer = answer.as_object().expect("an object");
    assert_eq!(expectations().judge_answer(answer, now()).map(drop), expected);
}

/// AUTH-08
#[test]
fn an_introspection_answer_is_checked_like_a_token() {
    answers(active(json!({})), Ok(()));
    answers(active(json!({"iss": "https://as.example", "exp": NOW + 1})), Ok(()));
    answers(json!({"active": false}), Err(TokenFault::Inactive));
    answers(json!({}), Err(TokenFault::Inactive));
    answers(active(json!({"active": "true"})), Err(TokenFault::Inactive));
    answers(active(json!({"exp": NOW})), Err(TokenFault::Expired));
    answers(active(json!({"nbf": NOW + 31})), Err(TokenFault::NotYet));
    answers(active(json!({"iss": "https://other.example"})), Err(TokenFault::Issuer));
    answers(active(json!({"aud": "https://other.example"})), Err(TokenFault::Audience));
    answers(active(json!({"aud": null})), Err(TokenFault::Claim("aud")));
    answers(active(json!({"client_id": null})), Err(TokenFault::NoClient));
    answers(active(json!({"cnf": {}})), Err(TokenFault::Bound));
    answers(active(json!({"events": {}})), Err(TokenFault::Events));
}

#[track_caller]
fn header(header: Value, expected: Result<(), TokenFault>) {
    let encode = |json: &Value| URL_SAFE_NO_PAD.encode(json.to_string());
    let token = format!("{}.{}.c2ln", encode(&header), encode(&claims()));
    let found = Unverified::parse(&token, &expectations().algorithms);
    assert_eq!(found.map(drop), expected, "{header}");
}

/// AUTH-03, AUTH-06 (RFC 8725 §3.1, §3.11)
#[test]
fn only_the_header_of_an_access_token_is_accepted() {
    header(json!({"typ": "at+jwt", "alg": "RS256", "kid": "k"}), Ok(()));
    header(json!({"typ": "application/at+jwt", "alg": "ES256", "kid": "k"}), Ok(()));
    header(json!({"typ": "AT+JWT", "alg": "ES256", "kid": "k"}), Ok(()));
    header(json!({"typ": "at+jwt", "alg": "Ed25519", "kid": "k"}), Ok(()));
    for typ in ["JWT", "secevent+jwt", "at+jwt ", "id_token+jwt", ""] {
        header(json!({"typ": typ, "alg": "RS256", "kid": "k"}), Err(TokenFault::Type));
    }
    header(json!({"alg": "RS256", "kid": "k"}), Err(TokenFault::Type));
    for alg in ["none", "None", "HS256", "PS256", "rs256", ""] {
        header(json!({"typ": "at+jwt", "alg": alg, "kid": "k"}), Err(TokenFault::Algorithm));
    }
    header(json!({"typ": "at+jwt", "alg": "RS256"}), Err(TokenFault::NoKeyId));
    let critical = json!({"typ": "at+jwt", "alg": "RS256", "kid": "k", "crit": ["b64"]});
    header(critical, Err(TokenFault::Critical));
    for token in ["", "a.b", "a.b.c", "e30.e30", "e30", ".."] {
        assert!(Unverified::parse(token, &expectations().algorithms).is_err(), "{token}");
    }
}
