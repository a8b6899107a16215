//! The metadata of a Transmitter (SSF §7).

use serde::{Deserialize, Deserializer, de::Error as _};
use url::Url;

use crate::{
    cli::http::{HttpClient, HttpError},
    domain::{issuer::Issuer, metadata::WELL_KNOWN},
};

/// The members of the metadata that a Receiver uses (SSF §7.1).
#[derive(Debug, Clone, Deserialize)]
pub struct Metadata {
    pub issuer: String,
    #[serde(deserialize_with = "url")]
    pub jwks_uri: Url,
    #[serde(default, deserialize_with = "some_url")]
    pub configuration_endpoint: Option<Url>,
    #[serde(default, deserialize_with = "some_url")]
    pub status_endpoint: Option<Url>,
    #[serde(default, deserialize_with = "some_url")]
    pub verification_endpoint: Option<Url>,
}

/// Why the metadata cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum MetadataError {
    #[error(transparent)]
    Http(#[from] HttpError),
    #[error("{0} does not contain metadata with `issuer` and `jwks_uri`")]
    Unreadable(Url, #[source] serde_json::Error),
    /// Such metadata must not be used (SSF §7.2.4).
    #[error("the metadata has the issuer {0}, which is not the requested one")]
    OtherIssuer(String),
}

impl Metadata {
    /// Fetches the document at the well-known path of `issuer` (SSF §7.2).
    pub async fn fetch(http: &HttpClient, issuer: &Issuer) -> Result<Self, MetadataError> {
        let mut url = Url::parse(issuer.as_str()).expect("an issuer is a URL");
        url.set_path(&issuer.well_known_path(WELL_KNOWN));
        let json = http.get(&url).await?;
        let metadata: Self =
            serde_json::from_slice(&json).map_err(|error| MetadataError::Unreadable(url, error))?;
        if metadata.issuer != issuer.as_str() {
            return Err(MetadataError::OtherIssuer(metadata.issuer));
        }
        Ok(metadata)
    }
}

fn url<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Url, D::Error> {
    String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
}

fn some_url<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Url>, D::Error> {
    url(deserializer).map(Some)
}
