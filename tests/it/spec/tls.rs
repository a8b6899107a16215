//! TLS in both directions, as server and as client, read from the handshakes (RFC 9325).

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
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsConnector;

use crate::harness::{daemon::Daemon, setup::Setup, streams::push_to, within};

/// The suites with forward secrecy and authenticated encryption (RFC 9325 §4.2), and the value that
/// signals secure renegotiation (RFC 5746 §3.3).
const SUITES: [u16; 10] =
    [0x1301, 0x1302, 0x1303, 0xc02b, 0xc02c, 0xc02f, 0xc030, 0xcca8, 0xcca9, 0x00ff];
const CBC_SHA: u16 = 0xc013;
const GCM: u16 = 0xc02f;
/// Fatal alerts: the level, then the description (RFC 5246 §7.2).
const PROTOCOL_VERSION: [u8; 2] = [2, 70];
const HANDSHAKE_FAILURE: [u8; 2] = [2, 40];
const V1_1: u16 = 0x0302;
const V1_2: u16 = 0x0303;
const V1_3: u16 = 0x0304;

/// Starts a daemon whose public listener has a certificate. Returns its authority and the folder of
/// the files too.
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

async fn connect(daemon: &Daemon) -> TcpStream {
    let url = daemon.public_url("");
    TcpStream::connect(url.trim_start_matches("http://")).await.expect("it listens")
}

/// Returns the version that both sides agree on, and the answer to a request for the metadata.
async fn agreed(
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
    let name = ServerName::try_from("localhost").expect("a name");
    let connector = TlsConnector::from(Arc::new(config));
    let mut tls = connector.connect(name, connect(daemon).await).await.expect("a TLS session");
    let version = tls.get_ref().1.protocol_version().expect("the handshake is over");
    let request = "GET /.well-known/ssf-configuration/t/acme HTTP/1.1\r\nhost: localhost\r\n\
                   connection: close\r\n\r\n";
    tls.write_all(request.as_bytes()).await.expect("it reads");
    let mut response = String::new();
    // The way in which the connection is closed does not matter here.
    tls.read_to_string(&mut response).await.ok();
    (version, response)
}

/// Builds the hello of a client that knows this version at most, and one suite (RFC 5246 §7.4.1.2).
fn client_hello(version: u16, suite: u16) -> Vec<u8> {
    let sized = |body: &[u8]| {
        let length = u16::try_from(body.len()).expect("short");
        [&length.to_be_bytes(), body].concat()
    };
    // The groups secp256r1 and x25519, uncompressed points, and four algorithms to sign with.
    let groups = [&[0, 10][..], &sized(&sized(&[0, 23, 0, 29]))].concat();
    let points = [&[0, 11][..], &sized(&[1, 0])].concat();
    let signatures = [4, 3, 8, 4, 4, 1, 2, 1];
    let signatures = [&[0, 13][..], &sized(&sized(&signatures))].concat();
    let extensions = sized(&[groups, points, signatures].concat());
    // The hello holds random bytes, no session, the suite and no compression.
    let suites = sized(&suite.to_be_bytes());
    let hello =
        [&version.to_be_bytes()[..], &[7; 32], &[0], &suites, &[1, 0], &extensions].concat();
    let hello = [&[1, 0][..], &sized(&hello)].concat();
    [&[22, 3, 1][..], &sized(&hello)].concat()
}

/// Returns the alert that ends a handshake.
async fn alert(daemon: &Daemon, hello: &[u8]) -> [u8; 2] {
    let mut tcp = connect(daemon).await;
    tcp.write_all(hello).await.expect("it reads");
    let mut answer = Vec::new();
    tcp.read_to_end(&mut answer).await.expect("it answers, and closes");
    assert_eq!((answer[0], answer.len()), (21, 7), "one alert, and nothing else");
    [answer[5], answer[6]]
}

/// Returns the suites and the versions that a client offers in its first record.
async fn offered(listener: TcpListener) -> (Vec<u16>, Vec<u16>) {
    let (mut tcp, _) = listener.accept().await.expect("it connects");
    let mut head = [0; 5];
    tcp.read_exact(&mut head).await.expect("the head of a record");
    let mut record = vec![0; usize::from(u16::from_be_bytes([head[3], head[4]]))];
    tcp.read_exact(&mut record).await.expect("a record");
    let numbers = |bytes: &[u8]| -> Vec<u16> {
        bytes.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect()
    };
    let length = |at: usize| usize::from(u16::from_be_bytes([record[at], record[at + 1]]));
    // The suites follow the type, the length, the version, the random bytes and the session.
    let suites_at = 39 + usize::from(record[38]);
    let suites_end = suites_at + 2 + length(suites_at);
    let suites = numbers(&record[suites_at + 2..suites_end]);
    let mut at = suites_end + 1 + usize::from(record[suites_end]) + 2;
    while length(at) != 43 {
        at += 4 + length(at + 2);
    }
    (suites, numbers(&record[at + 5..at + 4 + length(at + 2)]))
}

/// The daemon as server chooses the newest version that both sides have, and 1.2 at least. As
/// client, it offers nothing older.
#[actix_web::test]
async fn sec_01_tls_is_at_least_1_2_in_both_directions_with_the_suites_of_rfc_9325() {
    let (daemon, roots, _folder) = with_a_certificate().await;
    for (versions, expected) in [
        (&[&TLS12][..], ProtocolVersion::TLSv1_2),
        (&[&TLS13], ProtocolVersion::TLSv1_3),
        (&[&TLS12, &TLS13], ProtocolVersion::TLSv1_3),
    ] {
        let (version, answer) = within("TLS is answered", agreed(&daemon, &roots, versions)).await;
        assert_eq!(version, expected);
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    }
    for version in [0x0301, V1_1] {
        assert_eq!(alert(&daemon, &client_hello(version, GCM)).await, PROTOCOL_VERSION);
    }
    assert_eq!(alert(&daemon, &client_hello(V1_2, CBC_SHA)).await, HANDSHAKE_FAILURE);

    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    let setup = Setup::new(push_to(&format!("https://localhost:{port}/in")), |_| {}).await;
    setup.publish(&["s-88"]).await;
    let (suites, versions) = within("the daemon says hello", offered(listener)).await;
    assert!(suites.iter().all(|suite| SUITES.contains(suite)), "{suites:04x?}");
    assert!(versions.iter().all(|version| [V1_2, V1_3].contains(version)), "{versions:04x?}");
    assert!(suites.contains(&GCM) && versions.contains(&V1_3), "both lists were read");
}
