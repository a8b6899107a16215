//! The reasons that Receivers give when they refuse a SET.

/// The `err` codes that RFC 8935 §2.4 registers and that SSF §11 adds. The registry is open, so any
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

    /// Returns the registered name, or one word for all other codes, so that the label has few
    /// values.
    pub fn as_str(self) -> &'static str {
        let known = Self::REGISTERED.iter().find(|(_, code)| *code == self);
        known.map_or("other", |(name, _)| *name)
    }
}

/// The number of characters that are kept of a Receiver's `err` and `description`.
pub const EXCERPT_CHARS_MAX: usize = 256;

/// A refusal: `{"err": …, "description": …}` (RFC 8935 §2.3, RFC 8936 §2.6). Both texts come from
/// outside and are truncated to [`EXCERPT_CHARS_MAX`].
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

    /// Tells whether the Receiver refused the signature and not the content, so that it may accept
    /// the SET when it is signed with the current key. The second code appears only in drafts, but
    /// Receivers still send it.
    pub fn blames_key(&self) -> bool {
        self.code == ErrCode::InvalidKey || self.err == "jws_signature_failed"
    }
}

/// Returns the beginning of a text from outside, without control characters, which could disturb a
/// terminal or a log line.
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
    fn a_text_from_outside_is_truncated() {
        assert_eq!(SetError::new("x", &"y".repeat(10_000)).description.len(), EXCERPT_CHARS_MAX);
    }
}
