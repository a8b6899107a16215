//! Layers: the file, then the environment, each key over the one before.

use std::{collections::HashMap, path::Path};

use config::{Environment, File, FileFormat};

use super::{Config, ConfigError};

/// `SSFD_PUBLIC__LISTEN` is `public.listen`.
const ENV_PREFIX: &str = "SSFD";
const ENV_SEPARATOR: &str = "__";
/// Variables of this prefix that are flags of the command line and no settings.
const ENV_FLAGS: [&str; 2] = ["SSFD_CONFIG", "SSFD_TOKEN"];

/// Reads and validates. Without a file, and where it is silent, the defaults stand.
pub fn load(
    file: Option<&Path>,
    environment: impl IntoIterator<Item = (String, String)>,
) -> Result<Config, ConfigError> {
    let mut layers = config::Config::builder();
    if let Some(path) = file {
        // Read here, so that the error tells a missing file from a malformed one.
        let text = std::fs::read_to_string(path).map_err(|error| {
            ConfigError::Read(format!("cannot read {}: {error}", path.display()))
        })?;
        layers = layers.add_source(File::from_str(&text, FileFormat::Toml));
    }
    let settings = environment.into_iter().filter(|(name, _)| !ENV_FLAGS.contains(&name.as_str()));
    let environment = Environment::with_prefix(ENV_PREFIX)
        .prefix_separator("_")
        .separator(ENV_SEPARATOR)
        .source(Some(settings.collect::<HashMap<_, _>>()));
    let layers = layers.add_source(environment).build();
    let named = |error: String| match file {
        Some(path) => ConfigError::Read(format!("{}: {error}", path.display())),
        None => ConfigError::Read(error),
    };
    let layers = layers.map_err(|error| named(error.to_string()))?;
    let read: Result<Config, _> = serde_path_to_error::deserialize(layers);
    let config = read.map_err(|error| match error.path().to_string() {
        path if path == "." => named(error.inner().to_string()),
        path => named(format!("`{path}`: {}", error.inner())),
    })?;
    config.validate()?;
    Ok(config)
}
