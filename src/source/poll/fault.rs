//! Why a round of a poll ends before the provider has no more records.

use std::{error::Error, time::Duration};

use hyper::StatusCode;

use super::link::BadLink;
use crate::{push::tls::is_distrust, source::SourceError};

/// The reason why a round failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    #[error("the provider cannot be reached, or broke off its answer")]
    Unreachable(#[source] Box<dyn Error + Send + Sync>),
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    #[error("the provider answered with status {status}")]
    Status { status: StatusCode, retry_after: Option<Duration> },
    #[error("the answer is larger than `poll.page_bytes_max`, {0} bytes")]
    TooLarge(usize),
    #[error("the answer {0}")]
    Malformed(String),
    #[error(transparent)]
    Link(#[from] BadLink),
    #[error("the records come in descending order, and the position could pass over some")]
    Unordered,
    #[error("no record of the page has a time that can be read")]
    Timeless,
    #[error("more records than `poll.page_size` have the same time")]
    Crowded,
    #[error("the next page is one that was read already")]
    Loop,
    /// The token endpoint gave no token.
    #[error("there is no access token")]
    Token(#[source] Box<Self>),
    #[error(transparent)]
    Source(#[from] SourceError),
}

impl Fault {
    /// Every label of a fault, for metrics that begin at 0.
    pub(super) const LABELS: [&'static str; 14] = [
        "unreachable",
        "untrusted",
        "timeout",
        "unauthorized",
        "forbidden",
        "not_found",
        "throttled",
        "status",
        "too_large",
        "malformed",
        "loop",
        "token",
        "held_full",
        "store",
    ];

    pub(super) fn label(&self) -> &'static str {
        match self {
            Self::Unreachable(error) if is_distrust(error.as_ref()) => "untrusted",
            Self::Unreachable(_) => "unreachable",
            Self::Timeout(_) => "timeout",
            Self::Status { status, .. } => match *status {
                StatusCode::UNAUTHORIZED => "unauthorized",
                StatusCode::FORBIDDEN => "forbidden",
                StatusCode::NOT_FOUND => "not_found",
                StatusCode::TOO_MANY_REQUESTS => "throttled",
                _ => "status",
            },
            Self::TooLarge(_) => "too_large",
            Self::Malformed(_)
            | Self::Link(_)
            | Self::Unordered
            | Self::Timeless
            | Self::Crowded => "malformed",
            Self::Loop => "loop",
            Self::Token(_) => "token",
            Self::Source(SourceError::HeldFull) => "held_full",
            Self::Source(SourceError::Store(_)) => "store",
        }
    }

    /// Returns the remedy, where another try is not likely to help.
    pub(super) fn remedy(&self) -> Option<&'static str> {
        Some(match self {
            Self::Token(fault) => match fault.label() {
                "untrusted" => return fault.remedy(),
                "unauthorized" | "status" | "forbidden" => {
                    "check `poll.auth`: the client, its secret, and where it shows it (`client_auth`)"
                }
                "not_found" | "malformed" => {
                    "check `poll.auth.token_url`: something else answers there"
                }
                _ => return None,
            },
            Self::Status { status, .. } if status.is_redirection() => {
                "redirects are not followed: give the URL that the provider leads to"
            }
            Self::Unordered => "ask for records in ascending order, for example `direction=asc`",
            Self::Timeless => "check `time` of the source",
            Self::Crowded => "raise `poll.page_size`, or add `{first}` to the URL",
            Self::Link(BadLink::Foreign) => {
                "give the URL in `poll.urls` the host that the provider's own links have"
            }
            _ => match self.label() {
                "untrusted" => {
                    "name the certificate authority of the provider in `poll.trusted_roots`, and use the host \
                     name of its certificate"
                }
                "unauthorized" => "check the credential in `poll.auth`",
                "forbidden" => "give the client in `poll.auth` the right to read these records",
                "not_found" => "check `poll.urls`: the provider has nothing there",
                "too_large" => "raise `poll.page_bytes_max`, or lower `poll.page_size`",
                "malformed" => "check `poll.urls`, `poll.records` and `poll.cursor`",
                "loop" => "check `poll.cursor`, or tell the provider",
                _ => return None,
            },
        })
    }

    /// Returns how long the provider asks us to wait.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } => *retry_after,
            Self::Token(fault) => fault.retry_after(),
            _ => None,
        }
    }

    pub(super) fn is_status(&self, status: StatusCode) -> bool {
        matches!(self, Self::Status { status: found, .. } if *found == status)
    }

    /// Tells whether the provider may have forgotten the page that was asked for.
    pub(super) fn is_gone(&self) -> bool {
        [StatusCode::BAD_REQUEST, StatusCode::NOT_FOUND, StatusCode::GONE]
            .into_iter()
            .any(|status| self.is_status(status))
    }
}
