//! Counts the answers of an authorization server, and tells the operator of those that show a fault of
//! our own configuration.

use std::{error::Error, time::Duration};

use crate::{
    clock,
    domain::id::ProviderName,
    telemetry::{causes::with_causes, log_pace::LogPace, metrics},
};

/// The shortest time between two log lines about the same kind of answer.
const LOG_INTERVAL: Duration = Duration::from_mins(1);

/// The request that the server answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Question {
    /// For its JWK Set.
    Keys,
    /// Whether a token is active (RFC 7662).
    Introspection,
}

/// The answers of one server to one kind of request.
#[derive(Debug)]
pub(super) struct ServerAnswers {
    provider: ProviderName,
    question: Question,
    location: String,
    pace: LogPace<&'static str>,
}

/// The label of an answer that can be used.
const GOOD: &str = "ok";

/// Every label of an answer.
const LABELS: [&str; 9] = [
    GOOD,
    "status_401",
    "status_403",
    "status_404",
    "status_other",
    "untrusted",
    "unreachable",
    "timeout",
    "malformed",
];

impl Question {
    fn label(self) -> &'static str {
        match self {
            Self::Keys => "keys",
            Self::Introspection => "introspection",
        }
    }
}

impl ServerAnswers {
    /// `location` is the URL or the file that is read, for the log.
    pub(super) fn new(provider: &ProviderName, question: Question, location: String) -> Self {
        for answer in LABELS {
            metrics::authorization_server_answers(provider, question.label(), answer, 0);
        }
        Self { provider: provider.clone(), question, location, pace: LogPace::new(LOG_INTERVAL) }
    }

    pub(super) fn good(&self) {
        self.count(GOOD);
    }

    /// Counts an answer that cannot be used, or the lack of one. `label` is one of [`LABELS`].
    pub(super) fn bad(
        &self,
        error: &(dyn Error + 'static),
        label: &'static str,
        remedy: Option<&'static str>,
    ) {
        debug_assert!(LABELS.contains(&label), "{label}");
        self.count(label);
        let Some(left_out) = self.pace.admit(label, clock::instant()) else { return };
        tracing::warn!(
            provider = %self.provider,
            request = self.question.label(),
            location = self.location,
            error = with_causes(error),
            remedy,
            left_out,
            "an authorization server gives no usable answer"
        );
    }

    fn count(&self, label: &'static str) {
        metrics::authorization_server_answers(&self.provider, self.question.label(), label, 1);
    }
}
