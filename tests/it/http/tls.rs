//! The public listener with a certificate of its own.

use std::{fs, sync::Arc};

use rustls::{
    ClientConfig, ProtocolVersion, RootCertStore, SupportedProtocolVersion,
    crypto::aws_lc_rs,
    version::{TLS12, TLS13},
};
use rustls_pki_types::{CertificateDer, ServerName, pem::PemObject};
use ssfd::cli::receive::certificate::make_certificate;
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

/// SEC-01, META-04, KEY-01: 1.2 at least, and the newest that both have.
#[actix_web::test]
async fn with_a_certificate_it_speaks_tls_1_3_and_1_2() {
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
