//! Reads the configuration in layers: the defaults, then the file, then the environment.

use std::{collections::HashMap, path::Path};

use config::{Environment, File, FileFormat};

use super::{Config, ConfigError};

/// The variable `SSFD_PUBLIC__LISTEN` sets `public.listen`.
const ENV_PREFIX: &str = "SSFD";
const ENV_SEPARATOR: &str = "__";
/// Variables with this prefix that stand for flags of the command line.
const ENV_FLAGS: [&str; 2] = ["SSFD_CONFIG", "SSFD_TOKEN"];
/// The keys whose value is a list. In a variable, the elements are separated by commas.
pub(super) const ENV_LISTS: [&str; 6] =
    ["ALGORITHMS", "ALLOW_NETWORKS", "EVENTS_SUPPORTED", "SCHEDULE", "SIGNING_KEYS", "URLS"];

/// Reads and validates the configuration. Keys that are not set have their defaults.
pub fn load(
    file: Option<&Path>,
    environment: impl IntoIterator<Item = (String, String)>,
) -> Result<Config, ConfigError> {
    let mut layers = config::Config::builder();
    if let Some(path) = file {
        // Read here, and not by `File`, so that the error tells a missing file from a malformed
        // one.
        let text = std::fs::read_to_string(path).map_err(|error| {
            ConfigError::Read(format!("cannot read {}: {error}", path.display()))
        })?;
        layers = layers.add_source(File::from_str(&text, FileFormat::Toml));
    }
    let named = |error: String| match file {
        Some(path) => ConfigError::Read(format!("{}: {error}", path.display())),
        None => ConfigError::Read(error),
    };
    let mut plain = HashMap::new();
    for (name, value) in environment {
        if let Some(key) = list_key(&name) {
            let parts: Vec<_> = value.split(',').map(str::trim).filter(|p| !p.is_empty()).collect();
            layers = layers.set_override(key, parts).map_err(|error| named(error.to_string()))?;
        } else if !ENV_FLAGS.contains(&name.as_str()) {
            plain.insert(name, value);
        }
    }
    let environment = Environment::with_prefix(ENV_PREFIX)
        .prefix_separator("_")
        .separator(ENV_SEPARATOR)
        .source(Some(plain));
    let layers = layers.add_source(environment).build();
    let layers = layers.map_err(|error| named(error.to_string()))?;
    let read: Result<Config, _> = serde_path_to_error::deserialize(layers);
    let config = read.map_err(|error| match error.path().to_string() {
        path if path == "." => named(error.inner().to_string()),
        path => named(format!("`{path}`: {}", error.inner())),
    })?;
    config.validate()?;
    Ok(config)
}

/// Returns the key that a variable sets, if the value is a list.
fn list_key(variable: &str) -> Option<String> {
    let path = variable.strip_prefix(ENV_PREFIX)?.strip_prefix('_')?;
    let last = path.rsplit(ENV_SEPARATOR).next()?;
    ENV_LISTS.contains(&last).then(|| path.to_lowercase().replace(ENV_SEPARATOR, "."))
}
