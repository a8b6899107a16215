//! The algorithms by which another party may sign a JWT that we verify.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use super::algorithm::Algorithm;

/// The asymmetric algorithms of JWS (RFC 7518 §3.1, RFC 8037 §3.1). There is no symmetric one, so that
/// a public key can never be used as a shared secret (RFC 8725 §2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum JwsAlgorithm {
    Rs256,
    Rs384,
    Rs512,
    Ps256,
    Ps384,
    Ps512,
    Es256,
    Es384,
    Es512,
    EdDsa,
}

/// A text names no algorithm that we verify.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is none of the algorithms with public keys that are supported: RS256, RS384, RS512, PS256, \
     PS384, PS512, ES256, ES384, ES512, EdDSA"
)]
pub struct UnsupportedAlgorithm(String);

/// The name that RFC 9864 §2.2 gives to `EdDSA` on the curve Ed25519.
const ED25519: &str = "Ed25519";

impl JwsAlgorithm {
    pub const ALL: [Self; 10] = [
        Self::Rs256,
        Self::Rs384,
        Self::Rs512,
        Self::Ps256,
        Self::Ps384,
        Self::Ps512,
        Self::Es256,
        Self::Es384,
        Self::Es512,
        Self::EdDsa,
    ];

    /// The algorithms of RSA keys. A key of this kind fits all of them, unless its `alg` names one.
    pub(super) const RSA: [Self; 6] =
        [Self::Rs256, Self::Rs384, Self::Rs512, Self::Ps256, Self::Ps384, Self::Ps512];

    /// Returns the registered name. `EdDSA` has two, and the older one is more widely known.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Rs384 => "RS384",
            Self::Rs512 => "RS512",
            Self::Ps256 => "PS256",
            Self::Ps384 => "PS384",
            Self::Ps512 => "PS512",
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::Es512 => "ES512",
            Self::EdDsa => "EdDSA",
        }
    }

    /// Returns the same algorithm as one that a SET may be signed with, if it is one.
    pub(super) fn for_sets(self) -> Option<Algorithm> {
        Algorithm::ALL.into_iter().find(|algorithm| algorithm.as_str() == self.as_str())
    }
}

impl From<Algorithm> for JwsAlgorithm {
    fn from(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::Rs256 => Self::Rs256,
            Algorithm::Es256 => Self::Es256,
            Algorithm::Es384 => Self::Es384,
            Algorithm::Es512 => Self::Es512,
            Algorithm::EdDsa => Self::EdDsa,
        }
    }
}

/// Reads the name in a JOSE header or a JWK, where case matters (RFC 7515 §4.1.1).
impl FromStr for JwsAlgorithm {
    type Err = UnsupportedAlgorithm;

    fn from_str(alg: &str) -> Result<Self, UnsupportedAlgorithm> {
        if alg == ED25519 {
            return Ok(Self::EdDsa);
        }
        let known = Self::ALL.into_iter().find(|known| known.as_str() == alg);
        known.ok_or_else(|| UnsupportedAlgorithm(alg.to_owned()))
    }
}

impl fmt::Display for JwsAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Serialize for JwsAlgorithm {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for JwsAlgorithm {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_reads_back_and_eddsa_has_two() {
        for algorithm in JwsAlgorithm::ALL {
            assert_eq!(algorithm.to_string().parse(), Ok(algorithm));
        }
        assert_eq!("Ed25519".parse(), Ok(JwsAlgorithm::EdDsa));
        for alg in ["none", "HS256", "rs256", "eddsa", "Ed448", ""] {
            let error = alg.parse::<JwsAlgorithm>().expect_err(alg).to_string();
            assert!(
                error.contains(&JwsAlgorithm::ALL.map(JwsAlgorithm::as_str).join(", ")),
                "{error}"
            );
        }
    }

    #[test]
    fn a_set_may_be_signed_with_each_of_our_algorithms() {
        let for_sets: Vec<_> =
            JwsAlgorithm::ALL.into_iter().filter_map(JwsAlgorithm::for_sets).collect();
        assert_eq!(for_sets, Algorithm::ALL);
    }
}
