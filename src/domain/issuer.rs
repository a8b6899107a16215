//! The URL by which a provider is known.

use std::fmt;

use url::Url;

/// A Transmitter's issuer: an https URL without query or fragment (SSF §7.1). It keeps the exact
/// text of the configuration, because `iss`, the metadata and the URL used for discovery must be
/// identical (SSF §7.2.4).
///
/// Invariant: it parses as such a URL, and its path has no `.` or `..` segment and no escape.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Issuer {
    raw: String,
    /// Scheme, host and port, without a trailing slash.
    origin: String,
    /// Empty, or a slash and the path without a final slash (SSF §7.2).
    path: String,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "an issuer must be an https URL with a plain path and no query, fragment or user, not `{0}`"
)]
pub struct InvalidIssuer(String);

impl Issuer {
    pub fn as_str(&self) -> &str {
        &self.raw
    }

    /// Returns the path below which the provider's resources are: empty for an issuer without a
    /// path, otherwise for example `/t/acme`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Returns the URL of a resource below the issuer, such as `https://tx.example/t/acme` +
    /// `/jwks.json`.
    pub fn url(&self, resource: &str) -> String {
        format!("{}{}{resource}", self.origin, self.path)
    }

    /// Returns the path of a well-known document. The document's name goes between the host and the
    /// path of the issuer (SSF §7.2.1), not behind the path.
    pub fn well_known_path(&self, name: &str) -> String {
        format!("/.well-known/{name}{}", self.path)
    }

    /// Returns the URL of a well-known document.
    pub fn well_known_url(&self, name: &str) -> String {
        format!("{}{}", self.origin, self.well_known_path(name))
    }
}

impl TryFrom<String> for Issuer {
    type Error = InvalidIssuer;

    fn try_from(raw: String) -> Result<Self, InvalidIssuer> {
        let Ok(url) = Url::parse(&raw) else { return Err(InvalidIssuer(raw)) };
        let origin = url.origin().ascii_serialization();
        let path = url.path().trim_end_matches('/').to_owned();
        let plain = path.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~/".contains(&b));
        // If the parser would rewrite the URL (upper-case hosts, default ports, dot segments), the
        // result would not be identical to the URL that a Receiver used.
        let unchanged = raw.trim_end_matches('/') == format!("{origin}{path}");
        if url.scheme() == "https" && plain && unchanged && !path.contains("//") {
            Ok(Self { raw, origin, path })
        } else {
            Err(InvalidIssuer(raw))
        }
    }
}

impl fmt::Display for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.raw)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(raw: &str, well_known: &str, jwks: &str) {
        let issuer = Issuer::try_from(raw.to_owned()).expect("a valid issuer");
        assert_eq!(issuer.as_str(), raw);
        assert_eq!(issuer.well_known_path("ssf-configuration"), well_known);
        assert!(issuer.well_known_url("ssf-configuration").ends_with(well_known));
        assert_eq!(issuer.url("/jwks.json"), jwks);
    }

    #[test]
    fn a_well_known_path_stands_between_host_and_issuer_path() {
        let bare = "/.well-known/ssf-configuration";
        check("https://tx.example", bare, "https://tx.example/jwks.json");
        check("https://tx.example/", bare, "https://tx.example/jwks.json");
        let acme = "/.well-known/ssf-configuration/t/acme";
        check("https://tx.example/t/acme", acme, "https://tx.example/t/acme/jwks.json");
        check("https://tx.example/t/acme/", acme, "https://tx.example/t/acme/jwks.json");
        let port = "/.well-known/ssf-configuration/a";
        check("https://tx.example:8443/a", port, "https://tx.example:8443/a/jwks.json");
    }

    #[test]
    fn an_issuer_is_https_and_plain() {
        for raw in [
            "http://tx.example",
            "https://tx.example?x=1",
            "https://tx.example#f",
            "https://user@tx.example",
            "https://TX.example",
            "https://tx.example:443",
            "https://tx.example/a/../b",
            "https://tx.example/a//b",
            "https://tx.example/%20",
            "tx.example",
            "",
        ] {
            assert!(Issuer::try_from(raw.to_owned()).is_err(), "{raw}");
        }
    }
}
