//! The outcome of one attempt to deliver a SET.

use std::time::Duration;

use crate::domain::set_error::{ErrCode, SetError};

/// The result of one push attempt. [`crate::delivery::retry`] judges it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// 202, or another 2xx: the Receiver has the SET (RFC 8935 §2.2).
    Accepted { status: u16 },
    /// 400: the Receiver read this SET and refused it (RFC 8935 §2.3).
    Refused(SetError),
    /// The attempt failed in a way that another may not.
    Failed { class: FailureClass, retry_after: Option<Duration>, detail: String },
}

/// Why an attempt failed; a metric label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FailureClass {
    /// No connection: DNS, refused, reset before a response, or connect timeout.
    Connect,
    /// No TLS session: no common version or cipher, or no TLS at all.
    TlsIncompatible,
    /// The certificate is not one that we trust for this host (RFC 8935 §5.3).
    TlsUntrusted,
    /// The endpoint's address is in a network that must not be dialled.
    AddressRefused,
    /// No full response within the deadline.
    Timeout,
    /// 429.
    Throttled,
    /// 408, 425 or 5xx.
    Unavailable,
    /// 401 or 403, or an `err` code that blames our credentials.
    Credentials,
    /// Any other status: 3xx, 404, 410, other 4xx.
    Misconfigured,
    /// We could not sign it.
    Signing,
    /// We had no connection, descriptor or look-up to spare.
    NoCapacity,
}

/// Whom a failure is about, whichever SET it happened to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Blame {
    /// The endpoint was not reached. The breaker counts the failure.
    Transport,
    /// The endpoint was reached, and accepts nothing until somebody changes something: our
    /// credential there, its URL, its certificate. The breaker counts the failure, and in the end the
    /// stream is paused.
    Endpoint,
    /// The endpoint answers, and is overloaded. Its host gets fewer attempts at a time.
    Load,
    /// Nobody at the Receiver's side: the failure is ours.
    Nothing,
}

impl FailureClass {
    pub fn blame(self) -> Blame {
        match self {
            Self::Connect | Self::TlsIncompatible | Self::Timeout => Blame::Transport,
            Self::TlsUntrusted | Self::AddressRefused | Self::Credentials | Self::Misconfigured => {
                Blame::Endpoint
            }
            Self::Throttled | Self::Unavailable => Blame::Load,
            Self::Signing | Self::NoCapacity => Blame::Nothing,
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::TlsIncompatible => "tls_incompatible",
            Self::TlsUntrusted => "tls_untrusted",
            Self::AddressRefused => "address_refused",
            Self::Timeout => "timeout",
            Self::Throttled => "throttled",
            Self::Unavailable => "unavailable",
            Self::Credentials => "credentials",
            Self::Misconfigured => "misconfigured",
            Self::Signing => "signing",
            Self::NoCapacity => "no_capacity",
        }
    }
}

impl Outcome {
    pub fn failed(class: FailureClass, detail: impl Into<String>) -> Self {
        Self::Failed { class, retry_after: None, detail: detail.into() }
    }

    /// A label of few values for the metric of attempts.
    pub fn class(&self) -> &'static str {
        match self {
            Self::Accepted { status: 202 } => "accepted",
            Self::Accepted { .. } => "accepted_other_2xx",
            Self::Refused(error) => match error.code {
                ErrCode::InvalidRequest => "refused_invalid_request",
                ErrCode::InvalidKey => "refused_invalid_key",
                ErrCode::InvalidIssuer => "refused_invalid_issuer",
                ErrCode::InvalidAudience => "refused_invalid_audience",
                ErrCode::AuthenticationFailed => "refused_authentication_failed",
                ErrCode::AccessDenied => "refused_access_denied",
                ErrCode::InvalidState => "refused_invalid_state",
                ErrCode::Other => "refused_other",
            },
            Self::Failed { class, .. } => class.as_str(),
        }
    }
}
