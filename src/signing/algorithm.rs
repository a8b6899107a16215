//! The signature algorithms.

use std::{fmt, str::FromStr};

use serde::{Serialize, Serializer};

/// The JWS algorithms that a SET may be signed with (RFC 7518 §3.1, RFC 8037 §3.1). All are
/// asymmetric: a JWK Set could not publish the key of another. The interoperability profile takes
/// RS256 alone (CAEP Interop §2.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Algorithm {
    Rs256,
    Es256,
    Es384,
    Es512,
    EdDsa,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is none of the algorithms RS256, ES256, ES384, ES512, EdDSA")]
pub struct UnknownAlgorithm(String);

impl Algorithm {
    pub const ALL: [Self; 5] = [Self::Rs256, Self::Es256, Self::Es384, Self::Es512, Self::EdDsa];

    /// The registered name, as in `alg`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::Es512 => "ES512",
            Self::EdDsa => "EdDSA",
        }
    }

    /// Whether a signature takes some twenty microseconds, and not ten or twenty times as long.
    pub fn is_quick(self) -> bool {
        match self {
            Self::Es256 | Self::EdDsa => true,
            Self::Rs256 | Self::Es384 | Self::Es512 => false,
        }
    }

    /// What a JOSE header or a JWK names: there, case counts (RFC 7515 §4.1.1).
    pub(super) fn of_alg(alg: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.as_str() == alg)
    }
}

/// For people, who may write it in any case.
impl FromStr for Algorithm {
    type Err = UnknownAlgorithm;

    fn from_str(raw: &str) -> Result<Self, UnknownAlgorithm> {
        let known = Self::ALL.into_iter().find(|known| known.as_str().eq_ignore_ascii_case(raw));
        known.ok_or_else(|| UnknownAlgorithm(raw.to_owned()))
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Serialize for Algorithm {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_may_write_an_algorithm_in_any_case() {
        for algorithm in Algorithm::ALL {
            assert_eq!(algorithm.to_string().to_lowercase().parse(), Ok(algorithm));
        }
        let error = "none".parse::<Algorithm>().expect_err("none is never allowed");
        assert!(error.to_string().starts_with("`none` is none of the algorithms RS256"), "{error}");
    }

    #[test]
    fn in_a_header_case_counts() {
        assert_eq!(Algorithm::of_alg("EdDSA"), Some(Algorithm::EdDsa));
        assert_eq!(Algorithm::of_alg("eddsa"), None);
        assert_eq!(Algorithm::of_alg("HS256"), None);
    }
}
