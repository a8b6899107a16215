//! What a Receiver says of a SET that it refuses.

/// The `err` codes that RFC 8935 §2.4 registers and SSF §11 adds. The registry is open, so any
/// other code is [`ErrCode::Other`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ErrCode {
    InvalidRequest,
    InvalidKey,
    InvalidIssuer,
    InvalidAudience,
    AuthenticationFailed,
    AccessDenied,
    InvalidState,
    Other,
}

impl ErrCode {
    pub const REGISTERED: [(&'static str, Self); 7] = [
        ("invalid_request", Self::InvalidRequest),
        ("invalid_key", Self::InvalidKey),
        ("invalid_issuer", Self::InvalidIssuer),
        ("invalid_audience", Self::InvalidAudience),
        ("authentication_failed", Self::AuthenticationFailed),
        ("access_denied", Self::AccessDenied),
        ("invalid_state", Self::InvalidState),
    ];

    pub fn parse(code: &str) -> Self {
        let known = Self::REGISTERED.iter().find(|(name, _)| *name == code);
        known.map_or(Self::Other, |(_, code)| *code)
    }

    /// The registered name; one word for all others, so that a label has few values.
    pub fn as_str(self) -> &'static str {
        let known = Self::REGISTERED.iter().find(|(_, code)| *code == self);
        known.map_or("other", |(name, _)| *name)
    }
}

/// The longest part of a Receiver's `err` and `description` that is kept, in characters.
pub const EXCERPT_CHARS_MAX: usize = 256;

/// A refusal: `{"err": …, "description": …}` (RFC 8935 §2.3, RFC 8936 §2.6). Both texts are a
/// stranger's, and cut to [`EXCERPT_CHARS_MAX`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetError {
    pub code: ErrCode,
    pub err: String,
    pub description: String,
}

impl SetError {
    pub fn new(err: &str, description: &str) -> Self {
        Self { code: ErrCode::parse(err), err: excerpt(err), description: excerpt(description) }
    }

    /// Whether the SET's signature was refused rather than what it says: it may be good once it is
    /// signed with the current key. The second code is of drafts, and Receivers still send it.
    pub fn blames_key(&self) -> bool {
        self.code == ErrCode::InvalidKey || self.err == "jws_signature_failed"
    }
}

/// The head of a stranger's text, without what would disturb a terminal or a log line.
pub fn excerpt(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(EXCERPT_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_code_is_kept_as_text() {
        let error = SetError::new("jwtCrypto", "bad\u{1b}[31m signature");
        assert_eq!((error.code, error.code.as_str()), (ErrCode::Other, "other"));
        assert_eq!(error.err, "jwtCrypto");
        assert_eq!(error.description, "bad[31m signature");
    }

    #[test]
    fn two_codes_blame_the_key() {
        for (err, blames) in
            [("invalid_key", true), ("jws_signature_failed", true), ("invalid_request", false)]
        {
            assert_eq!(SetError::new(err, "").blames_key(), blames, "{err}");
        }
    }

    #[test]
    fn a_strangers_text_is_cut() {
        assert_eq!(SetError::new("x", &"y".repeat(10_000)).description.len(), EXCERPT_CHARS_MAX);
    }
}
