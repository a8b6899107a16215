//! A client certificate, which a proxy in front of the listener or the listener itself has verified.
//!
//! The listener verifies certificates if `sources.tls_client_ca` names their authorities. A proxy must
//! verify them too, must remove the header from the requests of others, and must be in
//! `sources.trusted_proxies`.

use ipnet::IpNet;

use super::{Refusal, hmac::from_hex, required_text};
use crate::source::{client_certificate::SubjectName, request::SourceRequest};

/// The length of a SHA-256 fingerprint, in bytes.
const FINGERPRINT_LENGTH: usize = 32;

/// Compares the sender's certificate with those that are allowed. A certificate is allowed if its
/// fingerprint or one of its names is.
pub struct Certificate {
    shown: CertificateShown,
    fingerprints: Vec<Vec<u8>>,
    /// Empty if a proxy passes the fingerprint alone.
    names: Vec<SubjectName>,
}

/// The place where a certificate is shown.
pub enum CertificateShown {
    /// In a header, as a fingerprint of the certificate, or of its key or authority. The operator decides
    /// by the proxy's configuration what the header has.
    ToProxy { header: String, trusted_proxies: Vec<IpNet> },
    /// In the handshake of the connection.
    ToListener,
}

/// The reason why a list of certificates cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoFingerprint;

impl Certificate {
    /// Fails if a fingerprint is not 64 hexadecimal digits, perhaps with colons.
    pub fn new(
        shown: CertificateShown,
        fingerprints: &[String],
        names: Vec<SubjectName>,
    ) -> Result<Self, NoFingerprint> {
        let fingerprints = fingerprints.iter().map(|text| fingerprint(text)).collect::<Option<_>>();
        Ok(Self { shown, fingerprints: fingerprints.ok_or(NoFingerprint)?, names })
    }

    pub(super) fn verify(&self, request: &SourceRequest) -> Result<(), Refusal> {
        // Neither a fingerprint nor a name is a secret, so the comparisons may take any time.
        let is_allowed = match &self.shown {
            CertificateShown::ToProxy { header, trusted_proxies } => {
                let peer = request.peer.map(|peer| peer.to_canonical());
                let trusted = |peer| trusted_proxies.iter().any(|network| network.contains(&peer));
                if !peer.is_some_and(trusted) {
                    return Err(Refusal::UntrustedProxy);
                }
                let value = required_text(request, header)?;
                let fingerprint = fingerprint(value).ok_or(Refusal::Malformed)?;
                self.fingerprints.contains(&fingerprint)
            }
            CertificateShown::ToListener => {
                let certificate = request.certificate.as_ref().ok_or(Refusal::Missing)?;
                self.fingerprints.contains(&certificate.fingerprint)
                    || certificate.names.iter().any(|name| self.names.contains(name))
            }
        };
        if is_allowed { Ok(()) } else { Err(Refusal::Wrong) }
    }

    /// Tells the reason why a trial cannot show a certificate.
    pub(super) fn cannot_sign(&self) -> &'static str {
        match self.shown {
            CertificateShown::ToProxy { .. } => "only a proxy can pass a fingerprint",
            CertificateShown::ToListener => {
                "only the sender has the private key of its certificate; send the request with it, for \
                 example by `curl --cert … --key …`"
            }
        }
    }
}

fn fingerprint(text: &str) -> Option<Vec<u8>> {
    let digits: String = text.trim().chars().filter(|c| *c != ':').collect();
    from_hex(&digits).filter(|bytes| bytes.len() == FINGERPRINT_LENGTH)
}
