//! The metadata of a Transmitter (SSF §7).

use hyper::{
    Method,
    header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, ETAG},
};
use serde_json::Value;

use super::assert_refused;
use crate::harness::{
    daemon::{Daemon, ISSUER, PROVIDER, provider},
    http_client::{Answer, Call, get},
};

const WELL_KNOWN: &str = "/.well-known/ssf-configuration";

/// A daemon whose providers have these issuers.
async fn issuing(issuers: &[&str]) -> Daemon {
    Daemon::with(|config| {
        config.providers.clear();
        for (n, issuer) in issuers.iter().enumerate() {
            let name = format!("provider{n}").parse().expect("a name");
            config.providers.insert(name, provider(issuer));
        }
    })
    .await
}

async fn metadata(daemon: &Daemon, path: &str) -> Answer {
    let answer = get(&daemon.public_url(path)).send().await.expect(200);
    assert_eq!(answer.header(CONTENT_TYPE), "application/json");
    answer
}

/// META-01, META-02, META-03, META-10 (SSF §7.2.1, §7.2.4): without a credential.
#[actix_web::test]
async fn metadata_stands_at_both_forms_and_names_its_issuer_to_the_letter() {
    let bare = issuing(&["https://tx.example", "https://tx.example/t/acme"]).await;
    let slashed = issuing(&["https://tx.example:8443/", "https://tx.example:8443/t/acme/"]).await;
    for (daemon, path, issuer) in [
        (&bare, "", "https://tx.example"),
        (&bare, "/t/acme", "https://tx.example/t/acme"),
        (&slashed, "", "https://tx.example:8443/"),
        (&slashed, "/t/acme", "https://tx.example:8443/t/acme/"),
    ] {
        let inserted = metadata(daemon, &format!("{WELL_KNOWN}{path}")).await.json();
        let appended = metadata(daemon, &format!("{path}{WELL_KNOWN}")).await.json();
        assert_eq!(inserted, appended);
        assert_eq!(inserted["issuer"], issuer);
        let origin = issuer.trim_end_matches('/');
        assert_eq!(inserted["jwks_uri"], format!("{origin}/jwks.json"));
    }
}

/// META-04 (SSF §7.1), META-07: each endpoint is https, and is there.
#[actix_web::test]
async fn every_endpoint_is_https_and_answers() {
    let daemon = Daemon::start().await;
    let found = metadata(&daemon, &format!("{WELL_KNOWN}/t/acme")).await.json();
    for (member, status) in [
        ("jwks_uri", 200),
        ("configuration_endpoint", 401),
        ("status_endpoint", 401),
        // Takes POST alone.
        ("verification_endpoint", 405),
    ] {
        let url = found[member].as_str().expect("a URL");
        let path = url.strip_prefix("https://tx.example").expect("below the issuer's origin");
        get(&daemon.public_url(path)).send().await.expect(status);
    }
}

/// META-05 (SSF §7.2.3), META-06 to META-09.
#[actix_web::test]
async fn metadata_says_what_the_specification_and_the_profile_ask_for() {
    let daemon = Daemon::start().await;
    let found = metadata(&daemon, &format!("{WELL_KNOWN}/t/acme")).await.json();
    assert_eq!(found["spec_version"], "1_0");
    assert_eq!(found["issuer"], ISSUER);
    let methods = found["delivery_methods_supported"].as_array().expect("an array");
    for urn in ["urn:ietf:rfc:8935", "urn:ietf:rfc:8936"] {
        assert!(methods.contains(&urn.into()), "{urn}");
    }
    let schemes = found["authorization_schemes"].as_array().expect("an array");
    assert!(schemes.iter().any(|scheme| scheme["spec_urn"] == "urn:ietf:rfc:6749"), "{schemes:?}");
    assert_eq!(found["default_subjects"], "ALL");
    let empty = |member: &Value| member.as_array().is_some_and(Vec::is_empty);
    assert!(!found.as_object().expect("an object").values().any(empty), "{found}");
}

/// META-12. The key set stands the same test.
#[actix_web::test]
async fn a_public_document_is_cacheable_and_cheap_to_ask_for_again() {
    let daemon = Daemon::start().await;
    for (url, max_age) in [
        (daemon.public_url(&format!("{WELL_KNOWN}/t/acme")), 3600),
        (daemon.provider_url(PROVIDER, "/jwks.json"), 300),
    ] {
        let first = get(&url).send().await.expect(200);
        let tag = first.header(ETAG).to_owned();
        assert!(tag.starts_with('"') && tag.len() > 2, "{tag}");
        let max_age = format!("public, max-age={max_age}");
        assert_eq!(first.header(CACHE_CONTROL), max_age);
        let again = async |known: &str| get(&url).header("if-none-match", known).send().await;
        for known in [tag.clone(), format!("W/{tag}"), format!("\"other\", {tag}"), "*".to_owned()]
        {
            let answer = again(&known).await.expect(304);
            assert_eq!((answer.header(ETAG), answer.header(CACHE_CONTROL)), (&*tag, &*max_age));
            assert!(answer.body.is_empty());
        }
        for unknown in ["\"other\"", "malformed"] {
            assert_eq!(again(unknown).await.expect(200).body, first.body);
        }
    }
}

/// RFC 9110 §9.1, §15.5.6.
#[actix_web::test]
async fn a_public_document_takes_get_and_head_alone() {
    let daemon = Daemon::start().await;
    for url in [
        daemon.public_url(&format!("{WELL_KNOWN}/t/acme")),
        daemon.provider_url(PROVIDER, WELL_KNOWN),
        daemon.provider_url(PROVIDER, "/jwks.json"),
    ] {
        let read = get(&url).send().await.expect(200);
        let head = Call::new(Method::HEAD, &url).send().await.expect(200);
        assert_eq!(head.header(ETAG), read.header(ETAG));
        assert!(head.body.is_empty());
        for method in [Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
            let answer = Call::new(method, &url).send().await;
            assert_refused(&answer, 405, "");
            assert_eq!(answer.header(ALLOW), "GET, HEAD");
        }
    }
}

/// META-11 (SSF §7.2.2), META-12.
#[actix_web::test]
async fn nothing_is_published_for_other_issuers_or_by_the_name_of_old() {
    let daemon = Daemon::start().await;
    for path in [
        WELL_KNOWN.to_owned(),
        format!("{WELL_KNOWN}/"),
        format!("{WELL_KNOWN}/t"),
        format!("{WELL_KNOWN}/t/acm"),
        format!("{WELL_KNOWN}/t/acme2"),
        format!("{WELL_KNOWN}/t/acme/more"),
        format!("/t/globex{WELL_KNOWN}"),
        "/t/acme/.well-known/risc-configuration".to_owned(),
        "/.well-known/risc-configuration/t/acme".to_owned(),
        "/.well-known/risc-configuration".to_owned(),
        "/jwks.json".to_owned(),
        "/".to_owned(),
    ] {
        assert_refused(&get(&daemon.public_url(&path)).send().await, 404, "");
    }
}

/// The issuer is configuration; a Host header is a stranger's word.
#[actix_web::test]
async fn the_host_header_changes_nothing() {
    let daemon = Daemon::start().await;
    let url = daemon.public_url(&format!("{WELL_KNOWN}/t/acme"));
    let plain = get(&url).send().await.expect(200);
    let other = get(&url).header("host", "evil.example").header("forwarded", "host=evil.example");
    assert_eq!(other.send().await.expect(200).body, plain.body);
}
