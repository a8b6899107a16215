//! The discovery document of a provider (SSF §7.1).

use schemars::JsonSchema;
use serde::Serialize;

use super::{
    provider::Provider,
    stream::{METHOD_POLL, METHOD_PUSH},
    subject::list::DefaultSubjects,
};

/// The paths of a provider's resources below its issuer, used by the metadata and by the router.
pub mod resource {
    pub const JWKS: &str = "/jwks.json";
    pub const STREAMS: &str = "/ssf/streams";
    pub const STATUS: &str = "/ssf/status";
    pub const ADD_SUBJECT: &str = "/ssf/subjects/add";
    pub const REMOVE_SUBJECT: &str = "/ssf/subjects/remove";
    pub const VERIFY: &str = "/ssf/verify";
    /// Each stream has its own (SSF §6.1.2).
    pub const POLL: &str = "/ssf/poll/{stream_id}";
    pub const OPENAPI: &str = "/ssf/openapi.json";
}

/// The name of the well-known document (SSF §7.2).
pub const WELL_KNOWN: &str = "ssf-configuration";

/// Transmitter configuration metadata. No member is an empty array, because SSF §7.2.3 requires to
/// omit such a member.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Metadata")]
pub struct TransmitterMetadata<'a> {
    spec_version: &'static str,
    issuer: &'a str,
    jwks_uri: String,
    delivery_methods_supported: [&'static str; 2],
    configuration_endpoint: String,
    status_endpoint: String,
    add_subject_endpoint: String,
    remove_subject_endpoint: String,
    verification_endpoint: String,
    authorization_schemes: [AuthorizationScheme; 1],
    default_subjects: DefaultSubjects,
}

/// A way to present a credential (SSF §7.1.1).
#[derive(Debug, Serialize, JsonSchema)]
struct AuthorizationScheme {
    spec_urn: &'static str,
}

impl<'a> TransmitterMetadata<'a> {
    pub fn of(provider: &'a Provider) -> Self {
        let url = |resource| provider.issuer.url(resource);
        Self {
            spec_version: "1_0",
            issuer: provider.issuer.as_str(),
            jwks_uri: url(resource::JWKS),
            delivery_methods_supported: [METHOD_PUSH, METHOD_POLL],
            configuration_endpoint: url(resource::STREAMS),
            status_endpoint: url(resource::STATUS),
            add_subject_endpoint: url(resource::ADD_SUBJECT),
            remove_subject_endpoint: url(resource::REMOVE_SUBJECT),
            verification_endpoint: url(resource::VERIFY),
            // OAuth 2.0 bearer tokens (SSF §7.1.1).
            authorization_schemes: [AuthorizationScheme { spec_urn: "urn:ietf:rfc:6749" }],
            default_subjects: provider.default_subjects,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn metadata_names_every_endpoint_below_the_issuer() {
        let provider = Provider::example();
        let found =
            serde_json::to_value(TransmitterMetadata::of(&provider)).expect("metadata is JSON");
        assert_eq!(
            found,
            json!({
                "spec_version": "1_0",
                "issuer": "https://tx.example/t/acme",
                "jwks_uri": "https://tx.example/t/acme/jwks.json",
                "delivery_methods_supported": ["urn:ietf:rfc:8935", "urn:ietf:rfc:8936"],
                "configuration_endpoint": "https://tx.example/t/acme/ssf/streams",
                "status_endpoint": "https://tx.example/t/acme/ssf/status",
                "add_subject_endpoint": "https://tx.example/t/acme/ssf/subjects/add",
                "remove_subject_endpoint": "https://tx.example/t/acme/ssf/subjects/remove",
                "verification_endpoint": "https://tx.example/t/acme/ssf/verify",
                "authorization_schemes": [{"spec_urn": "urn:ietf:rfc:6749"}],
                "default_subjects": "ALL",
            })
        );
        let empty = |v: &Value| v.as_array().is_some_and(Vec::is_empty);
        assert!(!found.as_object().expect("an object").values().any(empty));
    }
}
