//! Turns errors into responses.

use std::time::Duration;

use actix_web::{
    HttpResponse, HttpResponseBuilder, ResponseError,
    http::{StatusCode, header},
};
use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    agents::DeviceError,
    auth::{AuthError, rates::TooMany},
    domain::{stream::InvalidMember, verification::whole_secs},
    source::SourceError,
    store::StoreError,
    telemetry::{causes::with_causes, metrics},
    transmitter::RequestError,
};

/// The beginning of every bearer challenge (RFC 6750 §3).
pub(super) const CHALLENGE: &str = r#"Bearer realm="ssf""#;

/// Why a request is refused.
#[derive(Debug, thiserror::Error)]
pub(super) enum ApiError {
    #[error(transparent)]
    Auth(AuthError),
    #[error("`{member}` {rule}")]
    BadRequest { member: String, rule: String },
    #[error("the body is larger than {bytes_max} bytes")]
    TooLarge { bytes_max: usize },
    /// A body has a deadline, so that nobody holds a connection by sending a byte now and then.
    #[error("the body did not arrive within {deadline:?}")]
    TooSlow { deadline: Duration },
    #[error("the body must be sent without a `Content-Encoding`")]
    Coded,
    #[error("{0}")]
    Forbidden(String),
    /// Also for another Receiver's stream (SSF §8), because a 403 would tell that it exists.
    #[error("no such stream")]
    NotFound,
    #[error("no such source")]
    NoSource,
    #[error("no such agents")]
    NoAgents,
    #[error("no such device")]
    NoDevice,
    /// An answer to a challenge, or an enrolment secret, that does not count. Every reason has the same text,
    /// but for a wrong clock.
    #[error("{0}")]
    Unproved(String),
    #[error("{}", RequestError::NothingKept)]
    NothingKept,
    #[error("{0}")]
    Conflict(String),
    #[error("too many requests")]
    TooMany { wait: Duration },
    #[error("too many requests are worked on")]
    Busy { wait: Duration },
    /// The event may be accepted later.
    #[error("too many SETs wait for this provider's Receivers")]
    Backlog { wait: Duration },
    #[error("not available at present")]
    Unavailable,
}

/// The form of every refusal (RFC 9457).
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Problem")]
pub(super) struct ProblemDetails<'a> {
    /// The reason phrase of the status.
    title: &'a str,
    status: u16,
    /// The error. Names the member and the rule, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
}

impl ApiError {
    pub(super) fn bad(member: &str, rule: impl Into<String>) -> Self {
        Self::BadRequest { member: member.to_owned(), rule: rule.into() }
    }

    fn store(error: &StoreError) -> Self {
        // The caller learns nothing of our internals. The log has the whole chain of causes.
        tracing::error!(error = with_causes(error), "the store failed a request");
        metrics::store_error("request");
        Self::Unavailable
    }

    /// Returns the challenge of RFC 6750 §3. It has an `error` only if a credential was shown.
    fn challenge(&self) -> Option<String> {
        let Self::Auth(error) = self else { return None };
        let error = match error {
            AuthError::NoCredential => return Some(CHALLENGE.to_owned()),
            AuthError::SeveralCredentials => "invalid_request",
            AuthError::InvalidToken | AuthError::InvalidAccessToken(_) => "invalid_token",
            // No scope is named, because no scope would help.
            AuthError::UnknownClient { .. } => "insufficient_scope",
            AuthError::InsufficientScope(scope) => {
                let scope = scope.standard();
                return Some(format!(
                    r#"{CHALLENGE}, error="insufficient_scope", scope="{scope}""#
                ));
            }
            AuthError::Unavailable { .. } | AuthError::TooMany { .. } | AuthError::Store(_) => {
                return None;
            }
        };
        Some(format!(r#"{CHALLENGE}, error="{error}""#))
    }

    /// Returns how long the caller should wait before the next request, where that is known.
    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::TooMany { wait: after }
            | Self::Busy { wait: after }
            | Self::Backlog { wait: after }
            | Self::Auth(AuthError::Unavailable { retry_after: after }) => Some(*after),
            _ => None,
        }
    }
}

impl From<AuthError> for ApiError {
    fn from(error: AuthError) -> Self {
        match error {
            AuthError::Store(error) => Self::store(&error),
            AuthError::TooMany { retry_after } => Self::TooMany { wait: retry_after },
            other => Self::Auth(other),
        }
    }
}

impl From<TooMany> for ApiError {
    fn from(TooMany(wait): TooMany) -> Self {
        Self::TooMany { wait }
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        RequestError::from(error).into()
    }
}

impl From<SourceError> for ApiError {
    fn from(error: SourceError) -> Self {
        match error {
            SourceError::Store(error) => error.into(),
            SourceError::HeldFull => Self::Conflict(error.to_string()),
        }
    }
}

impl From<DeviceError> for ApiError {
    fn from(error: DeviceError) -> Self {
        match error {
            DeviceError::NoDevice => Self::NoDevice,
            DeviceError::Taken | DeviceError::NotQuarantined(_) | DeviceError::NothingHeld => {
                Self::Conflict(error.to_string())
            }
            DeviceError::Token(rule) => Self::bad("token", rule.to_string()),
            DeviceError::Store(StoreError::Conflict) => {
                Self::Conflict("the device was changed by another request".to_owned())
            }
            DeviceError::Store(error) => error.into(),
        }
    }
}

impl From<InvalidMember> for ApiError {
    fn from(error: InvalidMember) -> Self {
        Self::bad(error.member, error.rule)
    }
}

impl From<RequestError> for ApiError {
    fn from(error: RequestError) -> Self {
        match error {
            RequestError::StreamNotFound => Self::NotFound,
            RequestError::Invalid(invalid) => invalid.into(),
            RequestError::StreamLimit(_)
            | RequestError::StreamExists(_)
            | RequestError::Disabled => Self::Conflict(error.to_string()),
            RequestError::TooSoon { wait } | RequestError::TooManySubjects { wait } => {
                Self::TooMany { wait }
            }
            // Not 429, because waiting does not make room.
            RequestError::SubjectLimit => Self::Forbidden(error.to_string()),
            RequestError::NothingKept => Self::NothingKept,
            RequestError::NoSuchPage => Self::bad("after", "is no `next` of such a page"),
            RequestError::NotEnabled => {
                Self::bad("stream_id", "names a stream that is not enabled")
            }
            RequestError::Signing => Self::Unavailable,
            RequestError::Credential(error) => error.into(),
            RequestError::Store(StoreError::Conflict) => {
                Self::Conflict(StoreError::Conflict.to_string())
            }
            RequestError::Store(error) => Self::store(&error),
        }
    }
}

impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        match self {
            Self::Auth(
                AuthError::NoCredential
                | AuthError::InvalidToken
                | AuthError::InvalidAccessToken(_),
            )
            | Self::Unproved(_) => StatusCode::UNAUTHORIZED,
            Self::Auth(AuthError::InsufficientScope(_) | AuthError::UnknownClient { .. })
            | Self::Forbidden(_) => StatusCode::FORBIDDEN,
            Self::BadRequest { .. } | Self::Auth(AuthError::SeveralCredentials) => {
                StatusCode::BAD_REQUEST
            }
            Self::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow { .. } => StatusCode::REQUEST_TIMEOUT,
            Self::Coded => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::NotFound
            | Self::NoSource
            | Self::NoAgents
            | Self::NoDevice
            | Self::NothingKept => StatusCode::NOT_FOUND,
            Self::Conflict(_) => StatusCode::CONFLICT,
            Self::TooMany { .. } | Self::Auth(AuthError::TooMany { .. }) => {
                StatusCode::TOO_MANY_REQUESTS
            }
            Self::Unavailable
            | Self::Busy { .. }
            | Self::Backlog { .. }
            | Self::Auth(AuthError::Unavailable { .. } | AuthError::Store(_)) => {
                StatusCode::SERVICE_UNAVAILABLE
            }
        }
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status_code());
        if let Some(challenge) = self.challenge() {
            response.insert_header((header::WWW_AUTHENTICATE, challenge));
        }
        if let Some(wait) = self.retry_after() {
            response.insert_header((header::RETRY_AFTER, whole_secs(wait).to_string()));
        }
        if let Self::Coded = self {
            // The codings that are supported (RFC 9110 §15.5.16).
            response.insert_header((header::ACCEPT_ENCODING, "identity"));
        }
        if let Self::TooSlow { .. } = self {
            // The rest of the body may still come, and would be read as a request
            // (RFC 9110 §15.5.9).
            response.force_close();
        }
        problem(&mut response, self.status_code(), Some(self.to_string()))
    }
}

fn problem(
    response: &mut HttpResponseBuilder,
    status: StatusCode,
    detail: Option<String>,
) -> HttpResponse {
    let title = status.canonical_reason().unwrap_or("Error");
    let body = ProblemDetails { title, status: status.as_u16(), detail };
    response
        .content_type("application/problem+json")
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .json(body)
}

/// Answers a path that names nothing.
pub(super) async fn not_found() -> HttpResponse {
    problem(&mut HttpResponse::NotFound(), StatusCode::NOT_FOUND, None)
}

/// Answers a method that a resource does not have with the list of its methods.
pub(super) fn not_allowed(methods: &str) -> HttpResponse {
    let mut response = HttpResponse::MethodNotAllowed();
    response.insert_header((header::ALLOW, methods));
    problem(&mut response, StatusCode::METHOD_NOT_ALLOWED, None)
}
