//! Turns the error of an attempt that got no response into an outcome.

use std::{error::Error, fmt::Write, io};

use super::dial::DialError;
use crate::{
    delivery::outcome::{FailureClass, Outcome},
    domain::{endpoint_policy::EndpointRefused, set_error::excerpt},
};

/// Classifies an error by the types of its causes. The innermost cause decides, because it is the
/// most specific one.
pub(super) fn outcome_of(error: &(dyn Error + 'static)) -> Outcome {
    let class = causes(error).filter_map(class_of).last().unwrap_or(FailureClass::Connect);
    Outcome::failed(class, describe(error))
}

fn class_of(error: &(dyn Error + 'static)) -> Option<FailureClass> {
    if let Some(dial) = error.downcast_ref::<DialError>() {
        Some(dial.class())
    } else if error.is::<EndpointRefused>() {
        Some(FailureClass::AddressRefused)
    } else if let Some(io) = error.downcast_ref::<io::Error>() {
        io.raw_os_error()
            .filter(|code| OUT_OF_DESCRIPTORS.contains(code))
            .map(|_| FailureClass::NoCapacity)
    } else {
        // A server's alert may arrive only after the handshake (RFC 8446 §4.4).
        error.downcast_ref().map(class_of_tls)
    }
}

/// ENFILE and EMFILE, which are the same on every Linux.
const OUT_OF_DESCRIPTORS: [i32; 2] = [23, 24];

fn class_of_tls(error: &rustls::Error) -> FailureClass {
    use rustls::Error::{InvalidCertificate, NoCertificatesPresented, UnsupportedNameType};
    match error {
        InvalidCertificate(_) | NoCertificatesPresented | UnsupportedNameType => {
            FailureClass::TlsUntrusted
        }
        _ => FailureClass::TlsIncompatible,
    }
}

fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| cause_of(*error))
}

fn cause_of<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    match error.downcast_ref::<io::Error>() {
        // `source()` of an `io::Error` skips the error that it wraps.
        Some(io) => io.get_ref().map(|wrapped| wrapped as _),
        None => error.source(),
    }
}

/// Writes the causes in one line, each text once. An excerpt, because the text of a certificate comes
/// from a stranger.
fn describe(error: &(dyn Error + 'static)) -> String {
    let mut line = String::new();
    let mut last = String::new();
    for cause in causes(error) {
        let text = cause.to_string();
        if text != last {
            let separator = if line.is_empty() { "" } else { ": " };
            write!(line, "{separator}{text}").expect("a string takes any text");
        }
        last = text;
    }
    excerpt(&line)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[track_caller]
    fn check(error: impl Error + 'static, class: FailureClass, detail: &str) {
        assert_eq!(outcome_of(&error), Outcome::failed(class, detail));
    }

    #[test]
    fn a_failure_is_classified_by_the_types_of_its_causes() {
        let untrusted = rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer);
        check(
            DialError::Tls(io::Error::other(untrusted.clone())),
            FailureClass::TlsUntrusted,
            "no TLS session: invalid peer certificate: UnknownIssuer",
        );
        check(
            io::Error::other(untrusted),
            FailureClass::TlsUntrusted,
            "invalid peer certificate: UnknownIssuer",
        );
        check(
            DialError::Tls(io::Error::other(rustls::Error::AlertReceived(
                rustls::AlertDescription::ProtocolVersion,
            ))),
            FailureClass::TlsIncompatible,
            "no TLS session: received fatal alert: ProtocolVersion",
        );
        check(
            DialError::Tls(io::Error::from(io::ErrorKind::UnexpectedEof)),
            FailureClass::Connect,
            "no TLS session: unexpected end of file",
        );
        check(
            DialError::Connect(Box::new(io::Error::from(io::ErrorKind::ConnectionRefused))),
            FailureClass::Connect,
            "no connection: connection refused",
        );
        check(
            DialError::TlsTimeout(Duration::from_secs(5)),
            FailureClass::Timeout,
            "no TLS session within 5s",
        );
        check(
            DialError::Connect(Box::new(EndpointRefused::Address([10, 0, 0, 1].into()))),
            FailureClass::AddressRefused,
            "no connection: 10.0.0.1 is not a public address, and in none of the allowed networks",
        );
        check(
            DialError::Refused(EndpointRefused::Address([127, 0, 0, 1].into())),
            FailureClass::AddressRefused,
            "127.0.0.1 is not a public address, and in none of the allowed networks",
        );
        check(
            DialError::Connect(Box::new(io::Error::from_raw_os_error(24))),
            FailureClass::NoCapacity,
            "no connection: Too many open files (os error 24)",
        );
        check(
            io::Error::from(io::ErrorKind::ConnectionReset),
            FailureClass::Connect,
            "connection reset",
        );
    }
}
