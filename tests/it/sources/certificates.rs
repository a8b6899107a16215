//! The TLS of the sources' listener: its certificate, and those that it asks its clients for.

use std::{fs, sync::Arc};

use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use serde_json::{Value, json};
use ssfd::{app, config::Config};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

use super::{
    SECRET, SOURCE, Stand, by_bearer, logout,
    signing::{hex, sha256},
    table, with_secret,
};
use crate::harness::within;

/// An authority, which certifies servers and clients.
struct Authority {
    params: CertificateParams,
    key: KeyPair,
    certificate: rcgen::Certificate,
}

/// A certificate and its key.
struct Certified {
    der: CertificateDer<'static>,
    pem: String,
    key: KeyPair,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate");
        Self { params, key, certificate }
    }

    fn certify(
        &self,
        name: SanType,
        usage: ExtendedKeyUsagePurpose,
        change: impl FnOnce(&mut CertificateParams),
    ) -> Certified {
        let mut params = CertificateParams::default();
        params.subject_alt_names = vec![name];
        params.extended_key_usages = vec![usage];
        change(&mut params);
        let key = KeyPair::generate().expect("a key");
        let issuer = Issuer::from_params(&self.params, &self.key);
        let made = params.signed_by(&key, &issuer).expect("a certificate");
        Certified { der: made.der().clone(), pem: made.pem(), key }
    }

    fn server(&self) -> Certified {
        self.certify(dns("localhost"), ExtendedKeyUsagePurpose::ServerAuth, |_| {})
    }

    fn client(&self, name: SanType) -> Certified {
        self.certify(name, ExtendedKeyUsagePurpose::ClientAuth, |_| {})
    }
}

impl Certified {
    fn fingerprint(&self) -> String {
        hex(&sha256(&self.der))
    }
}

fn dns(name: &str) -> SanType {
    SanType::DnsName(name.try_into().expect("ASCII"))
}

/// A daemon whose sources' listener speaks TLS and asks for certificates of `clients`.
struct Tls {
    stand: Stand,
    files: TempDir,
    servers: Authority,
    clients: Authority,
}

impl Tls {
    /// The sources beside [`SOURCE`] have these tables of authentication.
    async fn new(provider: &str, others: &[(&str, Value)]) -> Self {
        let (servers, clients) = (Authority::new(), Authority::new());
        Self::with(provider, servers, clients, others).await
    }

    async fn with(
        provider: &str,
        servers: Authority,
        clients: Authority,
        others: &[(&str, Value)],
    ) -> Self {
        let files = tempfile::tempdir().expect("a folder");
        fs::write(files.path().join("clients.pem"), clients.certificate.pem()).expect("written");
        write_server(&files, &servers.server());
        let path = |name: &str| Some(files.path().join(name));
        let stand = Stand::with(provider, by_bearer(json!({})), |config: &mut Config| {
            config.sources.tls_certificate = path("server.pem");
            config.sources.tls_key = path("server.key");
            config.sources.tls_client_ca = path("clients.pem");
            let provider = config.providers.values_mut().next().expect("a provider");
            for (name, auth) in others {
                let source = with_secret(&table(json!({"auth": auth})), "");
                provider.sources.insert(name.parse().expect("a name"), source);
            }
        })
        .await;
        Self { stand, files, servers, clients }
    }

    /// Sends a record to a source with this certificate. Returns the status of the answer, or `None` if the
    /// listener refused the connection.
    async fn send(&self, source: &str, shown: Option<&Certified>, headers: &str) -> Option<u16> {
        let mut roots = RootCertStore::empty();
        roots.add(self.servers.certificate.der().clone()).expect("an authority");
        let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions that aws-lc has")
            .with_root_certificates(roots);
        let config = match shown {
            None => config.with_no_client_auth(),
            Some(shown) => {
                let key = PrivateKeyDer::try_from(shown.key.serialize_der()).expect("a key");
                config.with_client_auth_cert(vec![shown.der.clone()], key).expect("they fit")
            }
        };
        let tcp = TcpStream::connect(self.stand.setup.daemon.sources_address()).await;
        let name = ServerName::try_from("localhost").expect("a name");
        let session = TlsConnector::from(Arc::new(config));
        let session = session.connect(name, tcp.expect("it listens"));
        let mut session = within("a handshake", session).await.ok()?;
        let (body, provider) =
            (logout("1", source).to_string(), self.stand.setup.daemon.provider());
        let request = format!(
            "POST /in/{provider}/{source} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{headers}\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let exchanged = async {
            session.write_all(request.as_bytes()).await.ok()?;
            let mut answer = Vec::new();
            // With TLS 1.3 a client learns here that its certificate was refused.
            session.read_to_end(&mut answer).await.ok();
            String::from_utf8(answer).expect("ASCII").split(' ').nth(1)?.parse().ok()
        };
        within("an answer", exchanged).await
    }

    async fn refusals(&self, source: &str, reason: &str) -> u64 {
        let provider = self.stand.setup.daemon.provider();
        let labels = format!(r#"provider="{provider}",source="{source}",reason="{reason}""#);
        let series = format!("ssfd_source_auth_failures_total{{{labels}}}");
        super::whole(self.stand.setup.daemon.metric(&series).await)
    }
}

fn write_server(files: &TempDir, server: &Certified) {
    fs::write(files.path().join("server.pem"), &server.pem).expect("written");
    fs::write(files.path().join("server.key"), server.key.serialize_pem()).expect("written");
}

#[actix_web::test]
async fn a_source_demands_a_certificate_by_its_fingerprint_or_its_name() {
    const URI: &str = "spiffe://corp.example/idp";
    let (servers, clients) = (Authority::new(), Authority::new());
    let uri = SanType::URI(URI.try_into().expect("ASCII"));
    let [by_print, by_dns, by_uri, other] =
        [dns("a.example"), dns("idp.corp.example"), uri, dns("other.example")]
            .map(|name| clients.client(name));
    let auth = |members: Value| {
        let mut auth = json!({"scheme": "certificate"});
        for (key, value) in members.as_object().expect("members") {
            auth[key] = value.clone();
        }
        auth
    };
    let others = [
        ("print", auth(json!({"fingerprints": [by_print.fingerprint()]}))),
        ("dns", auth(json!({"subject_names": ["IDP.corp.example", "spare.corp.example"]}))),
        ("uri", auth(json!({"fingerprints": ["ab".repeat(32)], "subject_names": [URI]}))),
    ];
    let tls = Tls::with("certificates", servers, clients, &others).await;
    let made_up = format!("x-client: {}\r\n", by_print.fingerprint());
    for (source, good) in [("print", &by_print), ("dns", &by_dns), ("uri", &by_uri)] {
        assert_eq!(tls.send(source, None, "").await, Some(401), "{source}");
        assert_eq!(tls.send(source, None, &made_up).await, Some(401), "{source}");
        assert_eq!(tls.refusals(source, "missing").await, 2, "{source}");
        let mut wrong = 0;
        for bad in [&other, &by_print, &by_dns, &by_uri] {
            if !std::ptr::eq(bad, good) {
                assert_eq!(tls.send(source, Some(bad), "").await, Some(401), "{source}");
                wrong += 1;
            }
        }
        assert_eq!(tls.refusals(source, "wrong").await, wrong, "{source}");
        assert_eq!(tls.send(source, Some(good), "").await, Some(200), "{source}");
    }
    assert_eq!(tls.stand.users().await, ["print", "dns", "uri"]);
}

/// A source that demands no certificate is served as before, with and without one.
#[actix_web::test]
async fn a_client_without_a_certificate_is_admitted_where_none_is_demanded() {
    let tls = Tls::new("certificates-none", &[]).await;
    let bearer = format!("authorization: Bearer {SECRET}\r\n");
    let client = tls.clients.client(dns("idp.example"));
    for shown in [None, Some(&client)] {
        assert_eq!(tls.send(SOURCE, shown, &bearer).await, Some(200));
        assert_eq!(tls.send(SOURCE, shown, "").await, Some(401));
    }
    assert_eq!(tls.stand.users().await, [SOURCE]);
}

/// The listener ends the handshake of a certificate that it cannot verify, whatever the source.
#[actix_web::test]
async fn a_certificate_that_is_not_valid_is_refused_in_the_handshake() {
    let (servers, clients) = (Authority::new(), Authority::new());
    let name = || dns("idp.example");
    let stranger = Authority::new().client(name());
    let expired = clients.certify(name(), ExtendedKeyUsagePurpose::ClientAuth, |params| {
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2021, 1, 1);
    });
    let of_server = clients.certify(name(), ExtendedKeyUsagePurpose::ServerAuth, |_| {});
    let others = [("kept", json!({"scheme": "certificate", "subject_names": ["idp.example"]}))];
    let tls = Tls::with("certificates-bad", servers, clients, &others).await;
    let bearer = format!("authorization: Bearer {SECRET}\r\n");
    for bad in [&stranger, &expired, &of_server] {
        assert_eq!(tls.send(SOURCE, Some(bad), &bearer).await, None);
        assert_eq!(tls.send("kept", Some(bad), "").await, None);
    }
    assert!(tls.stand.users().await.is_empty());
    let good = tls.clients.client(name());
    assert_eq!(tls.send("kept", Some(&good), "").await, Some(200));
}

/// The certificate of this listener is part of the material, as that of the public one.
#[actix_web::test]
async fn the_certificate_of_the_listener_is_replaced_without_a_restart() {
    let mut tls = Tls::new("certificates-new", &[]).await;
    let bearer = format!("authorization: Bearer {SECRET}\r\n");
    assert_eq!(tls.send(SOURCE, None, &bearer).await, Some(200));
    let earlier = std::mem::replace(&mut tls.servers, Authority::new());
    write_server(&tls.files, &tls.servers.server());
    assert_eq!(tls.send(SOURCE, None, &bearer).await, None, "not before it is replaced");
    let daemon = &mut tls.stand.setup.daemon;
    let material = app::load_material(daemon.config()).expect("its files are usable");
    daemon.material().replace(material).expect("it fits");
    assert_eq!(tls.send(SOURCE, None, &bearer).await, Some(200));
    tls.servers = earlier;
    assert_eq!(tls.send(SOURCE, None, &bearer).await, None, "the earlier one is presented no more");
}
