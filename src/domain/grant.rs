//! Bearer tokens as the store keeps them, and the access that each allows.

use std::{fmt, str::FromStr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    audience::Audience,
    id::{ClientId, CredentialName, ProviderName, ReceiverId},
    time::Timestamp,
};

/// An access right of a Receiver's credential (CAEP-IOP §2.7.2). Each scope below `ssf.manage`
/// allows one kind of change.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub enum Scope {
    /// Allows reading streams and their status, and polling.
    #[serde(rename = "ssf.read")]
    Read,
    /// Allows everything that `ssf.read` allows, and every change.
    #[serde(rename = "ssf.manage")]
    Manage,
    #[serde(rename = "ssf.manage.create")]
    Create,
    #[serde(rename = "ssf.manage.update")]
    Update,
    #[serde(rename = "ssf.manage.delete")]
    Delete,
    #[serde(rename = "ssf.manage.status")]
    Status,
    #[serde(rename = "ssf.manage.subjects")]
    Subjects,
    #[serde(rename = "ssf.manage.verify")]
    Verify,
}

impl Scope {
    pub const ALL: [Self; 8] = [
        Self::Read,
        Self::Manage,
        Self::Create,
        Self::Update,
        Self::Delete,
        Self::Status,
        Self::Subjects,
        Self::Verify,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "ssf.read",
            Self::Manage => "ssf.manage",
            Self::Create => "ssf.manage.create",
            Self::Update => "ssf.manage.update",
            Self::Delete => "ssf.manage.delete",
            Self::Status => "ssf.manage.status",
            Self::Subjects => "ssf.manage.subjects",
            Self::Verify => "ssf.manage.verify",
        }
    }

    /// Tells whether a holder of `self` may do what `needed` protects.
    pub fn covers(self, needed: Self) -> bool {
        self == Self::Manage || self == needed
    }

    /// Returns the scope of the interoperability profile that covers `self`. A Receiver is told to
    /// ask for this one, because an authorization server may not know the finer scopes.
    #[must_use]
    pub fn standard(self) -> Self {
        if self == Self::Read { Self::Read } else { Self::Manage }
    }

    /// Reads a space-separated list (RFC 6749 §3.3) and skips scopes that are not ours.
    pub fn in_list(list: &str) -> Vec<Self> {
        list.split(' ').filter_map(|scope| scope.parse().ok()).collect()
    }

    /// Writes a space-separated list.
    pub fn list(scopes: &[Self]) -> String {
        scopes.iter().map(|scope| scope.as_str()).collect::<Vec<_>>().join(" ")
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "a scope is `ssf.read`, `ssf.manage`, or `ssf.manage.` and one of create, update, delete, \
     status, subjects, verify; not `{0}`"
)]
pub struct InvalidScope(String);

impl FromStr for Scope {
    type Err = InvalidScope;

    fn from_str(raw: &str) -> Result<Self, InvalidScope> {
        Self::ALL
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

/// The party that holds a credential. It decides which streams the holder sees and which `aud` the
/// holder's new streams get (SSF §8).
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
    /// An operator of the daemon, for all of its providers.
    Operator,
}

/// The holder of a stored token, and the names by which people know the token.
///
/// Stores write it as one JSON object. The names are optional members, so a token that was stored
/// before tokens had names is read as one without.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamedHolder {
    /// The name that an operator gave the token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<CredentialName>,
    /// The client that the built-in token endpoint issued the token to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<ClientId>,
    #[serde(flatten)]
    pub role: Holder,
}

impl From<Holder> for NamedHolder {
    fn from(role: Holder) -> Self {
        Self { name: None, client: None, role }
    }
}

/// The credential behind a request. It says who asked, so that a record of the request can name
/// them.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Credential {
    /// A token that an operator made. The hash identifies it; the name is for people.
    Token { hash: TokenHash, name: Option<CredentialName> },
    /// A client of the built-in token endpoint.
    Client(ClientId),
    /// A client of an external authorization server, by its name at that server.
    ExternalClient(String),
}

/// Writes the name and the id of a token, or the id of a client.
impl fmt::Display for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Token { hash, name: Some(name) } => write!(f, "token {name} ({})", hash.id()),
            Self::Token { hash, name: None } => write!(f, "token {}", hash.id()),
            Self::Client(id) => write!(f, "client {id}"),
            Self::ExternalClient(id) => write!(f, "external client {id}"),
        }
    }
}

/// The SHA-256 of a token, in lower-case hexadecimal. The store keeps the hash and never the token.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenHash(String);

impl TokenHash {
    /// Takes a digest that `auth` computed or that a store kept.
    pub fn from_hex(hex: String) -> Self {
        Self(hex)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the first digits of the hash. They tell tokens apart in lists and name one to
    /// revoke.
    pub fn id(&self) -> &str {
        &self.0[..self.0.len().min(12)]
    }
}

/// A bearer token as the store keeps it. An operator made it, or the token endpoint gave it to a
/// client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    pub hash: TokenHash,
    pub holder: NamedHolder,
    pub created_at: Timestamp,
    /// `None` if the token never expires.
    pub expires_at: Option<Timestamp>,
}

impl Grant {
    /// Returns the credential that a request with this token shows.
    pub fn credential(&self) -> Credential {
        match &self.holder.client {
            Some(client) => Credential::Client(client.clone()),
            None => Credential::Token { hash: self.hash.clone(), name: self.holder.name.clone() },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// AUTH-05
    #[test]
    fn manage_covers_everything_and_the_others_themselves() {
        for scope in Scope::ALL {
            assert!(Scope::Manage.covers(scope));
            assert!(scope.covers(scope));
            let others = Scope::ALL.into_iter().filter(|other| *other != scope);
            assert!(scope == Scope::Manage || !others.into_iter().any(|other| scope.covers(other)));
        }
    }

    #[test]
    fn a_scope_prints_back() {
        for scope in Scope::ALL {
            assert_eq!(scope.to_string().parse(), Ok(scope));
            assert_eq!(serde_json::to_value(scope).expect("JSON"), scope.as_str());
        }
        assert!("ssf.write".parse::<Scope>().is_err());
    }

    #[test]
    fn a_stored_holder_without_a_name_is_read_and_written_as_before() {
        for (json, name) in [
            (r#"{"kind":"operator"}"#, None),
            (r#"{"name":"on-call","kind":"operator"}"#, Some("on-call")),
            (r#"{"kind":"publisher","provider":"acme"}"#, None),
        ] {
            let holder: NamedHolder = serde_json::from_str(json).expect("a holder");
            assert_eq!(holder.name.as_ref().map(CredentialName::as_str), name);
            assert_eq!(serde_json::to_string(&holder).expect("JSON"), json);
        }
    }

    #[test]
    fn a_credential_is_written_with_its_name_and_id() {
        let hash = TokenHash::from_hex("3f9a1c".repeat(10));
        let name = Some("on-call".parse().expect("a name"));
        let holder = NamedHolder { name, ..Holder::Operator.into() };
        let grant = Grant { hash, holder, created_at: Timestamp::EPOCH, expires_at: None };
        assert_eq!(grant.credential().to_string(), "token on-call (3f9a1c3f9a1c)");
        let client = Some("acme".parse().expect("an id"));
        let holder = NamedHolder { client, ..Holder::Operator.into() };
        assert_eq!(Grant { holder, ..grant }.credential().to_string(), "client acme");
    }

    #[test]
    fn unknown_scopes_in_a_list_are_skipped() {
        let ours = Scope::in_list("openid ssf.manage.create  ssf.read ssf.manage.x SSF.MANAGE");
        assert_eq!(ours, [Scope::Create, Scope::Read]);
        assert_eq!(Scope::list(&ours), "ssf.manage.create ssf.read");
        assert!(Scope::in_list("").is_empty());
    }
}
