//! The documents by which a client finds the issuer of its tokens (RFC 9728, RFC 8414).

use hyper::{
    Method,
    header::{ACCESS_CONTROL_ALLOW_ORIGIN, ALLOW, ETAG, WWW_AUTHENTICATE},
};
use serde_json::json;
use ssfd::domain::grant::Scope;

use crate::harness::{
    authorization_server::{AuthorizationServer, Key, SERVER, trust},
    daemon::{Daemon, PROVIDER, provider},
    http_client::{Call, get},
};

const RESOURCE: &str = "/.well-known/oauth-protected-resource";
const OWN_SERVER: &str = "/.well-known/oauth-authorization-server";

#[actix_web::test]
async fn each_document_is_cacheable_and_allows_only_get_and_head() {
    let daemon = Daemon::start().await;
    for name in [RESOURCE, OWN_SERVER] {
        let url = daemon.public_url(&format!("{name}/t/acme"));
        let first = get(&url).send().await.expect(200);
        get(&url).header("if-none-match", first.header(ETAG)).send().await.expect(304);
        Call::new(Method::HEAD, &url).send().await.expect(200);
        let answer = Call::new(Method::POST, &url).send().await.expect(405);
        assert_eq!(answer.header(ALLOW), "GET, HEAD");
        get(&daemon.public_url(name)).send().await.expect(404);
        get(&daemon.public_url(&format!("{name}/t/other"))).send().await.expect(404);
    }
}

#[actix_web::test]
async fn a_provider_with_an_external_server_names_it_and_has_no_token_endpoint() {
    let key = Key::new();
    let server = AuthorizationServer::publishing(&[&key]).await;
    let daemon = Daemon::with(|config| {
        trust(config, server.settings());
        let other = "other".parse().expect("a name");
        config.providers.insert(other, provider("https://tx.example"));
    })
    .await;
    let resource = get(&daemon.public_url(&format!("{RESOURCE}/t/acme"))).send().await.expect(200);
    assert_eq!(resource.json()["authorization_servers"], json!([SERVER]));
    get(&daemon.public_url(&format!("{OWN_SERVER}/t/acme"))).send().await.expect(404);
    let endpoint = daemon.provider_url(PROVIDER, "/oauth2/token");
    Call::new(Method::POST, &endpoint).send().await.expect(404);
    // The other provider has its own token endpoint, and its documents name no other issuer.
    let resource = get(&daemon.public_url(RESOURCE)).send().await.expect(200).json();
    assert_eq!(resource["resource"], "https://tx.example");
    assert_eq!(resource["authorization_servers"], json!(["https://tx.example"]));
    // A valid token of one provider is invalid at the other.
    daemon.list_with(&key.token()).await.expect(200);
    let url = daemon.provider_url("other", "/ssf/streams");
    let answer = get(&url).bearer(&key.token()).send().await.expect(401);
    let challenge = answer.header(WWW_AUTHENTICATE);
    let expected = r#"resource_metadata="https://tx.example/.well-known/oauth-protected-resource""#;
    assert!(challenge.contains(expected), "{challenge}");
}

/// The issuer of a provider may end with a slash, and RFC 9728 §3.1 keeps it where RFC 8414 drops it.
#[actix_web::test]
async fn each_well_known_document_is_served_with_and_without_a_final_slash() {
    for issuer in ["https://tx.example/s/", "https://tx.example/s", "https://tx.example"] {
        let daemon = Daemon::with(|config| {
            config.providers.values_mut().next().expect("a provider").issuer = issuer.into();
        })
        .await;
        let path = if issuer.ends_with("example") { "" } else { "/s" };
        for name in [RESOURCE, OWN_SERVER, "/.well-known/ssf-configuration"] {
            let read =
                async |url: String| get(&daemon.public_url(&url)).send().await.expect(200).json();
            let plain = read(format!("{name}{path}")).await;
            assert_eq!(plain, read(format!("{name}{path}/")).await);
            let identifier = if name == RESOURCE { "resource" } else { "issuer" };
            assert_eq!(plain[identifier], issuer, "{name}");
        }
    }
}

/// Scripts in browsers read the public documents.
#[actix_web::test]
async fn public_documents_may_be_read_from_any_origin() {
    let daemon = Daemon::start().await;
    let acme = |path: &str| daemon.provider_url(PROVIDER, path);
    for url in [
        daemon.public_url(&format!("{RESOURCE}/t/acme")),
        daemon.public_url(&format!("{OWN_SERVER}/t/acme")),
        daemon.public_url("/.well-known/ssf-configuration/t/acme"),
        acme("/.well-known/ssf-configuration"),
        acme("/jwks.json"),
        acme("/ssf/openapi.json"),
    ] {
        let call = || get(&url).header("origin", "https://dash.example");
        let answer = call().send().await.expect(200);
        assert_eq!(answer.header(ACCESS_CONTROL_ALLOW_ORIGIN), "*", "{url}");
        let known = call().header("if-none-match", answer.header(ETAG)).send().await.expect(304);
        assert_eq!(known.header(ACCESS_CONTROL_ALLOW_ORIGIN), "*", "{url}");
    }
    // Answers that need a credential are for no script.
    let token = daemon.receiver_token("rx", &[Scope::Read]).await;
    let streams =
        get(&acme("/ssf/streams")).bearer(&token).header("origin", "https://dash.example");
    let answer = streams.send().await.expect(200);
    assert!(!answer.headers.contains_key(ACCESS_CONTROL_ALLOW_ORIGIN));
}
