//! Tells the environment variables that are settings from those of others.
//!
//! A setting has two underscores after its section: `SSFD_PUBLIC__LISTEN` sets `public.listen`. Kubernetes
//! gives every container variables such as `SSFD_PORT` for a Service that is called `ssfd`. They never
//! have two underscores in a row, and are ignored.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Config, ConfigError};

const PREFIX: &str = "SSFD_";
const SEPARATOR: &str = "__";
/// Variables with this prefix that stand for flags of the command line.
const FLAGS: [&str; 2] = ["SSFD_CONFIG", "SSFD_TOKEN"];
/// A variable that sets a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Variable {
    pub(super) name: String,
    /// The parts of the key.
    pub(super) path: Vec<String>,
    pub(super) value: Setting,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Setting {
    One(String),
    List(Vec<String>),
}

impl Variable {
    /// Returns the key as errors name it.
    pub(super) fn key(&self) -> String {
        self.path.join(".")
    }
}

/// Returns the variables that are settings.
pub(super) fn settings(
    environment: impl IntoIterator<Item = (String, String)>,
) -> Result<Vec<Variable>, ConfigError> {
    let keys = Keys::of_defaults();
    let settings = environment.into_iter().filter(|(name, _)| is_setting(name));
    let parsed = settings.map(|(name, value)| parse(name, value, &keys));
    let mut variables = parsed.collect::<Result<Vec<_>, _>>()?;
    variables.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(variables)
}

/// Returns the names that begin like a setting and are neither a setting nor a flag, in their order.
pub fn foreign_variables(names: impl IntoIterator<Item = String>) -> Vec<String> {
    let is_foreign = |name: &String| {
        name.starts_with(PREFIX) && !is_setting(name) && !FLAGS.contains(&name.as_str())
    };
    let mut foreign: Vec<_> = names.into_iter().filter(is_foreign).collect();
    foreign.sort();
    foreign
}

fn is_setting(name: &str) -> bool {
    name.strip_prefix(PREFIX).is_some_and(|rest| rest.contains(SEPARATOR))
}

fn parse(name: String, value: String, keys: &Keys) -> Result<Variable, ConfigError> {
    let key = name.strip_prefix(PREFIX).unwrap_or_default().to_lowercase();
    let path: Vec<_> = key.split(SEPARATOR).map(str::to_owned).collect();
    if !keys.sections.contains(&path[0]) {
        return Err(ConfigError::Read(format!(
            "the variable {name}: there is no section `{}`; the sections are: {}",
            path[0],
            keys.sections.join(", ")
        )));
    }
    let is_list = path.last().is_some_and(|last| keys.lists.contains(last));
    let value = if is_list {
        let parts = value.split(',').map(str::trim).filter(|part| !part.is_empty());
        Setting::List(parts.map(str::to_owned).collect())
    } else {
        Setting::One(value)
    };
    Ok(Variable { name, path, value })
}

/// The keys of the configuration, in so far as variables need to know them.
struct Keys {
    sections: Vec<String>,
    /// The last parts of the keys whose value is a list. In a variable, the elements are separated by
    /// commas.
    lists: BTreeSet<String>,
}

impl Keys {
    fn of_defaults() -> Self {
        let mut defaults = Config::default();
        defaults.providers = defaults.named_providers();
        let defaults = serde_json::to_value(defaults).expect("a configuration is plain data");
        let sections = defaults.as_object().map(|all| all.keys().cloned().collect());
        let mut lists = BTreeSet::new();
        add_lists(&defaults, &mut lists);
        Self { sections: sections.unwrap_or_default(), lists }
    }
}

fn add_lists(value: &Value, lists: &mut BTreeSet<String>) {
    for (name, value) in value.as_object().into_iter().flatten() {
        if value.is_array() {
            lists.insert(name.clone());
        }
        add_lists(value, lists);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variables_of_a_kubernetes_service_are_foreign() {
        let names = [
            "SSFD_SERVICE_HOST",
            "SSFD_SERVICE_PORT",
            "SSFD_SERVICE_PORT_HTTP",
            "SSFD_PORT",
            "SSFD_PORT_8080_TCP",
            "SSFD_PORT_8080_TCP_ADDR",
            "SSFD_PORT_8080_TCP_PORT",
            "SSFD_PORT_8080_TCP_PROTO",
            "SSFD_PUBLIC_LISTEN",
        ];
        let ours = ["SSFD_CONFIG", "SSFD_TOKEN", "SSFD_PUBLIC__LISTEN", "PATH", "SSFDX_PORT"];
        let all = names.iter().chain(&ours).map(|name| (*name).to_owned());
        let mut expected = names.to_vec();
        expected.sort_unstable();
        assert_eq!(foreign_variables(all), expected);
    }
}
