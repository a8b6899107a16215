//! Reads the configuration in layers: the defaults, then the file, then the environment.

use std::{collections::HashMap, fs, path::Path};

use config::{File, FileFormat, Value, ValueKind};

use super::{
    Config, ConfigError, credential,
    environment::{self, Setting, Variable},
    origin::Origins,
};

/// Reads and validates the configuration. Keys that are not set have their defaults. An error names the
/// place where the key was set.
pub fn load(
    file: Option<&Path>,
    environment: impl IntoIterator<Item = (String, String)>,
) -> Result<Config, ConfigError> {
    let environment: Vec<_> = environment.into_iter().collect();
    let folder = environment.iter().find(|(name, _)| name == credential::FOLDER);
    let folder = folder.map(|(_, folder)| folder.clone());
    let variables = environment::settings(environment)?;
    let text = file.map(read).transpose()?;
    let origins = Origins { file: file.zip(text.as_deref()), variables: &variables };

    let mut values = match origins.file {
        Some((path, text)) => parse(path, text)?,
        None => Value::new(None, ValueKind::Table(HashMap::default())),
    };
    for variable in &variables {
        set(&mut values, variable)?;
    }
    credential::resolve(&mut values, "", folder.as_deref()).map_err(|(key, rule)| {
        placed(&origins, &key, ConfigError::Invalid { key: key.clone(), rule })
    })?;
    let read: Result<Config, _> = serde_path_to_error::deserialize(values);
    let config = read.map_err(|error| {
        let key = error.path().to_string();
        let rule = error.inner().to_string();
        if key == "." {
            return ConfigError::Read(rule);
        }
        placed(&origins, &key, ConfigError::Read(format!("`{key}`: {rule}")))
    })?;
    config.validate().map_err(|error| match error.key().map(str::to_owned) {
        Some(key) => placed(&origins, &key, error),
        None => error,
    })?;
    Ok(config)
}

fn read(path: &Path) -> Result<String, ConfigError> {
    // Read here, and not by `File`, so that the error tells a missing file from a malformed one.
    let text = fs::read_to_string(path);
    text.map_err(|error| ConfigError::Read(format!("cannot read {}: {error}", path.display())))
}

fn parse(path: &Path, text: &str) -> Result<Value, ConfigError> {
    let file = File::from_str(text, FileFormat::Toml);
    let parsed = config::Config::builder().add_source(file).build();
    let parsed =
        parsed.map_err(|error| ConfigError::Read(format!("{}: {error}", path.display())))?;
    Ok(parsed.cache)
}

/// Puts the value of a variable in its place.
fn set(values: &mut Value, variable: &Variable) -> Result<(), ConfigError> {
    let text = |text: &String| Value::new(None, ValueKind::String(text.clone()));
    let (name, tables) = variable.path.split_last().expect("a key has a part");
    let mut here = values;
    for table in tables {
        here = table_of(here, variable)?.entry(table.clone()).or_insert_with(empty_table);
    }
    let value = match &variable.value {
        Setting::One(one) => text(one),
        Setting::List(list) => Value::new(None, ValueKind::Array(list.iter().map(text).collect())),
    };
    table_of(here, variable)?.insert(name.clone(), value);
    Ok(())
}

fn empty_table() -> Value {
    Value::new(None, ValueKind::Table(HashMap::default()))
}

fn table_of<'a>(
    value: &'a mut Value,
    variable: &Variable,
) -> Result<&'a mut HashMap<String, Value>, ConfigError> {
    match &mut value.kind {
        ValueKind::Table(table) => Ok(table),
        _ => Err(ConfigError::Read(format!(
            "the variable {}: `{}` is below a key that has a value",
            variable.name,
            variable.key()
        ))),
    }
}

/// Adds where the key was set.
fn placed(origins: &Origins<'_>, key: &str, error: ConfigError) -> ConfigError {
    match origins.of(key) {
        Some(origin) => ConfigError::At { origin, error: Box::new(error) },
        None => error,
    }
}
