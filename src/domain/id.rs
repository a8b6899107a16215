//! The names of streams, Receivers, providers, SETs, keys, clients and devices.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A name that breaks the rule for names of its kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind} must be 1 to {length_max} characters out of A-Z a-z 0-9 - . _ ~")]
pub struct InvalidId {
    kind: &'static str,
    length_max: usize,
}

/// Allows only the unreserved characters of RFC 3986 §2.3, as SSF §8.1.1 advises for stream ids,
/// because names appear in URLs, Redis keys and log lines without escaping.
fn check(raw: &str, kind: &'static str, length_max: usize) -> Result<(), InvalidId> {
    let unreserved = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
    let valid = !raw.is_empty() && raw.len() <= length_max && raw.bytes().all(unreserved);
    if valid { Ok(()) } else { Err(InvalidId { kind, length_max }) }
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $length_max:literal) => {
        $(#[$doc])*
        ///
        /// Invariant: not empty, of bounded length, unreserved characters only.
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;

            fn try_from(raw: String) -> Result<Self, InvalidId> {
                check(&raw, $kind, $length_max)?;
                Ok(Self(raw))
            }
        }

        impl std::str::FromStr for $name {
            type Err = InvalidId;

            fn from_str(raw: &str) -> Result<Self, InvalidId> {
                Self::try_from(raw.to_owned())
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

id!(
    /// Names one stream, unique in the whole daemon (SSF §8.1.1).
    StreamId, "a stream id", 64
);
id!(
    /// Names a Receiver: the owner of streams, known by its credential.
    ReceiverId, "a Receiver id", 128
);
id!(
    /// Names a provider: one issuer with its own keys, metadata and streams.
    ProviderName, "a provider name", 64
);
id!(
    /// Names one SET in all its transmissions (RFC 8417 §2.2).
    Jti, "a jti", 128
);
id!(
    /// Names one key of a provider's JWK Set (RFC 7517 §4.5).
    KeyId, "a key id", 128
);
id!(
    /// Names a client of the built-in authorization server (RFC 6749 §2.2).
    ClientId, "a client id", 128
);
id!(
    /// Names a source of a provider: a way in for the native events of an identity provider.
    SourceName, "a source name", 64
);
id!(
    /// Names a table of agents: the devices of a provider that are judged by the same rules.
    AgentsName, "a name of agents", 64
);
id!(
    /// Names a device that reports its posture, unique among the devices of its agents.
    DeviceId, "a device id", 64
);
id!(
    /// Names a rule that devices have to meet.
    PostureRuleName, "a name of a posture rule", 64
);
id!(
    /// Names a token for people, such as `on-call`. Several tokens may have the same name, for
    /// example while one replaces the other, so it never identifies a token.
    CredentialName, "a credential name", 64
);

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_stream_id(raw: &str, valid: bool) {
        assert_eq!(raw.parse::<StreamId>().is_ok(), valid, "{raw:?}");
    }

    #[test]
    fn a_stream_id_takes_unreserved_characters_only() {
        check_stream_id("st_01J9ZK4", true);
        check_stream_id("A-z.0_~", true);
        check_stream_id("", false);
        check_stream_id("a b", false);
        check_stream_id("a/b", false);
        check_stream_id("a\n", false);
        check_stream_id("ü", false);
        check_stream_id(&"x".repeat(64), true);
        check_stream_id(&"x".repeat(65), false);
    }

    #[test]
    fn an_invalid_name_is_reported_with_its_kind_and_rule() {
        let error = "a b".parse::<ReceiverId>().expect_err("a space is not unreserved");
        assert_eq!(
            error.to_string(),
            "a Receiver id must be 1 to 128 characters out of A-Z a-z 0-9 - . _ ~"
        );
    }
}
