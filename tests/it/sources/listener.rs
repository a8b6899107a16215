//! The listener of sources: TLS, the public listener in its place, and what the configuration refuses.

use std::{fs, time::Duration};

use serde_json::{Value, json};
use ssfd::source::settings::SourceSettings;

use super::{SECRET, Stand, by_bearer, logout, table, with_secret};
use crate::harness::{
    daemon::{Daemon, ISSUER},
    http_client::post,
};

#[actix_web::test]
async fn the_public_listener_serves_sources_if_it_is_told_to() {
    let members = by_bearer(json!({}));
    let stand = Stand::with("listener-public", members, |config| {
        config.sources.listen = None;
        config.sources.public = true;
    })
    .await;
    let url = stand.setup.daemon.public_url("/in/listener-public/kc");
    let call = || post(&url).json(&logout("1", "kim"));
    call().send().await.expect(401);
    call().bearer(SECRET).send().await.expect(200);
    assert_eq!(stand.users().await, ["kim"]);
}

#[actix_web::test]
async fn the_public_listener_has_no_sources_otherwise() {
    let stand = Stand::new("listener-apart", by_bearer(json!({}))).await;
    let url = stand.setup.daemon.public_url("/in/listener-apart/kc");
    post(&url).bearer(SECRET).json(&logout("1", "kim")).send().await.expect(404);
    let url = stand.setup.daemon.internal_url("/in/listener-apart/kc");
    post(&url).bearer(SECRET).json(&logout("1", "kim")).send().await.expect(404);
}

/// Returns why a daemon with this source, and these changes, does not start.
async fn refused(members: Value, change: impl FnOnce(&mut ssfd::config::Config)) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let secret = folder.path().join("secret");
    fs::write(&secret, SECRET).expect("writable");
    let settings: SourceSettings = with_secret(&table(members), secret.to_str().expect("UTF-8"));
    let started = Daemon::try_with(|config| {
        config.sources.listen = Some(([127, 0, 0, 1], 0).into());
        let provider = config.providers.values_mut().next().expect("a provider");
        provider.sources.insert("kc".parse().expect("a name"), settings);
        change(config);
    });
    started.await.err().expect("refused").to_string()
}

#[actix_web::test]
async fn a_configuration_that_is_not_safe_is_refused_with_the_remedy() {
    let bearer = || by_bearer(json!({}));
    let text = refused(bearer(), |config| config.sources.listen = None).await;
    assert!(text.contains("`sources.listen`") && text.contains("sources.public = true"), "{text}");

    let none = || json!({"auth": {"scheme": "none"}});
    let open = |config: &mut ssfd::config::Config| {
        config.sources.listen = Some(([0, 0, 0, 0], 0).into());
    };
    let text = refused(none(), open).await;
    assert!(text.contains("auth.scheme") && text.contains("i_accept_that_anybody"), "{text}");
    let text = refused(none(), |config| config.sources.public = true).await;
    assert!(text.contains("auth.scheme"), "{text}");

    let print = "ab".repeat(32);
    let auth = json!({"scheme": "certificate", "header": "X", "fingerprints": [print]});
    let text = refused(json!({"auth": auth}), |_| {}).await;
    assert!(text.contains("sources.trusted_proxies"), "{text}");
    assert!(text.contains("sources.tls_client_ca"), "{text}");

    let auth = json!({"scheme": "certificate", "subject_names": ["idp.example"]});
    let text = refused(json!({"auth": auth}), |_| {}).await;
    assert!(text.contains("auth.scheme") && text.contains("sources.tls_client_ca"), "{text}");
    assert!(text.contains("auth.header"), "{text}");

    let text = refused(bearer(), |config| {
        config.sources.tls_client_ca = Some("/nowhere".into());
    })
    .await;
    assert!(text.contains("sources.tls_certificate"), "{text}");

    let text = refused(bearer(), |config| {
        config.public.listen = ([127, 0, 0, 1], 4711).into();
        config.sources.listen = Some(([127, 0, 0, 1], 4711).into());
    })
    .await;
    assert!(text.contains("`sources.listen`") && text.contains("4711"), "{text}");

    let text = refused(bearer(), |config| {
        config.sources.tls_certificate = Some("/nowhere".into());
    })
    .await;
    assert!(text.contains("sources.tls_key"), "{text}");

    let text = refused(bearer(), |config| {
        config.sources.public = true;
        let provider = config.providers.values_mut().next().expect("a provider");
        provider.issuer = "https://tx.example/in/acme".into();
    })
    .await;
    assert!(text.contains("issuer") && text.contains("/in"), "{text}");

    let text = refused(bearer(), |config| {
        config.sources.connections.body_timeout = Duration::ZERO;
    })
    .await;
    assert!(text.contains("sources.connections.body_timeout"), "{text}");

    let redis = || by_bearer(json!({"redis_key": "native"}));
    let text = refused(redis(), |_| {}).await;
    assert!(text.contains("redis_key") && text.contains("ingest.redis.url"), "{text}");

    // The SETs of this daemon would come back to it.
    let auth = json!({
        "scheme": "jwt", "token_in": "body", "algorithms": ["ES256"], "jwks": "/nowhere/jwks.json",
        "issuer": ISSUER, "audience": "https://ssf.example",
    });
    let text = refused(json!({"kind": "set", "auth": auth}), |_| {}).await;
    assert!(text.contains("auth.issuer") && text.contains("other Transmitter"), "{text}");

    let auth = json!({"scheme": "bearer", "secret_files": ["/nowhere/secret"]});
    let text = refused(json!({"auth": auth}), |_| {}).await;
    assert!(text.contains("auth.secret_files") && text.contains("/nowhere/secret"), "{text}");
    assert!(text.contains("`kc`") && text.contains("`acme`"), "{text}");

    let auth = json!({"scheme": "standard-webhooks", "secret_files": ["SECRET"]});
    let text = refused(json!({"auth": auth}), |_| {}).await;
    assert!(text.contains("base64") && !text.contains(SECRET), "{text}");
}

/// A client that sends its head and then nothing has no room for ever.
#[actix_web::test]
async fn a_body_that_does_not_come_is_given_up() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let stand = Stand::with("listener-slow", by_bearer(json!({})), |config| {
        config.sources.connections.body_timeout = Duration::from_millis(100);
    })
    .await;
    let address = stand.setup.daemon.sources_address();
    let mut stream = tokio::net::TcpStream::connect(address).await.expect("it listens");
    let head = "POST /in/listener-slow/kc HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\n{";
    stream.write_all(head.as_bytes()).await.expect("written");
    let mut answer = Vec::new();
    let read = crate::harness::within("the answer", stream.read_to_end(&mut answer)).await;
    read.expect("readable");
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert_eq!(stand.requests("refused").await, 1);
}
