//! What a credential allows.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::{
    audience::Audience,
    id::{ProviderName, ReceiverId},
    time::Timestamp,
};

/// What a Receiver's credential allows (CAEP-IOP §2.7.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Scope {
    /// Read streams and status, and poll.
    #[serde(rename = "ssf.read")]
    Read,
    /// All that `ssf.read` allows, and every change.
    #[serde(rename = "ssf.manage")]
    Manage,
}

impl Scope {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "ssf.read",
            Self::Manage => "ssf.manage",
        }
    }

    /// Whether holding `self` is enough where `needed` is asked for.
    pub fn covers(self, needed: Self) -> bool {
        self == Self::Manage || self == needed
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a scope is `ssf.read` or `ssf.manage`, not `{0}`")]
pub struct InvalidScope(String);

impl FromStr for Scope {
    type Err = InvalidScope;

    fn from_str(raw: &str) -> Result<Self, InvalidScope> {
        [Self::Read, Self::Manage]
            .into_iter()
            .find(|scope| scope.as_str() == raw)
            .ok_or_else(|| InvalidScope(raw.to_owned()))
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Who holds a credential. It decides which streams the holder sees and which `aud` its new streams
/// get (SSF §8).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Holder {
    Receiver {
        provider: ProviderName,
        receiver: ReceiverId,
        audience: Audience,
        scopes: Vec<Scope>,
    },
    Publisher {
        provider: ProviderName,
    },
    /// Of the daemon, and so of all providers.
    Operator,
}

/// The SHA-256 of a token, in lower-case hexadecimal: what is kept of a token in place of itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenHash(String);

impl TokenHash {
    /// `hex` is the digest that the layer of credentials made, or what a store kept of it.
    pub fn from_hex(hex: String) -> Self {
        Self(hex)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The head of the hash, enough to tell tokens apart in lists and to name one for revocation.
    pub fn id(&self) -> &str {
        &self.0[..self.0.len().min(12)]
    }
}

/// A static bearer token as the store keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    pub hash: TokenHash,
    pub holder: Holder,
    pub created_at: Timestamp,
    /// `None` never expires.
    pub expires_at: Option<Timestamp>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn manage_covers_read_and_not_the_reverse() {
        assert!(Scope::Manage.covers(Scope::Read));
        assert!(Scope::Manage.covers(Scope::Manage));
        assert!(Scope::Read.covers(Scope::Read));
        assert!(!Scope::Read.covers(Scope::Manage));
    }

    #[test]
    fn a_scope_prints_back() {
        for scope in [Scope::Read, Scope::Manage] {
            assert_eq!(scope.to_string().parse(), Ok(scope));
        }
        assert!("ssf.write".parse::<Scope>().is_err());
    }
}
