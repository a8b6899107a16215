//! A client certificate that a proxy in front of the listener has verified.
//!
//! The listener itself asks for no client certificate. The proxy must do so, must remove the header from
//! the requests of others, and must be in `sources.trusted_proxies`.

use ipnet::IpNet;

use super::{Refusal, hmac::from_hex, required_text};
use crate::source::request::SourceRequest;

/// The length of a SHA-256 fingerprint, in bytes.
const FINGERPRINT_LENGTH: usize = 32;

/// Compares the fingerprint of the sender's certificate, or of its key or authority, with those that are
/// allowed. The operator decides by the proxy's configuration what the header has.
pub struct Certificate {
    header: String,
    fingerprints: Vec<Vec<u8>>,
    trusted_proxies: Vec<IpNet>,
}

impl Certificate {
    /// Returns `None` if a fingerprint is not 64 hexadecimal digits, perhaps with colons.
    pub fn new(
        header: String,
        fingerprints: &[String],
        trusted_proxies: Vec<IpNet>,
    ) -> Option<Self> {
        let fingerprints = fingerprints.iter().map(|text| fingerprint(text)).collect::<Option<_>>();
        Some(Self { header, fingerprints: fingerprints?, trusted_proxies })
    }

    pub(super) fn verify(&self, request: &SourceRequest) -> Result<(), Refusal> {
        let peer = request.peer.map(|peer| peer.to_canonical());
        let trusted = |peer| self.trusted_proxies.iter().any(|network| network.contains(&peer));
        if !peer.is_some_and(trusted) {
            return Err(Refusal::UntrustedProxy);
        }
        let value = required_text(request, &self.header)?;
        let shown = fingerprint(value).ok_or(Refusal::Malformed)?;
        // A fingerprint is no secret, so the comparison may take any time.
        if self.fingerprints.contains(&shown) { Ok(()) } else { Err(Refusal::Wrong) }
    }
}

fn fingerprint(text: &str) -> Option<Vec<u8>> {
    let digits: String = text.trim().chars().filter(|c| *c != ':').collect();
    from_hex(&digits).filter(|bytes| bytes.len() == FINGERPRINT_LENGTH)
}
