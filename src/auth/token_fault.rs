//! The reasons for which an access token is refused.

/// The reason why an access token is refused. The text names the rule that the token breaks and
/// never repeats content of the token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenFault {
    #[error("it is not a JWT of three parts in base64url")]
    NotCompact,
    #[error("its `typ` is not `at+jwt` (RFC 9068 §4)")]
    Type,
    #[error("its `alg` is not accepted")]
    Algorithm,
    #[error("it has no `kid`")]
    NoKeyId,
    #[error("its `crit` requires extensions, and none is supported (RFC 7515 §4.1.11)")]
    Critical,
    #[error("its `kid` names no key of the authorization server")]
    UnknownKey,
    #[error("its signature does not verify")]
    Signature,
    #[error("it has `events`, as a Security Event Token has (RFC 8417 §4.2)")]
    Events,
    #[error("it is bound to a key by `cnf`, so it is not a bearer token")]
    Bound,
    #[error("its `{0}` is not that of a bearer access token")]
    Kind(&'static str),
    #[error("its `{0}` is missing or has the wrong type (RFC 9068 §2.2)")]
    Claim(&'static str),
    #[error("it names no client")]
    NoClient,
    #[error(
        "its `{0}` is not that of a client's own token (`require` of the authorization server's \
         configuration); a person's token opens nothing here"
    )]
    Requirement(String),
    #[error("its `iss` is not the authorization server of this Transmitter")]
    Issuer,
    #[error("its `aud` does not name this Transmitter")]
    Audience,
    #[error("it has expired")]
    Expired,
    #[error("it is not valid yet")]
    NotYet,
    #[error("its lifetime is longer than allowed")]
    TooLong,
    #[error(
        "the authorization server says that it is not active. A server that says so of every token \
         may require the client by which this Transmitter asks in `aud` too, as Keycloak does: give \
         the token a second audience, `introspection.client_id`"
    )]
    Inactive,
}

impl TokenFault {
    /// Every label of a fault. Several faults of one kind share a label.
    pub(super) const LABELS: [&str; 15] = [
        "malformed",
        "type",
        "algorithm",
        "unknown_key",
        "signature",
        "kind",
        "bound",
        "claim",
        "client",
        "requirement",
        "issuer",
        "audience",
        "expired",
        "lifetime",
        "inactive",
    ];

    /// Returns the reason for metrics and logs.
    pub(super) fn label(&self) -> &'static str {
        match self {
            Self::NotCompact | Self::Critical => "malformed",
            Self::Type => "type",
            Self::Algorithm => "algorithm",
            Self::NoKeyId | Self::UnknownKey => "unknown_key",
            Self::Signature => "signature",
            Self::Events | Self::Kind(_) => "kind",
            Self::Bound => "bound",
            Self::Claim("aud") | Self::Audience => "audience",
            Self::Claim("iss") | Self::Issuer => "issuer",
            Self::Claim(_) => "claim",
            Self::NoClient => "client",
            Self::Requirement(_) => "requirement",
            Self::Expired => "expired",
            Self::NotYet | Self::TooLong => "lifetime",
            Self::Inactive => "inactive",
        }
    }
}
