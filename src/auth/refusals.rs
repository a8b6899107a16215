//! Counts and logs the credentials that are refused. Operators see them, because the party that shows a
//! bad credential rarely tells them.

use std::time::Duration;

use super::{AuthError, TokenFault};
use crate::{
    clock,
    domain::{id::ProviderName, set_error::excerpt},
    telemetry::{log_pace::LogPace, metrics},
};

/// The shortest time between two log lines about the same client and reason.
const LOG_INTERVAL: Duration = Duration::from_mins(1);

/// The reason for a token of this daemon that is malformed, unknown or expired, or of another kind or
/// provider.
const UNKNOWN: &str = "unknown";
/// The reason for a valid token of a client that is no Receiver.
const UNLISTED: &str = "unlisted_client";
/// The reason for a client of the built-in token endpoint that is unknown or shows a wrong secret.
pub(super) const WRONG_SECRET: &str = "wrong_secret";

/// The log of refused credentials. A line names a provider, a client if there is one, and a reason.
#[derive(Debug)]
pub(super) struct Refusals(LogPace<(ProviderName, Option<String>, &'static str)>);

/// Returns the reason to count, if the error is the refusal of a credential that was shown.
pub(super) fn reason(error: &AuthError) -> Option<&'static str> {
    match error {
        AuthError::InvalidToken => Some(UNKNOWN),
        AuthError::InvalidAccessToken(fault) => Some(fault.label()),
        AuthError::UnknownClient { .. } => Some(UNLISTED),
        AuthError::NoCredential
        | AuthError::SeveralCredentials
        | AuthError::InsufficientScope(_)
        | AuthError::Unavailable { .. }
        | AuthError::TooMany { .. }
        | AuthError::Store(_) => None,
    }
}

impl Refusals {
    pub(super) fn new<'a>(providers: impl Iterator<Item = &'a ProviderName>) -> Self {
        for provider in providers {
            for reason in TokenFault::LABELS.into_iter().chain([UNKNOWN, UNLISTED, WRONG_SECRET]) {
                metrics::credentials_refused(provider, reason, 0);
            }
        }
        Self(LogPace::new(LOG_INTERVAL))
    }

    /// Notes a refusal. `issuer` is the authorization server, if it is not the built-in one. `client` is
    /// the client that the credential names, which may be made up.
    pub(super) fn note(
        &self,
        provider: &ProviderName,
        issuer: Option<&str>,
        client: Option<&str>,
        reason: &'static str,
    ) {
        metrics::credentials_refused(provider, reason, 1);
        let client = client.map(excerpt);
        let kind = (provider.clone(), client.clone(), reason);
        let Some(left_out) = self.0.admit(kind, clock::instant()) else { return };
        tracing::info!(%provider, issuer, client, reason, left_out, "a credential is refused");
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{self, Write},
        sync::{Arc, Mutex},
    };

    use super::*;

    /// Collects the log of a test.
    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl Write for Log {
        fn write(&mut self, text: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("no panic").write(text)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Each line names the issuer, the client and the reason. A flood of refusals makes one line of each.
    #[test]
    fn a_refused_credential_makes_one_line_of_its_kind() {
        let log = Log::default();
        let written = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .json()
            .flatten_event(true)
            .with_writer(move || written.clone())
            .finish();
        let acme = "acme".parse().expect("a name");
        tracing::subscriber::with_default(subscriber, || {
            let refusals = Refusals::new([&acme].into_iter());
            for _ in 0..1000 {
                refusals.note(&acme, Some("https://as.example"), Some("0oaRx"), "expired");
                refusals.note(&acme, Some("https://as.example"), Some("0oaRx"), "audience");
                refusals.note(&acme, None, None, UNKNOWN);
            }
        });
        let text = String::from_utf8(log.0.lock().expect("no panic").clone()).expect("text");
        assert_eq!(text.lines().count(), 3, "{text}");
        let first: serde_json::Value =
            serde_json::from_str(text.lines().next().expect("a line")).expect("JSON");
        for (field, value) in [
            ("level", "INFO"),
            ("provider", "acme"),
            ("issuer", "https://as.example"),
            ("client", "0oaRx"),
            ("reason", "expired"),
        ] {
            assert_eq!(first[field], value, "{text}");
        }
    }
}
