//! Transmitter configuration metadata (SSF §7).

use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG};
use serde_json::{Value, json};

use crate::harness::{
    daemon::{Daemon, ISSUER, PROVIDER, provider},
    http_client::{Answer, get},
    setup::Setup,
    subjects::{none_by_default, opaque},
};

const WELL_KNOWN: &str = "/.well-known/ssf-configuration";

/// Starts a daemon whose providers have these issuers.
async fn issuing(issuers: &[&str]) -> Daemon {
    match try_issuing(issuers).await {
        Ok(daemon) => daemon,
        Err(error) => panic!("{issuers:?}: {error}"),
    }
}

/// Starts a daemon whose providers have these issuers, or returns the error.
async fn try_issuing(issuers: &[&str]) -> Result<Daemon, String> {
    let started = Daemon::try_with(|config| {
        config.providers.clear();
        for (n, issuer) in issuers.iter().enumerate() {
            let name = format!("provider{n}").parse().expect("a name");
            config.providers.insert(name, provider(issuer));
        }
    });
    started.await.map_err(|error| error.to_string())
}

/// Reads the document at this path.
async fn read(daemon: &Daemon, path: &str) -> Answer {
    get(&daemon.public_url(path)).send().await
}

/// Reads the metadata of the only provider.
async fn metadata(daemon: &Daemon) -> Value {
    read(daemon, &format!("{WELL_KNOWN}/t/acme")).await.expect(200).json()
}

/// The form of OpenID Connect, with the well-known path behind the issuer, is served too.
#[actix_web::test]
async fn meta_01_the_well_known_path_is_inserted_between_host_and_path_without_a_trailing_slash() {
    let bare = issuing(&["https://tx.example", "https://tx.example/t/acme"]).await;
    let slashed = issuing(&["https://tx.example:8443/", "https://tx.example:8443/t/acme/"]).await;
    for (daemon, path, issuer) in [
        (&bare, "", "https://tx.example"),
        (&bare, "/t/acme", "https://tx.example/t/acme"),
        (&slashed, "", "https://tx.example:8443/"),
        (&slashed, "/t/acme", "https://tx.example:8443/t/acme/"),
    ] {
        let inserted = read(daemon, &format!("{WELL_KNOWN}{path}")).await.expect(200).json();
        let appended = read(daemon, &format!("{path}{WELL_KNOWN}")).await.expect(200).json();
        assert_eq!((&inserted["issuer"], &inserted), (&json!(issuer), &appended));
        let below = issuer.trim_end_matches('/');
        assert_eq!(inserted["jwks_uri"], format!("{below}/jwks.json"));
    }
}

#[actix_web::test]
async fn meta_02_the_metadata_is_answered_200_as_a_json_object() {
    let daemon = Daemon::start().await;
    let answer = read(&daemon, &format!("{WELL_KNOWN}/t/acme")).await.expect(200);
    assert_eq!(answer.header(CONTENT_TYPE), "application/json");
    assert!(answer.json().is_object());
}

/// The Host header has no influence, because anybody can set it.
#[actix_web::test]
async fn meta_03_issuer_is_https_and_the_one_of_the_requested_path() {
    let issuers =
        ["https://tx.example/t/acme", "https://tx.example/T/Acme/", "https://tx.example/"];
    let daemon = issuing(&issuers).await;
    for issuer in issuers {
        let path = issuer.strip_prefix("https://tx.example").expect("every issuer has this origin");
        let url = daemon.public_url(&format!("{WELL_KNOWN}{}", path.trim_end_matches('/')));
        for host in ["tx.example", "evil.example"] {
            let asked = get(&url).header("host", host).header("forwarded", "host=evil.example");
            assert_eq!(asked.send().await.expect(200).json()["issuer"], issuer);
        }
    }
    for invalid in [
        "http://tx.example/t/acme",
        "https://tx.example/t/acme?x=1",
        "https://tx.example/t/acme?",
        "https://tx.example/t/acme#x",
        "tx.example/t/acme",
    ] {
        let error = try_issuing(&[invalid]).await.err().expect("it is no issuer");
        assert!(error.contains("`providers.provider0.issuer`"), "{error}");
    }
}

#[actix_web::test]
async fn meta_04_every_endpoint_is_https_and_is_served() {
    let daemon = Daemon::start().await;
    let metadata = metadata(&daemon).await;
    let mut endpoints = 0;
    for (member, url) in metadata.as_object().expect("an object") {
        if member != "jwks_uri" && !member.ends_with("_endpoint") {
            continue;
        }
        let url = url.as_str().expect("a URL");
        let path =
            url.strip_prefix("https://tx.example").expect("an https URL at the issuer's host");
        // The status is 200 for an open resource, 401 without a token, and 405 for an endpoint that
        // only accepts POST.
        let status = read(&daemon, path).await.status.as_u16();
        assert!([200, 401, 405].contains(&status), "{member}: {status}");
        endpoints += 1;
    }
    assert_eq!(endpoints, 6);
}

#[actix_web::test]
async fn meta_05_no_member_is_an_empty_array() {
    fn check(value: &Value) {
        match value {
            Value::Array(values) => {
                assert!(!values.is_empty());
                values.iter().for_each(check);
            }
            Value::Object(members) => members.values().for_each(check),
            _ => {}
        }
    }
    check(&metadata(&Daemon::start().await).await);
}

#[actix_web::test]
async fn meta_06_spec_version_is_1_0_with_an_underscore() {
    assert_eq!(metadata(&Daemon::start().await).await["spec_version"], "1_0");
}

#[actix_web::test]
async fn meta_07_the_members_that_the_profile_requires_are_present() {
    let found = metadata(&Daemon::start().await).await;
    let methods = json!(["urn:ietf:rfc:8935", "urn:ietf:rfc:8936"]);
    assert_eq!(found["delivery_methods_supported"], methods);
    for (member, path) in [
        ("jwks_uri", "/jwks.json"),
        ("configuration_endpoint", "/ssf/streams"),
        ("status_endpoint", "/ssf/status"),
        ("verification_endpoint", "/ssf/verify"),
    ] {
        assert_eq!(found[member], format!("{ISSUER}{path}"));
    }
}

#[actix_web::test]
async fn meta_08_oauth_is_among_the_authorization_schemes() {
    let found = metadata(&Daemon::start().await).await;
    let schemes = found["authorization_schemes"].as_array().expect("an array").clone();
    assert!(schemes.contains(&json!({"spec_urn": "urn:ietf:rfc:6749"})), "{schemes:?}");
    assert!(schemes.iter().all(|scheme| scheme["spec_urn"].is_string()), "{schemes:?}");
}

#[actix_web::test]
async fn meta_09_default_subjects_is_all_or_none_and_applies_to_new_streams() {
    for (expected, setup) in
        [("ALL", Setup::polling().await), ("NONE", Setup::polling_with(none_by_default).await)]
    {
        let metadata = metadata(&setup.daemon).await;
        assert_eq!(metadata["default_subjects"], expected);
        assert_eq!(metadata["add_subject_endpoint"], format!("{ISSUER}/ssf/subjects/add"));
        assert_eq!(metadata["remove_subject_endpoint"], format!("{ISSUER}/ssf/subjects/remove"));
        assert_eq!(setup.reaches(&opaque("s-88")).await, expected == "ALL");
    }
}

/// An invalid credential does not matter either.
#[actix_web::test]
async fn meta_10_the_metadata_is_readable_without_a_credential() {
    let daemon = Daemon::start().await;
    for path in [format!("{WELL_KNOWN}/t/acme"), "/t/acme/jwks.json".to_owned()] {
        let url = daemon.public_url(&path);
        let without = get(&url).send().await.expect(200).body;
        assert_eq!(get(&url).bearer("ssfd_unknown").send().await.expect(200).body, without);
    }
}

#[actix_web::test]
async fn meta_11_nothing_is_served_at_the_former_well_known_path() {
    let daemon = issuing(&["https://tx.example", "https://tx.example/t/acme"]).await;
    for path in ["", "/t/acme"] {
        const OLD: &str = "/.well-known/risc-configuration";
        read(&daemon, &format!("{OLD}{path}")).await.expect(404);
        read(&daemon, &format!("{path}{OLD}")).await.expect(404);
    }
}

/// The same holds for the key set.
#[actix_web::test]
async fn meta_12_the_metadata_is_cacheable_with_an_etag_and_404_for_other_issuers() {
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
    for path in ["", "/", "/t", "/t/", "/t/acm", "/t/acme2", "/T/acme", "/t/acme/more"] {
        read(&daemon, &format!("{WELL_KNOWN}{path}")).await.expect(404);
    }
    read(&daemon, &format!("/t/globex{WELL_KNOWN}")).await.expect(404);
    read(&daemon, "/jwks.json").await.expect(404);
}
