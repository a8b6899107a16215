//! The discovery documents for OAuth clients: a provider as a protected resource (RFC 9728), and as
//! its own authorization server (RFC 8414).

use schemars::JsonSchema;
use serde::Serialize;

use super::{grant::Scope, issuer::Issuer};

/// The path of a provider's token endpoint below its issuer.
pub const TOKEN_ENDPOINT: &str = "/oauth2/token";

/// The names of the well-known documents (RFC 9728 §3.1, RFC 8414 §3).
pub const PROTECTED_RESOURCE: &str = "oauth-protected-resource";
pub const AUTHORIZATION_SERVER: &str = "oauth-authorization-server";

/// The scopes that a client chooses from. The finer scopes are left out, because a client may ask
/// for all scopes that are listed.
const SCOPES: [Scope; 2] = [Scope::Read, Scope::Manage];

/// A provider as a protected resource. The resource identifier is the URL of the issuer.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ProtectedResource<'a> {
    resource: &'a str,
    authorization_servers: [&'a str; 1],
    scopes_supported: [Scope; 2],
    bearer_methods_supported: [&'static str; 1],
}

impl<'a> ProtectedResource<'a> {
    /// Makes the document. `authorization_server` is the issuer of the access tokens that the
    /// provider takes.
    pub fn of(issuer: &'a Issuer, authorization_server: &'a str) -> Self {
        Self {
            resource: issuer.as_str(),
            authorization_servers: [authorization_server],
            scopes_supported: SCOPES,
            bearer_methods_supported: ["header"],
        }
    }
}

/// A provider as its own authorization server.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "AuthorizationServer")]
pub struct AuthorizationServerMetadata<'a> {
    issuer: &'a str,
    token_endpoint: String,
    grant_types_supported: [&'static str; 1],
    token_endpoint_auth_methods_supported: [&'static str; 2],
    scopes_supported: [Scope; 2],
    /// RFC 8414 §2 requires this member, and §3.2 says to omit it when it is empty. It is sent for
    /// readers that insist on it, although there is no authorization endpoint.
    response_types_supported: [&'static str; 0],
}

impl<'a> AuthorizationServerMetadata<'a> {
    pub fn of(issuer: &'a Issuer) -> Self {
        Self {
            issuer: issuer.as_str(),
            token_endpoint: issuer.url(TOKEN_ENDPOINT),
            grant_types_supported: ["client_credentials"],
            token_endpoint_auth_methods_supported: ["client_secret_basic", "client_secret_post"],
            scopes_supported: SCOPES,
            response_types_supported: [],
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn issuer() -> Issuer {
        Issuer::try_from("https://tx.example/t/acme".to_owned()).expect("a valid URL")
    }

    #[test]
    fn a_provider_says_where_its_access_tokens_come_from() {
        let issuer = issuer();
        let found = ProtectedResource::of(&issuer, "https://as.example");
        assert_eq!(
            serde_json::to_value(found).expect("JSON"),
            json!({
                "resource": "https://tx.example/t/acme",
                "authorization_servers": ["https://as.example"],
                "scopes_supported": ["ssf.read", "ssf.manage"],
                "bearer_methods_supported": ["header"],
            })
        );
    }

    #[test]
    fn the_metadata_of_the_authorization_server_says_how_to_get_tokens() {
        assert_eq!(
            serde_json::to_value(AuthorizationServerMetadata::of(&issuer())).expect("JSON"),
            json!({
                "issuer": "https://tx.example/t/acme",
                "token_endpoint": "https://tx.example/t/acme/oauth2/token",
                "grant_types_supported": ["client_credentials"],
                "token_endpoint_auth_methods_supported":
                    ["client_secret_basic", "client_secret_post"],
                "scopes_supported": ["ssf.read", "ssf.manage"],
                "response_types_supported": [],
            })
        );
    }
}
