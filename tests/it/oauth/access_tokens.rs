//! JWT access tokens (RFC 9068): which are taken, and for whom.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hyper::header::WWW_AUTHENTICATE;
use jsonwebtoken::{Algorithm, EncodingKey, crypto};
use serde_json::{Value, json};
use ssfd::{
    auth::settings::{OauthSettings, UnlistedClients},
    clock,
    domain::grant::Scope,
};

use super::assert_invalid_token;
use crate::harness::{
    authorization_server::{AuthorizationServer, CLIENT, Key, claims, trust, unsigned},
    daemon::{Daemon, PROVIDER},
    events::SESSION_REVOKED,
    http_client::{get, post},
    streams::by_poll,
};

/// A daemon that trusts a server with one key.
async fn trusting(key: &Key) -> (Daemon, AuthorizationServer) {
    trusting_with(key, |_| {}).await
}

async fn trusting_with(
    key: &Key,
    change: impl FnOnce(&mut OauthSettings),
) -> (Daemon, AuthorizationServer) {
    let server = AuthorizationServer::publishing(&[key]).await;
    let mut settings = server.settings();
    change(&mut settings);
    (Daemon::with(|config| trust(config, settings)).await, server)
}

/// AUTH-01, AUTH-05, AUTH-07: over the life of a stream, polling included.
#[actix_web::test]
async fn an_access_token_opens_what_its_client_is_entitled_to() {
    for key in [Key::new(), Key::rsa()] {
        let (daemon, server) = trusting(&key).await;
        let token = key.token();
        let id = daemon.create_stream(&token, by_poll()).await;
        let url = daemon.provider_url(PROVIDER, &format!("/ssf/streams?stream_id={id}"));
        let stream = get(&url).bearer(&token).send().await.expect(200).json();
        assert_eq!(stream["aud"], "https://rx.example");
        // It is the Receiver's, whatever credential it shows.
        let static_token = daemon.receiver_token("rx", &[Scope::Read]).await;
        assert_eq!(daemon.list_with(&static_token).await.expect(200).json(), json!([stream]));
        let other = daemon.receiver_token("other", &[Scope::Read]).await;
        assert_eq!(daemon.list_with(&other).await.expect(200).json(), json!([]));
        daemon.poll(&token, &id, &json!({"returnImmediately": true})).await.expect(200);
        daemon.delete_stream(&token, &id).await.expect(204);
        assert_eq!(server.seen().len(), 1, "the keys were fetched once");
    }
}

/// AUTH-03, AUTH-06 (RFC 9068 §4): each claim and header by itself, on an otherwise valid token.
#[actix_web::test]
async fn auth_03_a_token_that_is_forged_expired_or_for_others_is_invalid() {
    let key = Key::new();
    let (daemon, _server) = trusting(&key).await;
    let now = clock::now().as_secs();
    let refused = async |token: &str, why: &str| {
        assert_invalid_token(&daemon.list_with(token).await, why);
    };
    daemon.list_with(&key.token()).await.expect(200);

    for claim in ["iss", "exp", "aud", "sub", "client_id", "iat", "jti"] {
        refused(&key.token_with(claim, None), &format!("`{claim}` is not there")).await;
    }
    for (claim, value, why) in [
        ("iss", json!("https://as.example/"), "`iss`"),
        ("iss", json!("https://evil.example"), "`iss`"),
        ("aud", json!("https://other.example"), "`aud`"),
        ("aud", json!("https://tx.example"), "`aud`"),
        ("exp", json!(now - 60), "has expired"),
        ("nbf", json!(now + 120), "not valid yet"),
        ("exp", json!(now + 7200), "lives longer"),
        ("scope", json!(["ssf.manage"]), "`scope`"),
        ("cnf", json!({"jkt": "x"}), "`cnf`"),
    ] {
        refused(&key.token_with(claim, Some(value)), why).await;
    }
    // Another's signature under the server's key, and a signature that was tampered with.
    let other = Key::new();
    refused(&other.sign(&key.header(), &claims()), "does not verify").await;
    refused(&other.token(), "`kid` names no key").await;
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

/// AUTH-03 (RFC 8725 §2.1, §2.2, §3.10): the token does not choose how it is verified.
#[actix_web::test]
async fn no_token_chooses_its_own_algorithm_or_key() {
    let key = Key::rsa();
    let (daemon, _server) = trusting(&key).await;
    let refused = async |token: &str, why: &str| {
        assert_invalid_token(&daemon.list_with(token).await, why);
    };
    let with = |member: &str, value: Value| {
        let mut header = key.header();
        header[member] = value;
        header
    };
    for alg in ["none", "None", "NONE", ""] {
        let unsigned = unsigned(&with("alg", alg.into()), &claims());
        refused(&format!("{unsigned}."), "`alg`").await;
        refused(&key.sign(&with("alg", alg.into()), &claims()), "`alg`").await;
    }
    // HMAC with what everybody can read for a secret: the modulus, and the whole JWK.
    let modulus =
        URL_SAFE_NO_PAD.decode(key.jwk["n"].as_str().expect("a string")).expect("base64url");
    for secret in [modulus, key.jwk.to_string().into_bytes()] {
        let signed = unsigned(&with("alg", "HS256".into()), &claims());
        let secret = EncodingKey::from_secret(&secret);
        let signature = crypto::sign(signed.as_bytes(), &secret, Algorithm::HS256).expect("signed");
        refused(&format!("{signed}.{signature}"), "`alg`").await;
    }
    // The attacker's key in the header, under its own name and under the server's.
    let theirs = Key::new();
    for kid in [&theirs.jwk["kid"], &key.jwk["kid"]] {
        let mut header = theirs.header();
        (header["kid"], header["jwk"]) = (kid.clone(), theirs.jwk.clone());
        header["jku"] = "https://evil.example/jwks".into();
        assert_eq!(daemon.list_with(&theirs.sign(&header, &claims())).await.status, 401);
    }
    refused(&key.sign(&with("alg", "RS512".into()), &claims()), "`alg`").await;
    refused(&key.sign(&with("alg", "PS256".into()), &claims()), "does not verify").await;
    refused(&key.sign(&with("crit", json!(["x"])), &claims()), "`crit`").await;
    refused(&key.sign(&with("kid", Value::Null), &claims()), "`kid`").await;
}

/// RFC 9068 §4, RFC 8417 §4.2: neither the type nor the content of a SET is that of a token.
#[actix_web::test]
async fn auth_06_a_token_needs_its_type_and_a_set_is_none() {
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
        assert_invalid_token(&daemon.list_with(&typed(typ)).await, "`typ`");
    }
    let mut untyped = key.header();
    untyped.as_object_mut().expect("an object").remove("typ");
    assert_invalid_token(&daemon.list_with(&key.sign(&untyped, &claims())).await, "`typ`");
    let events = key.token_with("events", Some(json!({SESSION_REVOKED: {}})));
    assert_invalid_token(&daemon.list_with(&events).await, "`events`");

    // A SET that the daemon itself has signed.
    let token = key.token();
    let id = daemon.create_stream(&token, by_poll()).await;
    daemon.verify_stream(&token, &id, "n-1").await.expect(204);
    let polled = daemon.poll(&token, &id, &json!({})).await.expect(200).json();
    let sets = polled["sets"].as_object().expect("an object");
    let set = sets.values().next().and_then(Value::as_str).expect("a SET");
    assert_invalid_token(&daemon.list_with(set).await, "`typ`");
}

/// AUTH-04, AUTH-05.
#[actix_web::test]
async fn a_scope_opens_what_both_the_server_and_the_operator_grant() {
    let key = Key::new();
    let (daemon, _server) = trusting_with(&key, |settings| {
        let mut reader = settings.clients[CLIENT].clone();
        reader.scopes = vec![Scope::Read];
        settings.clients.insert("reader".into(), reader);
    })
    .await;
    let scoped = |scope: &str| key.token_with("scope", Some(scope.into()));
    for (token, read, create) in [
        (scoped("ssf.manage"), 200, 201),
        (scoped("ssf.read"), 200, 403),
        (scoped("ssf.read ssf.manage.create"), 200, 201),
        (scoped("ssf.manage.create"), 403, 201),
        (scoped("ssf.manage.delete"), 403, 403),
        (scoped("openid"), 403, 403),
        (key.token_with("scope", None), 403, 403),
        (key.token_with("client_id", Some("reader".into())), 200, 403),
    ] {
        daemon.list_with(&token).await.expect(read);
        let answer = daemon.create_with(&token).await.expect(create);
        if create == 403 {
            let challenge = answer.header(WWW_AUTHENTICATE);
            // What the server can be asked for, not the finest that would do.
            let expected = r#"error="insufficient_scope", scope="ssf.manage""#;
            assert!(challenge.ends_with(expected), "{challenge}");
        }
    }
}

/// AUTH-07: a good token of somebody who is no Receiver is no bad token.
#[actix_web::test]
async fn a_client_that_is_not_listed_is_refused_or_a_receiver_of_its_own() {
    let key = Key::new();
    let stranger = key.token_with("client_id", Some("rx".into()));
    let (daemon, _server) = trusting(&key).await;
    let answer = daemon.list_with(&stranger).await.expect(403);
    let challenge = answer.header(WWW_AUTHENTICATE);
    assert!(challenge.ends_with(r#", error="insufficient_scope""#), "{challenge}");
    assert!(answer.text().contains("no Receiver here"), "{}", answer.text());

    let (daemon, _server) =
        trusting_with(&key, |settings| settings.unlisted_clients = UnlistedClients::Admit).await;
    daemon.create_with(&key.token()).await.expect(201);
    // By its name it would be the Receiver `rx`; it is another.
    assert_eq!(daemon.list_with(&stranger).await.expect(200).json(), json!([]));
    let stream = daemon.create_with(&stranger).await.expect(201).json();
    assert_eq!(stream["aud"], "rx");
    assert_eq!(daemon.list_with(&stranger).await.expect(200).json(), json!([stream]));
    // A name that goes into no URL, key or log line.
    let odd = key.token_with("client_id", Some("a b".into()));
    daemon.list_with(&odd).await.expect(403);
}

#[actix_web::test]
async fn the_claim_and_the_audience_are_the_operators_choice() {
    let key = Key::new();
    let (daemon, _server) = trusting_with(&key, |settings| {
        settings.client_claim = "azp".into();
        settings.audience = Some("ssf".into());
        settings.token_lifetime_max = Duration::from_hours(3);
    })
    .await;
    let mut claims = claims();
    let exp = clock::now().as_secs() + 7200;
    (claims["azp"], claims["aud"], claims["exp"]) = (CLIENT.into(), "ssf".into(), exp.into());
    claims["client_id"] = "elsewhere".into();
    daemon.list_with(&key.sign(&key.header(), &claims)).await.expect(200);
    assert_invalid_token(&daemon.list_with(&key.token()).await, "`aud`");
}

/// The internal listener is for upstream, and no Receiver's token counts there.
#[actix_web::test]
async fn an_access_token_publishes_nothing() {
    let key = Key::new();
    let (daemon, _server) = trusting(&key).await;
    let publish = post(&daemon.internal_url("/events")).bearer(&key.token()).json(&json!({}));
    publish.send().await.expect(401);
}
