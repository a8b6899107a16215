//! A signing key that Receivers may not know yet.
//!
//! Receivers keep a JWK Set for a while, and some of them answer a SET whose `kid` they do not find with
//! `invalid_request` instead of `invalid_key` (RFC 8935 §2.4). Such an answer looks like the refusal of
//! one SET for good. So for a while after a key has followed another one, it is no reason to give a SET
//! up.

use std::time::Duration;

use crate::domain::{
    set_error::{ErrCode, SetError},
    stream::StreamConfig,
    time::Timestamp,
};

/// The key that signs a provider's SETs now, if it followed another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewKey {
    /// When it was first used.
    pub since: Timestamp,
    /// How long a Receiver may not know it.
    pub grace: Duration,
}

impl NewKey {
    /// Whether the Receiver of a stream may not know the key. The first key of a stream is no new one:
    /// its Receiver has read the JWK Set since.
    pub fn may_be_unknown(self, stream: &StreamConfig, now: Timestamp) -> bool {
        stream.created_at < self.since && now.since(self.since) < self.grace
    }
}

/// Whether a refusal may be that of a Receiver that does not know the key.
pub fn may_blame_new_key(error: &SetError) -> bool {
    error.code == ErrCode::InvalidRequest || error.blames_key()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: u64) -> Timestamp {
        Timestamp::EPOCH + Duration::from_secs(secs)
    }

    #[test]
    fn a_key_is_new_for_a_while_and_for_older_streams_only() {
        let key = NewKey { since: at(1000), grace: Duration::from_mins(15) };
        for (created, now, unknown) in [
            (0, 1000, true),
            (999, 1899, true),
            (999, 1900, false),
            (1000, 1001, false),
            (1500, 1600, false),
        ] {
            let stream = StreamConfig { created_at: at(created), ..StreamConfig::example("st_1") };
            assert_eq!(key.may_be_unknown(&stream, at(now)), unknown, "{created} {now}");
        }
    }

    #[test]
    fn codes_that_blame_the_whole_set_or_its_key_may_blame_a_new_key() {
        for (code, _) in ErrCode::REGISTERED {
            let may = matches!(code, "invalid_request" | "invalid_key");
            assert_eq!(may_blame_new_key(&SetError::new(code, "")), may, "{code}");
        }
        assert!(may_blame_new_key(&SetError::new("jws_signature_failed", "")));
        assert!(!may_blame_new_key(&SetError::new("", "")));
    }
}
