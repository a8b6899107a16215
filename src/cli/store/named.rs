//! The names of stores on the command line.

use std::{fmt, fs, path::PathBuf, str::FromStr};

use url::Url;

use crate::{
    cli::{CliError, source},
    config::{self, Config, StoreBackend, StoreSettings},
    domain::secret::Secret,
};

/// A store, as an argument names it.
#[derive(Debug, Clone)]
pub(super) enum StoreName {
    Sqlite(PathBuf),
    /// The URL of a Redis server, which may contain a password.
    Redis(Secret),
    /// The store of the configuration, or of the one in a file.
    Config(Option<PathBuf>),
}

const SCHEMES: [&str; 3] = ["redis://", "rediss://", "redis+unix://"];

impl FromStr for StoreName {
    type Err = &'static str;

    fn from_str(raw: &str) -> Result<Self, Self::Err> {
        match raw.split_once(':') {
            None if raw == "config" => Ok(Self::Config(None)),
            Some(("config", file)) if !file.is_empty() => Ok(Self::Config(Some(file.into()))),
            Some(("sqlite", path)) if !path.is_empty() => Ok(Self::Sqlite(path.into())),
            _ if SCHEMES.iter().any(|scheme| raw.starts_with(scheme)) => {
                Ok(Self::Redis(Secret::new(raw)))
            }
            _ => Err("must be `sqlite:PATH`, `config`, `config:FILE`, or a URL `redis://`, \
                 `rediss://` or `redis+unix://`"),
        }
    }
}

/// Formats the name without user and password.
impl fmt::Display for StoreName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
            Self::Config(None) => f.write_str("config"),
            Self::Config(Some(file)) => write!(f, "config:{}", file.display()),
            Self::Redis(url) => match Url::parse(url.expose()) {
                Ok(url) => {
                    let port = url.port().map_or(String::new(), |port| format!(":{port}"));
                    let host = url.host_str().unwrap_or_default();
                    write!(f, "{}://{host}{port}{}", url.scheme(), url.path())
                }
                Err(_) => f.write_str("redis"),
            },
        }
    }
}

impl StoreName {
    /// Returns the settings of the store. The configuration gives all settings that the name does
    /// not.
    pub(super) fn settings(&self, config: &Config) -> Result<StoreSettings, CliError> {
        let mut settings = config.store.clone();
        match self {
            Self::Config(None) => {}
            Self::Config(Some(file)) => {
                // Variables that are settings apply to the main configuration only.
                let other = config::load(Some(file), source::credentials());
                let other = other.map_err(CliError::new)?;
                settings = other.store;
            }
            Self::Sqlite(path) => {
                settings.backend = StoreBackend::Sqlite;
                settings.sqlite.path.clone_from(path);
            }
            Self::Redis(url) => {
                settings.backend = StoreBackend::Redis;
                settings.redis.urls = vec![url.expose().to_owned()];
            }
        }
        Ok(settings)
    }
}

/// Returns whether both settings name one store.
pub(super) fn are_same(one: &StoreSettings, other: &StoreSettings) -> bool {
    match (one.backend, other.backend) {
        (StoreBackend::Sqlite, StoreBackend::Sqlite) => {
            let [one, other] = [one, other].map(|settings| &settings.sqlite.path);
            one == other
                || matches!((fs::canonicalize(one), fs::canonicalize(other)),
                    (Ok(one), Ok(other)) if one == other)
        }
        (StoreBackend::Redis, StoreBackend::Redis) => {
            let (one, other) = (&one.redis, &other.redis);
            one.key_prefix == other.key_prefix
                && one.urls.iter().any(|url| other.urls.contains(url))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(raw: &str) -> StoreName {
        raw.parse().expect("a store's name")
    }

    #[test]
    fn a_name_is_shown_without_its_password() {
        for (raw, shown) in [
            ("sqlite:/var/lib/ssfd/ssfd.db", "sqlite:/var/lib/ssfd/ssfd.db"),
            ("config", "config"),
            ("config:old.toml", "config:old.toml"),
            ("rediss://kim:secret@redis.example:6380/2", "rediss://redis.example:6380/2"),
            ("redis+unix:///run/redis.sock?pass=secret", "redis+unix:///run/redis.sock"),
        ] {
            let name = named(raw);
            assert_eq!(name.to_string(), shown);
            assert!(!format!("{name:?}").contains("secret"));
        }
        for raw in ["", "sqlite:", "config:", "/var/lib/ssfd.db", "postgres://x"] {
            assert!(raw.parse::<StoreName>().is_err(), "{raw}");
        }
    }

    #[test]
    fn two_names_of_one_store_are_recognised() {
        let config = Config::default();
        let settings = |raw| named(raw).settings(&config).expect("valid");
        let same = |one, other| are_same(&settings(one), &settings(other));
        assert!(same("config", "sqlite:ssfd.db"));
        assert!(same("redis://a", "redis://a"));
        assert!(!same("redis://a", "redis://b"));
        assert!(!same("config", "redis://127.0.0.1:6379"));
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("ssfd.db");
        fs::write(&path, "").expect("written");
        let (one, other) = (format!("sqlite:{}", path.display()), folder.path().join("./ssfd.db"));
        assert!(same(one.as_str(), format!("sqlite:{}", other.display()).as_str()));
    }
}
