//! The certificate that the client of a connection showed to the listener itself.
//!
//! The listener has verified its chain during the handshake. [`ClientCertificate`] is read once for each
//! connection, and `verify::certificate` compares it with those that a source allows.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use aws_lc_rs::digest::{SHA256, digest};
use x509_parser::{extensions::GeneralName, parse_x509_certificate};

/// The facts about a certificate that a source judges.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The SHA-256 of the whole certificate.
    pub fingerprint: Vec<u8>,
    pub names: Vec<SubjectName>,
}

/// A name in the subject alternative name of a certificate (RFC 5280 §4.2.1.6).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SubjectName {
    /// In lower case.
    Dns(String),
    Email(String),
    Uri(String),
    Address(IpAddr),
}

impl ClientCertificate {
    /// Reads a certificate in DER. If its extensions cannot be read, it has no names.
    pub fn read(der: &[u8]) -> Self {
        let fingerprint = digest(&SHA256, der).as_ref().to_vec();
        Self { fingerprint, names: names(der).unwrap_or_default() }
    }
}

fn names(der: &[u8]) -> Option<Vec<SubjectName>> {
    let (_, certificate) = parse_x509_certificate(der).ok()?;
    let extension = certificate.subject_alternative_name().ok()??;
    Some(extension.value.general_names.iter().filter_map(SubjectName::certified).collect())
}

impl SubjectName {
    /// Reads a name as an operator writes it. Returns `None` if the text has none of the four forms.
    pub fn written(text: &str) -> Option<Self> {
        let is_label = |c: char| c.is_ascii_alphanumeric() || "-._*".contains(c);
        if let Ok(address) = text.parse() {
            Some(Self::Address(address))
        } else if text.is_empty() || text.contains(char::is_whitespace) {
            None
        } else if text.contains(':') {
            Some(Self::Uri(text.to_owned()))
        } else if text.contains('@') {
            Some(Self::Email(text.to_owned()))
        } else {
            text.chars().all(is_label).then(|| Self::Dns(text.to_ascii_lowercase()))
        }
    }

    fn certified(name: &GeneralName<'_>) -> Option<Self> {
        match *name {
            GeneralName::DNSName(name) => Some(Self::Dns(name.to_ascii_lowercase())),
            GeneralName::RFC822Name(address) => Some(Self::Email(address.to_owned())),
            GeneralName::URI(uri) => Some(Self::Uri(uri.to_owned())),
            GeneralName::IPAddress(bytes) => address(bytes).map(Self::Address),
            _ => None,
        }
    }
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let four = <[u8; 4]>::try_from(bytes).map(|bytes| IpAddr::V4(Ipv4Addr::from(bytes)));
    four.ok().or_else(|| Some(IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?))))
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, SanType};

    use super::*;

    #[test]
    fn a_name_is_read_by_its_form() {
        let uri = "spiffe://corp.example/login";
        for (text, expected) in [
            ("Login.Corp.Example", Some(SubjectName::Dns("login.corp.example".to_owned()))),
            ("ops@corp.example", Some(SubjectName::Email("ops@corp.example".to_owned()))),
            (uri, Some(SubjectName::Uri(uri.to_owned()))),
            ("192.0.2.7", Some(SubjectName::Address([192, 0, 2, 7].into()))),
            ("::1", Some(SubjectName::Address(Ipv6Addr::LOCALHOST.into()))),
            ("", None),
            ("a name", None),
            ("a/b", None),
        ] {
            assert_eq!(SubjectName::written(text), expected, "{text}");
        }
    }

    #[test]
    fn a_certificate_has_its_fingerprint_and_its_names() {
        let written = ["login.corp.example", "ops@corp.example", "urn:x:y", "192.0.2.7", "::1"];
        let mut params = CertificateParams::default();
        params.subject_alt_names = written
            .iter()
            .map(|text| match SubjectName::written(text).expect("a name") {
                SubjectName::Dns(name) => SanType::DnsName(name.try_into().expect("ASCII")),
                SubjectName::Email(name) => SanType::Rfc822Name(name.try_into().expect("ASCII")),
                SubjectName::Uri(name) => SanType::URI(name.try_into().expect("ASCII")),
                SubjectName::Address(address) => SanType::IpAddress(address),
            })
            .collect();
        let key = KeyPair::generate().expect("a key");
        let der = params.self_signed(&key).expect("a certificate").der().to_vec();
        let certificate = ClientCertificate::read(&der);
        let expected: Vec<_> =
            written.iter().filter_map(|text| SubjectName::written(text)).collect();
        assert_eq!(certificate.names, expected);
        assert_eq!(certificate.fingerprint, digest(&SHA256, &der).as_ref());
        assert_eq!(ClientCertificate::read(b"no certificate").names, []);
    }
}
