//! Signing keys and the certificate of the public listener are replaced while the daemon runs.

use std::{collections::BTreeSet, fs, io, path::Path, sync::Arc};

use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs};
use rustls_pki_types::{CertificateDer, ServerName, pem::PemObject};
use serde_json::{Value, json};
use ssfd::{
    app,
    cli::receive::certificate::make_certificate,
    config::Config,
    signing::{algorithm::Algorithm, verify::Verifier},
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::{
    harness::{
        DEADLINE,
        daemon::{Daemon, rename_provider, with_provider},
        eventually,
        polling::{at_once, handed_out, jtis, poll_now},
        receiver::{Receiver, header},
        setup::Setup,
        test_key, within,
    },
    scripted_server::{Gate, Reply, Seen},
};

const EC: &str = "test-p256-pkcs8.pem";
const RSA: &str = "test-rsa-2048-pkcs8.pem";

/// A certificate for `localhost` from an authority of its own, and its files.
struct Certificate {
    folder: TempDir,
    roots: RootCertStore,
}

impl Certificate {
    fn make() -> Self {
        let made = make_certificate(&["localhost"]).expect("a certificate");
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("chain.pem"), &made.certificate_pem).expect("written");
        fs::write(folder.path().join("key.pem"), &made.key_pem).expect("written");
        let authority = CertificateDer::from_pem_slice(made.authority_pem.as_bytes());
        let mut roots = RootCertStore::empty();
        roots.add(authority.expect("PEM")).expect("a certificate");
        Self { folder, roots }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// Signs with the first of these keys, and serves TLS with the certificate if there is one.
fn configure(config: &mut Config, keys: &[&str], certificate: Option<&Certificate>) {
    let keys = keys.iter().map(|file| test_key(file)).collect();
    with_provider(|provider| provider.signing_keys = keys)(config);
    let file = |name: &str| certificate.map(|certificate| certificate.path().join(name));
    config.public.tls_certificate = file("chain.pem");
    config.public.tls_key = file("key.pem");
    // A session stays open without a request, for as long as the test takes.
    config.public.connections.head_timeout = DEADLINE;
    config.public.tls_timeout = DEADLINE;
}

/// Replaces the material by that of the daemon's configuration.
fn replace_material(daemon: &mut Daemon) {
    let material = app::load_material(daemon.config()).expect("its files are usable");
    daemon.material().replace(material).expect("it fits");
}

async fn tls_session(
    daemon: &Daemon,
    certificate: &Certificate,
) -> io::Result<TlsStream<TcpStream>> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions that aws-lc has")
        .with_root_certificates(certificate.roots.clone())
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").expect("a name");
    let tcp = TcpStream::connect(daemon.public_url("").trim_start_matches("http://")).await?;
    TlsConnector::from(Arc::new(config)).connect(name, tcp).await
}

/// Reads the JWK Set over a TLS session.
async fn key_set(mut session: TlsStream<TcpStream>) -> Vec<u8> {
    let request = "GET /t/acme/jwks.json HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    session.write_all(request.as_bytes()).await.expect("the daemon reads");
    let mut answer = String::new();
    // The daemon may close the connection without ending the session.
    session.read_to_string(&mut answer).await.ok();
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    body.as_bytes().to_vec()
}

fn key_count(key_set: &[u8]) -> usize {
    let set: Value = serde_json::from_slice(key_set).expect("JSON");
    set["keys"].as_array().expect("an array").len()
}

#[actix_web::test]
async fn keys_and_certificate_are_replaced_without_a_restart_and_no_set_is_lost() {
    const SETS: usize = 50;
    let names = |prefix: &str| (0..SETS).map(|n| format!("{prefix}-{n}")).collect::<Vec<_>>();
    let (earlier, later) = (names("earlier"), names("later"));
    let publish = async |setup: &Setup, names: &[String]| {
        setup.publish(&names.iter().map(String::as_str).collect::<Vec<_>>()).await;
    };

    let mut receiver = Receiver::accepting().await;
    let mut setup = Setup::pushing_to(&receiver).await;
    let (old, new) = (Certificate::make(), Certificate::make());
    configure(setup.daemon.config(), &[EC], Some(&old));
    setup.daemon.restart().await;
    let before = within("a session", tls_session(&setup.daemon, &old)).await.expect("trusted");

    publish(&setup, &earlier).await;
    let first = receiver.next().await;
    configure(setup.daemon.config(), &[RSA, EC], Some(&new));
    replace_material(&mut setup.daemon);
    publish(&setup, &later).await;
    let mut sets = receiver.next_few(2 * SETS - 1).await;
    sets.push(first);
    setup.settled().await;

    let session = within("a session", tls_session(&setup.daemon, &new)).await.expect("trusted");
    let published = within("an answer", key_set(session)).await;
    assert_eq!(key_count(&published), 2);
    let refused = within("a handshake", tls_session(&setup.daemon, &old)).await;
    assert!(refused.is_err(), "the earlier certificate is presented no more");
    // A session goes on with the certificate that it began with.
    assert_eq!(within("an answer", key_set(before)).await, published);

    let verifier = Verifier::from_jwks(&published).expect("a JWK Set");
    let algorithm = |jws: &str| verifier.verify(jws).expect("a SET of ours").algorithm;
    assert_eq!(algorithm(sets.last().expect("there are some").jws()), Algorithm::Es256);
    for set in sets.iter().filter(|set| set.subject().starts_with("later")) {
        assert_eq!(algorithm(set.jws()), Algorithm::Rs256, "{}", set.subject());
    }
    let subjects: BTreeSet<_> = sets.iter().map(Seen::subject).collect();
    assert_eq!(subjects, earlier.into_iter().chain(later).collect());
    assert!(sets.iter().all(|set| verifier.verify(set.jws()).is_ok()));
    assert!(receiver.rest().is_empty(), "each SET was sent once");
}

/// Signatures are made ahead of the attempts. After a replacement, the earlier key may be published
/// no more.
#[actix_web::test]
async fn a_signature_that_was_made_ahead_with_an_earlier_key_is_not_sent() {
    const IN_FLIGHT: usize = 4;
    let gate = Gate::default();
    let closed = gate.clone();
    let mut receiver = Receiver::start(move |_, _| Reply::status(202).behind(&closed)).await;
    let mut setup = Setup::pushing_with(&receiver, |config| {
        rename_provider(config, "material-ahead");
        config.delivery.in_flight_max = IN_FLIGHT;
        configure(config, &[EC], None);
    })
    .await;
    let subjects: Vec<_> = (0..40).map(|n| format!("s-{n}")).collect();
    setup.publish(&subjects.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let under_way = receiver.next_few(IN_FLIGHT).await;
    let series = r#"ssfd_signatures_total{provider="material-ahead",algorithm="ES256"}"#;
    #[expect(clippy::cast_precision_loss, reason = "a small number")]
    let ahead = async || (IN_FLIGHT as f64) < setup.daemon.metric(series).await;
    eventually("SETs are signed ahead", ahead).await;

    configure(setup.daemon.config(), &[RSA], None);
    replace_material(&mut setup.daemon);
    gate.open();
    let rest = receiver.next_few(subjects.len() - IN_FLIGHT).await;
    let algorithms = |sets: &[Seen]| -> BTreeSet<String> {
        sets.iter().map(|set| header(set.jws())["alg"].to_string()).collect()
    };
    assert_eq!(algorithms(&under_way), BTreeSet::from([r#""ES256""#.to_owned()]));
    assert_eq!(algorithms(&rest), BTreeSet::from([r#""RS256""#.to_owned()]));
    setup.settled().await;
}

/// Some Receivers answer `invalid_request` for a `kid` that they do not know, until they have read the
/// JWK Set again. The key may be replaced while the daemon runs or by a restart.
#[actix_web::test]
async fn a_receiver_that_does_not_know_a_new_key_yet_loses_no_set() {
    for err in ["invalid_request", "invalid_key"] {
        for restarts in [false, true] {
            let read_again = Gate::default();
            let known = read_again.clone();
            let mut receiver = Receiver::start(move |_, request| {
                if header(request.jws())["alg"] == "ES256" || known.is_open() {
                    return Reply::status(202);
                }
                Reply::full(400, &[], &json!({"err": err}).to_string())
            })
            .await;
            let mut setup =
                Setup::pushing_with(&receiver, |config| configure(config, &[EC], None)).await;
            setup.publish(&["before"]).await;
            assert_eq!(receiver.next().await.subject(), "before");
            setup.settled().await;

            configure(setup.daemon.config(), &[RSA, EC], None);
            if restarts {
                setup.daemon.restart().await;
            } else {
                replace_material(&mut setup.daemon);
            }
            setup.publish(&["s-1", "s-2"]).await;
            receiver.next_few(6).await;
            assert_eq!(setup.waiting().await.len(), 2, "none is given up");
            read_again.open();
            setup.settled().await;
            let accepted = receiver.rest();
            let accepted: BTreeSet<_> = accepted.iter().rev().take(2).map(Seen::subject).collect();
            assert_eq!(accepted, BTreeSet::from(["s-1".to_owned(), "s-2".to_owned()]));
        }
    }
}

/// The same where a SET is refused by poll (RFC 8936 §2.6).
#[actix_web::test]
async fn a_polling_receiver_that_does_not_know_a_new_key_yet_loses_no_set() {
    for restarts in [false, true] {
        let mut setup = Setup::polling_with(|config| {
            configure(config, &[EC], None);
            at_once(config);
        })
        .await;
        let before = handed_out(&setup, &["before"]).await;
        configure(setup.daemon.config(), &[RSA, EC], None);
        if restarts {
            setup.daemon.restart().await;
        } else {
            replace_material(&mut setup.daemon);
        }
        // A SET that was signed with the earlier key shows nothing.
        poll_now(&setup, json!({"ack": before})).await;
        let sets = handed_out(&setup, &["s-1", "s-2"]).await;
        let refused = |jti: &str| json!({"setErrs": {jti: {"err": "invalid_request"}}});
        for _ in 0..3 {
            assert_eq!(jtis(&poll_now(&setup, refused(&sets[0])).await), sets, "offered again");
        }
        poll_now(&setup, json!({"ack": sets[..1]})).await;
        let rest = poll_now(&setup, refused(&sets[1])).await;
        assert_eq!(rest.json(), json!({"sets": {}}), "the key is known, so this is about the SET");
    }
}

/// A stream's first key is no new one.
#[actix_web::test]
async fn a_set_of_a_streams_first_key_that_is_refused_is_given_up() {
    let refusal = r#"{"err":"invalid_request"}"#;
    let mut receiver = Receiver::start(move |_, _| Reply::full(400, &[], refusal)).await;
    let setup = Setup::pushing_to(&receiver).await;
    setup.publish(&["s-1"]).await;
    receiver.next().await;
    setup.settled().await;
    assert!(receiver.rest().is_empty());
}
