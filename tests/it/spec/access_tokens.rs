//! Access tokens of an authorization server (RFC 9068, RFC 7662), and the metadata by which a
//! client finds the server (RFC 9728).

use std::{collections::HashMap, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hyper::{
    Method,
    header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE},
};
use serde_json::{Value, json};
use ssfd::clock;

use crate::{
    harness::{
        authorization_server::{
            Key, active, asking, assert_token_refused, claims, json_reply, trusting, unsigned,
        },
        daemon::{Daemon, ISSUER, PROVIDER},
        events::SESSION_REVOKED,
        http_client::{Call, get},
        streams::by_poll,
    },
    scripted_server::Reply,
};

/// RFC 9068 §4: each claim and header is wrong by itself, on an otherwise valid token.
#[actix_web::test]
async fn auth_03_a_forged_or_expired_token_or_one_for_another_audience_is_invalid() {
    let key = Key::new();
    let (daemon, _server) = trusting(&key).await;
    let now = clock::now().as_secs();
    let refused = async |token: &str, why: &str| {
        assert_token_refused(&daemon.list_with(token).await, why);
    };
    daemon.list_with(&key.token()).await.expect(200);

    for claim in ["iss", "exp", "aud", "sub", "client_id", "iat", "jti"] {
        refused(&key.token_with(claim, None), &format!("`{claim}` is missing")).await;
    }
    for (claim, value, why) in [
        ("iss", json!("https://as.example/"), "`iss`"),
        ("iss", json!("https://evil.example"), "`iss`"),
        ("aud", json!("https://other.example"), "`aud`"),
        ("aud", json!("https://tx.example"), "`aud`"),
        ("exp", json!(now - 60), "has expired"),
        ("nbf", json!(now + 120), "not valid yet"),
        ("exp", json!(now + 7200), "longer than allowed"),
        ("scope", json!(7), "`scope`"),
        ("cnf", json!({"jkt": "x"}), "`cnf`"),
    ] {
        refused(&key.token_with(claim, Some(value)), why).await;
    }
    // The signature of another key under the server's `kid`, and a changed signature.
    let other = Key::new();
    refused(&other.sign(&key.header(), &claims()), "does not verify").await;
    // This key may be newer than the keys that were fetched a moment ago.
    daemon.list_with(&other.token()).await.expect(503);
    let token = key.token();
    let (head, _) = token.rsplit_once('.').expect("a JWT");
    refused(&format!("{head}."), "does not verify").await;
    refused(head, "refused").await;
    let (_, signature) = token.rsplit_once('.').expect("a JWT");
    let mut raised = claims();
    raised["scope"] = "ssf.manage ssf.read".into();
    let swapped = format!("{}.{signature}", unsigned(&key.header(), &raised));
    refused(&swapped, "does not verify").await;
}

/// Neither the type nor the content of a SET is that of a token (RFC 9068 §4, RFC 8417 §4.2).
#[actix_web::test]
async fn auth_06_a_token_needs_the_typ_of_a_token_and_a_set_is_not_accepted() {
    let key = Key::new();
    let (daemon, _server) = trusting(&key).await;
    let typed = |typ: &str| {
        let mut header = key.header();
        header["typ"] = typ.into();
        key.sign(&header, &claims())
    };
    for typ in ["at+jwt", "application/at+jwt"] {
        daemon.list_with(&typed(typ)).await.expect(200);
    }
    for typ in ["JWT", "secevent+jwt", "application/secevent+jwt", "logout+jwt", ""] {
        assert_token_refused(&daemon.list_with(&typed(typ)).await, "`typ`");
    }
    let mut untyped = key.header();
    untyped.as_object_mut().expect("an object").remove("typ");
    assert_token_refused(&daemon.list_with(&key.sign(&untyped, &claims())).await, "`typ`");
    let events = key.token_with("events", Some(json!({SESSION_REVOKED: {}})));
    assert_token_refused(&daemon.list_with(&events).await, "`events`");

    // The token is a SET that the daemon itself has signed.
    let token = key.token();
    let id = daemon.create_stream(&token, by_poll()).await;
    daemon.verify_stream(&token, &id, "n-1").await.expect(204);
    let polled = daemon.poll(&token, &id, &json!({})).await.expect(200).json();
    let sets = polled["sets"].as_object().expect("an object");
    let set = sets.values().next().and_then(Value::as_str).expect("a SET");
    assert_token_refused(&daemon.list_with(set).await, "`typ`");
}

/// RFC 7662 §2.1, §2.2, §4.
#[actix_web::test]
async fn auth_08_an_introspection_response_is_cached_and_without_one_no_token_is_valid() {
    let (daemon, server, _folder) = asking(json_reply(&active()), |settings| {
        settings.introspection.cache_for = Duration::from_hours(1);
    })
    .await;
    let stream = daemon.create_with("opaque&1").await.expect(201).json();
    assert_eq!(stream["aud"], "https://rx.example");
    assert_eq!(daemon.list_with("opaque&1").await.expect(200).json(), json!([stream]));
    let seen = server.seen();
    assert_eq!(seen.len(), 1, "the response is cached");
    assert_eq!((&seen[0].method, seen[0].target.as_str()), (&Method::POST, "/introspect"));
    let form: HashMap<_, _> = url::form_urlencoded::parse(&seen[0].body).into_owned().collect();
    let expected = [("token", "opaque&1"), ("token_type_hint", "access_token")];
    assert_eq!(form, expected.map(|(name, value)| (name.into(), value.into())).into());
    let shown = seen[0].headers["authorization"].to_str().expect("text");
    let pair = STANDARD.decode(shown.strip_prefix("Basic ").expect("Basic")).expect("base64");
    assert_eq!(pair, b"ssfd+at+home:s%3A3+cret", "each part is encoded as in a form");

    // A response about one token says nothing about another token.
    server.answer(Reply::status(500));
    let answer = daemon.list_with("opaque-2").await.expect(503);
    assert!(answer.headers.contains_key(RETRY_AFTER));
    daemon.list_with("opaque&1").await.expect(200);
    for reply in [Reply::Nothing, Reply::full(200, &[], "[]"), Reply::full(302, &[], "")] {
        server.answer(reply);
        daemon.list_with("opaque-2").await.expect(503);
    }
    server.answer(json_reply(&active()));
    daemon.list_with("opaque-2").await.expect(200);
}

/// The test follows the links like a client, from the challenge to the token endpoint (RFC 9728
/// §3.1, §5.1).
#[actix_web::test]
async fn auth_09_a_challenge_leads_to_the_resource_metadata_and_to_the_authorization_server() {
    let daemon = Daemon::start().await;
    let listed = get(&daemon.provider_url(PROVIDER, "/ssf/streams")).send().await.expect(401);
    let challenge = listed.header(WWW_AUTHENTICATE);
    let url = challenge.strip_prefix(r#"Bearer realm="ssf", resource_metadata=""#);
    let url = url.and_then(|rest| rest.strip_suffix('"')).expect("nothing else, and no `error`");
    let below = |url: &str| {
        let path = url.strip_prefix("https://tx.example").expect("below the issuer's origin");
        daemon.public_url(path)
    };
    let resource = get(&below(url)).send().await.expect(200);
    assert_eq!(resource.header(CONTENT_TYPE), "application/json");
    assert_eq!(resource.header(CACHE_CONTROL), "public, max-age=3600");
    assert_eq!(
        resource.json(),
        json!({
            "resource": ISSUER,
            "authorization_servers": [ISSUER],
            "scopes_supported": ["ssf.read", "ssf.manage"],
            "bearer_methods_supported": ["header"],
        })
    );
    let server = daemon.public_url("/.well-known/oauth-authorization-server/t/acme");
    let server = get(&server).send().await.expect(200);
    let server = server.json();
    assert_eq!(server["issuer"], ISSUER);
    assert_eq!(server["grant_types_supported"], json!(["client_credentials"]));
    let endpoint = server["token_endpoint"].as_str().expect("a URL");
    Call::new(Method::POST, &below(endpoint)).send().await.expect(400);
}
