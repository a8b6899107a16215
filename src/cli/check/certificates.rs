//! Looks at certificates: how long they are valid, and for which names.

use std::{fs, path::Path, time::Duration};

use rustls::{client::verify_server_name, server::ParsedCertificate};
use rustls_pki_types::{CertificateDer, ServerName, pem::PemObject};
use url::Url;
use x509_parser::parse_x509_certificate;

use super::Findings;
use crate::{app, cli::moment, clock, config::Config, domain::time::Timestamp};

/// A certificate that ends sooner is a warning.
const RENEW_WITHIN: Duration = Duration::from_hours(14 * 24);

/// Checks that the certificate and the key of the public listener belong together, and that the
/// certificate is for the hosts of the issuers.
pub(super) fn of_public_listener(config: &Config, findings: &mut Findings) {
    if let Err(error) = app::load_public_certificate(&config.public) {
        findings.error("public.tls_certificate", error);
        return;
    }
    let Some(path) = &config.public.tls_certificate else { return };
    findings.ok("public.tls_certificate", "belongs to the key");
    let leaf = fs::read(path).ok().and_then(|pem| first_certificate(&pem));
    let Some(leaf) = leaf else { return };
    let Ok(certificate) = ParsedCertificate::try_from(&leaf) else { return };
    for provider in config.providers().into_iter().flatten() {
        let Ok(url) = Url::parse(provider.issuer.as_str()) else { continue };
        let Some(host) = url.host_str() else { continue };
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let is_for = ServerName::try_from(host.as_str())
            .is_ok_and(|name| verify_server_name(&certificate, &name).is_ok());
        if !is_for {
            findings.warning(
                "public.tls_certificate",
                format!(
                    "is not for {host}, the host of the issuer of `{}`; Receivers refuse it unless a \
                     proxy in front has another",
                    provider.name
                ),
            );
        }
    }
}

/// Checks that the certificate and the key of the sources' listener belong together, and that it can verify
/// the certificates of its clients.
pub(super) fn of_sources_listener(config: &Config, findings: &mut Findings) {
    let sources = &config.sources;
    match app::load_sources_certificate(sources) {
        Ok(None) => {}
        Ok(Some(_)) => findings.ok("sources.tls_certificate", "belongs to the key"),
        Err(error) => findings.error("sources.tls_certificate", error),
    }
    match app::load_client_authorities(sources) {
        Ok(None) => {}
        Ok(Some(_)) => findings.ok("sources.tls_client_ca", "can verify certificates of clients"),
        Err(error) => findings.error("sources.tls_client_ca", error),
    }
}

fn first_certificate(pem: &[u8]) -> Option<CertificateDer<'static>> {
    CertificateDer::pem_slice_iter(pem).next()?.ok()
}

/// Looks at the times of all certificates of a file.
pub(super) fn validity(key: &str, path: &Path, pem: &[u8], findings: &mut Findings) {
    let path = path.display();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        // Another finding names a file that cannot be read.
        let Ok(certificate) = certificate else { return };
        let Ok((_, parsed)) = parse_x509_certificate(&certificate) else {
            findings.error(key, format!("{path} has a certificate that cannot be parsed"));
            continue;
        };
        let validity = parsed.validity();
        let [begins, ends] = [validity.not_before, validity.not_after]
            .map(|time| Timestamp::from_millis(time.timestamp().saturating_mul(1000)));
        let subject: String =
            parsed.subject().to_string().chars().filter(|c| !c.is_control()).collect();
        match judge(begins, ends, clock::now()) {
            Validity::Valid => {}
            Validity::EndsSoon => findings.warning(
                key,
                format!(
                    "the certificate {subject} in {path} ends {}",
                    moment::show(ends.as_secs())
                ),
            ),
            Validity::Ended => findings.error(
                key,
                format!(
                    "the certificate {subject} in {path} ended {}",
                    moment::show(ends.as_secs())
                ),
            ),
            Validity::NotYet => findings.error(
                key,
                format!(
                    "the certificate {subject} in {path} is not valid before {}",
                    moment::show(begins.as_secs())
                ),
            ),
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Validity {
    Valid,
    EndsSoon,
    Ended,
    NotYet,
}

fn judge(begins: Timestamp, ends: Timestamp, now: Timestamp) -> Validity {
    if now < begins {
        Validity::NotYet
    } else if ends < now {
        Validity::Ended
    } else if ends < now + RENEW_WITHIN {
        Validity::EndsSoon
    } else {
        Validity::Valid
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_judged_by_its_times() {
        let at = |days: i64| Timestamp::from_millis(days * 24 * 3_600_000);
        for (begins, ends, expected) in [
            (-10, 90, Validity::Valid),
            (-10, 13, Validity::EndsSoon),
            (-10, -1, Validity::Ended),
            (1, 90, Validity::NotYet),
        ] {
            assert_eq!(judge(at(begins), at(ends), at(0)), expected);
        }
    }
}
