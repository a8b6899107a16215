//! The public listener with a certificate of its own.

use std::{fs, sync::Arc};

use rustls::{
    ClientConfig, ProtocolVersion, RootCertStore, SupportedProtocolVersion,
    crypto::aws_lc_rs,
    version::{TLS12, TLS13},
};
use rustls_pki_types::{CertificateDer, ServerName, pem::PemObject};
use ssfd::cli::receive::certificate::make_certificate;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

use crate::harness::{daemon::Daemon, within};

/// The version that is agreed on, and what the metadata is answered with.
async fn ask(
    daemon: &Daemon,
    roots: &RootCertStore,
    versions: &[&'static SupportedProtocolVersion],
) -> (ProtocolVersion, String) {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .expect("versions that aws-lc has")
        .with_root_certificates(roots.clone())
        .with_no_client_auth();
    let url = daemon.public_url("");
    let tcp = TcpStream::connect(url.trim_start_matches("http://")).await.expect("it listens");
    let name = ServerName::try_from("localhost").expect("a name");
    let connector = TlsConnector::from(Arc::new(config));
    let mut tls = connector.connect(name, tcp).await.expect("a TLS session");
    let version = tls.get_ref().1.protocol_version().expect("the handshake is over");
    let request = "GET /.well-known/ssf-configuration/t/acme HTTP/1.1\r\nhost: localhost\r\n\
                   connection: close\r\n\r\n";
    tls.write_all(request.as_bytes()).await.expect("it reads");
    let mut response = String::new();
    // How the connection is closed is of no interest here.
    tls.read_to_string(&mut response).await.ok();
    (version, response)
}

/// A daemon with a certificate for `localhost`, and who vouches for it.
async fn with_a_certificate() -> (Daemon, RootCertStore, TempDir) {
    let made = make_certificate(&["localhost"]).expect("a certificate");
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str, pem: &str| {
        let path = folder.path().join(name);
        fs::write(&path, pem).expect("written");
        path
    };
    let certificate = file("chain.pem", &made.certificate_pem);
    let key = file("key.pem", &made.key_pem);
    let daemon = Daemon::with(|config| {
        config.public.tls_certificate = Some(certificate);
        config.public.tls_key = Some(key);
    })
    .await;
    let mut roots = RootCertStore::empty();
    let authority = CertificateDer::from_pem_slice(made.authority_pem.as_bytes());
    roots.add(authority.expect("PEM")).expect("a certificate");
    (daemon, roots, folder)
}

/// SEC-01, META-04, KEY-01: 1.2 at least, and the newest that both have.
#[actix_web::test]
async fn with_a_certificate_it_speaks_tls_1_3_and_1_2() {
    let (daemon, roots, _folder) = with_a_certificate().await;
    for (versions, agreed) in [
        (&[&TLS12][..], ProtocolVersion::TLSv1_2),
        (&[&TLS13], ProtocolVersion::TLSv1_3),
        (&[&TLS12, &TLS13], ProtocolVersion::TLSv1_3),
    ] {
        let asked = within("TLS is answered", ask(&daemon, &roots, versions)).await;
        assert_eq!(asked.0, agreed);
        assert!(asked.1.starts_with("HTTP/1.1 200 "), "{}", asked.1);
    }
}

/// SEC-01 (CAEP-IOP §2.1): refused with the alert that says why, and not by silence. Clients of these
/// versions are found in no library that is still kept, so what they say is spelled out.
#[actix_web::test]
async fn older_versions_of_tls_are_refused_with_an_alert() {
    let (daemon, _, _folder) = with_a_certificate().await;
    let address = daemon.public_url("").trim_start_matches("http://").to_owned();
    for version in [SSL_3_0, TLS_1_0, TLS_1_1] {
        // Where no signature algorithms are named, as by clients from before TLS 1.2, rustls finds
        // that before it looks at the version: handshake_failure (40), else protocol_version (70).
        for (extensions, description) in [(extensions(), 70), (Vec::new(), 40)] {
            let mut tcp = TcpStream::connect(&address).await.expect("it listens");
            tcp.write_all(&client_hello(version, &extensions)).await.expect("it reads");
            let mut answer = Vec::new();
            within("it is closed", tcp.read_to_end(&mut answer)).await.expect("an answer");
            // One record: an alert (21) of some version, two bytes long, fatal (2).
            assert!(
                matches!(answer[..], [21, 3, _, 0, 2, 2, said] if said == description),
                "{version:?}: {answer:?}"
            );
        }
    }
}

/// Plain HTTP is no TLS either.
#[actix_web::test]
async fn with_a_certificate_plain_http_is_not_answered() {
    let (daemon, _, _folder) = with_a_certificate().await;
    let address = daemon.public_url("").trim_start_matches("http://").to_owned();
    let mut tcp = TcpStream::connect(&address).await.expect("it listens");
    tcp.write_all(b"GET /t/acme/jwks.json HTTP/1.1\r\nhost: localhost\r\n\r\n")
        .await
        .expect("read");
    let mut answer = Vec::new();
    within("it is closed", tcp.read_to_end(&mut answer)).await.ok();
    assert!(!String::from_utf8_lossy(&answer).contains("HTTP"), "{answer:?}");
}

type Version = [u8; 2];

const SSL_3_0: Version = [3, 0];
const TLS_1_0: Version = [3, 1];
const TLS_1_1: Version = [3, 2];

/// A `ClientHello` that offers this version and none newer (RFC 4346 §7.4.1.2).
fn client_hello(version: Version, extensions: &[u8]) -> Vec<u8> {
    // ECDHE with ECDSA and RSA, and RSA, all with AES-128-CBC and SHA-1.
    const SUITES: [u8; 6] = [0xc0, 0x09, 0xc0, 0x13, 0x00, 0x2f];
    let mut hello = Vec::from(version);
    hello.extend([0x5a; 32]);
    // No session; the suites; no compression.
    hello.extend([0, 0, 6]);
    hello.extend(SUITES);
    hello.extend([1, 0]);
    hello.extend(extensions);
    let length = |bytes: &[u8]| u16::try_from(bytes.len()).expect("a short message").to_be_bytes();
    let mut handshake = vec![1, 0];
    handshake.extend(length(&hello));
    handshake.extend(hello);
    // Clients put the oldest version into the record, for servers that look no further.
    let mut record = vec![22, 3, if version == SSL_3_0 { 0 } else { 1 }];
    record.extend(length(&handshake));
    record.extend(handshake);
    record
}

/// What a client of TLS 1.1 sends: groups (secp256r1), point formats, signature algorithms
/// (ECDSA and RSA with SHA-256).
fn extensions() -> Vec<u8> {
    let groups = [0, 10, 0, 4, 0, 2, 0, 23];
    let formats = [0, 11, 0, 2, 1, 0];
    let signatures = [0, 13, 0, 6, 0, 4, 4, 3, 4, 1];
    let mut all = vec![0, 24];
    all.extend(groups);
    all.extend(formats);
    all.extend(signatures);
    all
}
