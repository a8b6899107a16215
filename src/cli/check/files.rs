//! Looks at the files that the configuration names: whether they are there, who may read them, and how
//! long their certificates are valid.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use serde_json::Value;
use url::Url;

use super::{Findings, certificates};
use crate::config::{Config, StoreBackend};

/// The permission of everybody who is neither the owner nor in the group.
const OTHERS_READ: u32 = 0o004;

/// The content of a file, by the last part of its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Content {
    Secret,
    Certificates,
}

/// A file that a key names.
#[derive(Debug, PartialEq, Eq)]
struct NamedFile {
    key: String,
    path: PathBuf,
    content: Content,
}

/// Looks for passwords in the URLs of a configuration that others can read. `file` is the file that the
/// configuration was read from.
pub(super) fn look_at_urls(config: &Config, file: &Path, findings: &mut Findings) {
    let mode = fs::metadata(file).map_or(0, |found| found.permissions().mode());
    if mode & OTHERS_READ == 0 {
        return;
    }
    let values = serde_json::to_value(config).expect("a configuration is plain data");
    let mut urls = Vec::new();
    with_password(&values, "", &mut urls);
    // A variable may have taken the place of what the file has.
    let text = fs::read_to_string(file).unwrap_or_default();
    urls.retain(|(_, url)| text.contains(url));
    urls.dedup_by(|(one, _), (other, _)| one == other);
    for (key, _) in urls {
        let file = file.display();
        findings.warning(
            key,
            format!(
                "has a password, and every user of this machine may read {file}; put the password into a file \
                 of its own, or use `chmod o= {file}`"
            ),
        );
    }
}

/// Finds URLs with a password, each with its key.
fn with_password(value: &Value, key: &str, urls: &mut Vec<(String, String)>) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                let key = if key.is_empty() { name.clone() } else { format!("{key}.{name}") };
                with_password(value, &key, urls);
            }
        }
        Value::Array(list) => list.iter().for_each(|value| with_password(value, key, urls)),
        Value::String(text) if Url::parse(text).is_ok_and(|url| url.password().is_some()) => {
            urls.push((key.to_owned(), text.clone()));
        }
        _ => {}
    }
}

pub(super) fn look_at(config: &Config, findings: &mut Findings) {
    let mut all = config.clone();
    all.providers = config.named_providers();
    // Without a list, the key has its default name.
    for (name, files) in config.signing_keys() {
        all.providers.entry(name).and_modify(|provider| provider.signing_keys = files);
    }
    let values = serde_json::to_value(&all).expect("a configuration is plain data");
    let mut files = Vec::new();
    named(&values, "", &mut files);
    match config.store.backend {
        StoreBackend::Sqlite => {
            // The settings of the other backend have no effect.
            files.retain(|file| !file.key.starts_with("store.redis."));
            let (key, path) = ("store.sqlite.path".to_owned(), config.store.sqlite.path.clone());
            files.push(NamedFile { key, path, content: Content::Secret });
        }
        StoreBackend::Redis => {}
    }
    for file in &files {
        look_at_one(file, findings);
    }
}

/// Finds the keys whose value is the path of a secret or of certificates.
fn named(value: &Value, key: &str, files: &mut Vec<NamedFile>) {
    let Value::Object(members) = value else { return };
    for (name, value) in members {
        let key = if key.is_empty() { name.clone() } else { format!("{key}.{name}") };
        let content = match name.as_str() {
            "signing_keys"
            | "client_secret"
            | "secret_files"
            | "enrolment_secret_files"
            | "authorization_files" => Content::Secret,
            name if name.ends_with("tls_key") || name.ends_with("password_file") => Content::Secret,
            name if name.ends_with("secret_file") => Content::Secret,
            name if name.ends_with("tls_certificate") || name.ends_with("tls_ca") => {
                Content::Certificates
            }
            "trusted_roots" | "tls_client_ca" => Content::Certificates,
            _ => {
                named(value, &key, files);
                continue;
            }
        };
        let paths = match value {
            Value::Array(list) => list.iter().collect(),
            one => vec![one],
        };
        for path in paths.into_iter().filter_map(Value::as_str) {
            files.push(NamedFile { key: key.clone(), path: path.into(), content });
        }
    }
}

fn look_at_one(file: &NamedFile, findings: &mut Findings) {
    let NamedFile { key, path, content } = file;
    let mode = match fs::metadata(path) {
        Ok(found) => found.permissions().mode(),
        Err(error) => {
            // The daemon creates its database, and the other findings tell the rest of these.
            if key.starts_with("store.redis.") || key.starts_with("ingest.") {
                findings.error(key.as_str(), format!("cannot read {}: {error}", path.display()));
            }
            return;
        }
    };
    match content {
        Content::Secret if mode & OTHERS_READ != 0 => findings.warning(
            key.as_str(),
            format!(
                "every user of this machine may read {}; use `chmod o= {}`",
                path.display(),
                path.display()
            ),
        ),
        Content::Secret => {}
        Content::Certificates => validity(key, path, findings),
    }
}

fn validity(key: &str, path: &Path, findings: &mut Findings) {
    match fs::read(path) {
        Ok(pem) => certificates::validity(key, path, &pem, findings),
        Err(error) => findings.error(key, format!("cannot read {}: {error}", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_url_with_a_password_is_found() {
        let values = json!({
            "store": {"redis": {"urls": ["redis://a", "redis://:hunter2@b", "redis://u:p@c"]}},
            "ingest": {"redis": {"url": "rediss://user:pass@host:6379"}},
            "push": {"trusted_roots": "/a:b@c"},
            "providers": {"acme": {"issuer": "https://user@tx.example",
                "oauth": {"jwks": "https://u:p@as.example/jwks"}}},
        });
        let mut urls = Vec::new();
        with_password(&values, "", &mut urls);
        let mut keys: Vec<_> = urls.into_iter().map(|(key, _)| key).collect();
        keys.sort();
        keys.dedup();
        assert_eq!(keys, ["ingest.redis.url", "providers.acme.oauth.jwks", "store.redis.urls"]);
    }

    #[test]
    fn every_key_with_a_path_of_a_secret_or_of_certificates_is_found() {
        let values = json!({
            "public": {"tls_certificate": "a", "tls_key": "b", "workers": 0},
            "store": {"redis": {"password_file": "c", "tls_ca": "d", "tls_key": null,
                "sentinel_password_file": "e"}},
            "push": {"trusted_roots": "f"},
            "sources": {"tls_client_ca": "o"},
            "providers": {"acme": {"signing_keys": ["g", "h"], "oauth": {"trusted_roots": "i",
                "introspection": {"client_secret": "j"}},
                "sources": {"kc": {"auth": {"secret_files": ["k"]}, "poll": {"trusted_roots": "l",
                    "auth": {"client_secret_file": "m", "secret_file": "n"}}}}}},
        });
        let mut files = Vec::new();
        named(&values, "", &mut files);
        files.sort_by(|one, other| one.path.cmp(&other.path));
        let secrets: Vec<_> = files.iter().map(|file| file.content == Content::Secret).collect();
        let paths: Vec<_> = files.iter().map(|file| file.path.to_str().expect("UTF-8")).collect();
        let letters: Vec<_> = ('a'..='o').map(String::from).collect();
        assert_eq!(paths, letters);
        let certificates: String = paths
            .iter()
            .zip(&secrets)
            .filter(|(_, secret)| !**secret)
            .map(|(path, _)| *path)
            .collect();
        assert_eq!(certificates, "adfilo");
        assert_eq!(files[9].key, "providers.acme.oauth.introspection.client_secret");
    }
}
