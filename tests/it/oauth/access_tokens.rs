//! JWT access tokens (RFC 9068): the tokens that are accepted, and the Receivers they stand for.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hyper::header::WWW_AUTHENTICATE;
use jsonwebtoken::{Algorithm, EncodingKey, crypto};
use serde_json::{Value, json};
use ssfd::{auth::settings::UnlistedClients, clock, domain::grant::Scope};

use crate::harness::{
    authorization_server::{
        CLIENT, Key, assert_token_refused, claims, trusting, trusting_with, unsigned,
    },
    daemon::{PROVIDER, rename_provider},
    http_client::{get, post},
    streams::by_poll,
};

/// AUTH-01, AUTH-05, AUTH-07: over the life of a stream, including polls.
#[actix_web::test]
async fn an_access_token_gives_its_client_access_to_its_own_streams() {
    for key in [Key::new(), Key::rsa()] {
        let (daemon, server) = trusting(&key).await;
        let token = key.token();
        let id = daemon.create_stream(&token, by_poll()).await;
        let url = daemon.provider_url(PROVIDER, &format!("/ssf/streams?stream_id={id}"));
        let stream = get(&url).bearer(&token).send().await.expect(200).json();
        assert_eq!(stream["aud"], "https://rx.example");
        // The stream belongs to the Receiver, whichever credential it presents.
        let static_token = daemon.receiver_token("rx", &[Scope::Read]).await;
        assert_eq!(daemon.list_with(&static_token).await.expect(200).json(), json!([stream]));
        let other = daemon.receiver_token("other", &[Scope::Read]).await;
        assert_eq!(daemon.list_with(&other).await.expect(200).json(), json!([]));
        daemon.poll(&token, &id, &json!({"returnImmediately": true})).await.expect(200);
        daemon.delete_stream(&token, &id).await.expect(204);
        assert_eq!(server.seen().len(), 1, "the keys were fetched once");
    }
}

/// AUTH-03 (RFC 8725 §2.1, §2.2, §3.10): the token does not choose how it is verified.
#[actix_web::test]
async fn a_token_does_not_choose_its_algorithm_or_key() {
    let key = Key::rsa();
    let (daemon, _server) = trusting(&key).await;
    let refused = async |token: &str, why: &str| {
        assert_token_refused(&daemon.list_with(token).await, why);
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
    // HMAC with a public value as the secret: the modulus, and the whole JWK.
    let modulus =
        URL_SAFE_NO_PAD.decode(key.jwk["n"].as_str().expect("a string")).expect("base64url");
    for secret in [modulus, key.jwk.to_string().into_bytes()] {
        let signed = unsigned(&with("alg", "HS256".into()), &claims());
        let secret = EncodingKey::from_secret(&secret);
        let signature = crypto::sign(signed.as_bytes(), &secret, Algorithm::HS256).expect("signed");
        refused(&format!("{signed}.{signature}"), "`alg`").await;
    }
    // The attacker's key in the header, under its own name and under the name of the server's key.
    let theirs = Key::new();
    for (kid, status) in [(&theirs.jwk["kid"], 503), (&key.jwk["kid"], 401)] {
        let mut header = theirs.header();
        (header["kid"], header["jwk"]) = (kid.clone(), theirs.jwk.clone());
        header["jku"] = "https://evil.example/jwks".into();
        daemon.list_with(&theirs.sign(&header, &claims())).await.expect(status);
    }
    refused(&key.sign(&with("alg", "RS512".into()), &claims()), "`alg`").await;
    refused(&key.sign(&with("alg", "PS256".into()), &claims()), "does not verify").await;
    refused(&key.sign(&with("crit", json!(["x"])), &claims()), "`crit`").await;
    refused(&key.sign(&with("kid", Value::Null), &claims()), "`kid`").await;
}

/// AUTH-04, AUTH-05.
#[actix_web::test]
async fn a_scope_must_be_granted_by_the_server_and_the_operator() {
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
            // The response names the scope to ask for, which is not the finest one that would do.
            let expected = r#"error="insufficient_scope", scope="ssf.manage""#;
            assert!(challenge.ends_with(expected), "{challenge}");
        }
    }
}

/// AUTH-07: a valid token whose client is not a Receiver is not an invalid token.
#[actix_web::test]
async fn an_unlisted_client_is_refused_or_becomes_a_receiver_of_its_own() {
    let key = Key::new();
    let stranger = key.token_with("client_id", Some("rx".into()));
    let (daemon, _server) = trusting(&key).await;
    let answer = daemon.list_with(&stranger).await.expect(403);
    let challenge = answer.header(WWW_AUTHENTICATE);
    assert!(challenge.ends_with(r#", error="insufficient_scope""#), "{challenge}");
    assert!(answer.text().contains("not a Receiver of this provider"), "{}", answer.text());

    let (daemon, _server) =
        trusting_with(&key, |settings| settings.unlisted_clients = UnlistedClients::Admit).await;
    daemon.create_with(&key.token()).await.expect(201);
    // The client's name is also the name of the Receiver `rx`, but it is another Receiver.
    assert_eq!(daemon.list_with(&stranger).await.expect(200).json(), json!([]));
    let stream = daemon.create_with(&stranger).await.expect(201).json();
    assert_eq!(stream["aud"], "rx");
    assert_eq!(daemon.list_with(&stranger).await.expect(200).json(), json!([stream]));
    // This name is not allowed in a URL, a key or a log line.
    let odd = key.token_with("client_id", Some("a b".into()));
    daemon.list_with(&odd).await.expect(403);
}

#[actix_web::test]
async fn the_operator_chooses_the_claim_and_the_audience() {
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
    // Some tokens of Keycloak have `azp` alone.
    claims.as_object_mut().expect("an object").remove("client_id");
    daemon.list_with(&key.sign(&key.header(), &claims)).await.expect(200);
    assert_token_refused(&daemon.list_with(&key.token()).await, "`aud`");
}

/// The internal listener is for publishers, so a Receiver's token is not accepted there.
#[actix_web::test]
async fn an_access_token_cannot_publish() {
    let key = Key::new();
    let (daemon, _server) = trusting(&key).await;
    let publish = post(&daemon.internal_url("/events")).bearer(&key.token()).json(&json!({}));
    publish.send().await.expect(401);
}

/// The scope may be an array, and may have the name that Okta and Entra give it.
#[actix_web::test]
async fn scopes_and_absent_members_may_have_several_forms() {
    let key = Key::new();
    let (daemon, _server) = trusting(&key).await;
    for (claim, value) in [
        ("scope", json!(["openid", "ssf.manage"])),
        ("cnf", Value::Null),
        ("nbf", Value::Null),
        ("events", Value::Null),
        ("typ", "Bearer".into()),
        ("token_use", "access".into()),
    ] {
        daemon.list_with(&key.token_with(claim, Some(value))).await.expect(200);
    }
    for scp in [json!("ssf.manage"), json!(["ssf.manage"])] {
        let mut claims = claims();
        (claims["scope"], claims["scp"]) = (Value::Null, scp);
        daemon.list_with(&key.sign(&key.header(), &claims)).await.expect(200);
    }
    for (claim, value) in [("token_use", "refresh"), ("typ", "Refresh"), ("typ", "ID")] {
        let token = key.token_with(claim, Some(value.into()));
        assert_token_refused(&daemon.list_with(&token).await, &format!("`{claim}`"));
    }
}

/// The operator sees by the metric why tokens are refused, whatever the reason is.
#[actix_web::test]
async fn each_refused_token_is_counted_by_its_reason() {
    const NAME: &str = "refused-tokens";
    let key = Key::new();
    let (mut daemon, _server) = trusting(&key).await;
    daemon.stop().await;
    rename_provider(daemon.config(), NAME);
    daemon.start_again().await;
    let with = |claim: &str, value: Value| key.token_with(claim, Some(value));
    let header = |member: &str, value: Value| {
        let mut header = key.header();
        header[member] = value;
        key.sign(&header, &claims())
    };
    let forged = Key::new().sign(&key.header(), &claims());
    for (token, reason) in [
        ("made-up".to_owned(), "malformed"),
        ("ssfd_made_up".to_owned(), "unknown"),
        (header("typ", "JWT".into()), "type"),
        (header("alg", "none".into()), "algorithm"),
        (header("crit", json!(["x"])), "malformed"),
        (header("kid", Value::Null), "unknown_key"),
        (forged, "signature"),
        (with("iss", "https://other.example".into()), "issuer"),
        (with("aud", "https://other.example".into()), "audience"),
        (with("exp", 1.into()), "expired"),
        (with("nbf", 9_999_999_999_u64.into()), "lifetime"),
        (with("exp", 9_999_999_999_u64.into()), "lifetime"),
        (with("client_id", "stranger".into()), "unlisted_client"),
        (with("token_use", "refresh".into()), "kind"),
        (with("events", json!({})), "kind"),
        (with("cnf", json!({"jkt": "x"})), "bound"),
        (with("scope", 7.into()), "claim"),
        (key.token_with("sub", None), "claim"),
    ] {
        let series =
            format!("ssfd_credentials_refused_total{{provider=\"{NAME}\",reason=\"{reason}\"}}");
        let before = daemon.metric(&series).await;
        let answer = daemon.list_with(&token).await;
        assert!([401, 403].contains(&answer.status.as_u16()), "{reason}: {}", answer.text());
        let counted = daemon.metric(&series).await - before;
        assert!((counted - 1.0).abs() < 0.5, "{reason}: {counted}");
    }
}
