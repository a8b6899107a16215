//! The bearer token in an `Authorization` header.

use super::AuthError;
use crate::domain::secret::Secret;

/// The longest token that is accepted, in bytes. A longer one is invalid.
const TOKEN_LENGTH_MAX: usize = 8192;

/// Reads the token of a bearer credential (RFC 6750 §2.1). Another scheme, or bytes that are not
/// text, are an invalid credential (401) and not an invalid request.
pub(super) fn token(authorization: Option<&[u8]>) -> Result<Secret, AuthError> {
    let value = authorization.ok_or(AuthError::NoCredential)?;
    let text = std::str::from_utf8(value).map_err(|_| AuthError::InvalidToken)?;
    let (scheme, token) = text.trim().split_once(' ').ok_or(AuthError::InvalidToken)?;
    let token = token.trim_start();
    let plausible = !token.is_empty() && token.len() <= TOKEN_LENGTH_MAX;
    if scheme.eq_ignore_ascii_case("bearer") && plausible {
        Ok(Secret::new(token))
    } else {
        Err(AuthError::InvalidToken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(header: Option<&[u8]>, expected: Result<&str, &str>) {
        let found = token(header).map_err(|error| error.to_string());
        match expected {
            Ok(token) => assert_eq!(found, Ok(Secret::new(token))),
            Err(text) => assert!(found.expect_err("no token").contains(text)),
        }
    }

    #[test]
    fn a_bearer_token_is_read_from_the_header_alone() {
        check(Some(b"Bearer abc"), Ok("abc"));
        check(Some(b"bearer  abc"), Ok("abc"));
        check(None, Err("is required"));
        check(Some(b"Bearer"), Err("malformed"));
        check(Some(b"Bearer "), Err("malformed"));
        check(Some(b"Basic YTpi"), Err("malformed"));
        check(Some(b"\xff\xfe"), Err("malformed"));
    }
}
