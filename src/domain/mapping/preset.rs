//! Presets: mappings of known senders, in files of the project that are part of the binary.
//!
//! A preset has the keys of a mapping, and besides: `[preset]` (who it is for), `[vars.<name>]` (what
//! a source must fill in), `[auth]`, `[poll]` and `[source]` (defaults of the source's table), and
//! `[[examples]]`, which are its tests.

use std::{collections::BTreeMap, sync::LazyLock};

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use super::{
    example::Example,
    settings::{MappingSettings, VarSettings},
};

/// The files below `config/sources`, each with its name.
const FILES: &[(&str, &str)] = &[
    ("auth0", include_str!("../../../config/sources/auth0.toml")),
    ("authentik", include_str!("../../../config/sources/authentik.toml")),
    ("clerk", include_str!("../../../config/sources/clerk.toml")),
    ("entra", include_str!("../../../config/sources/entra.toml")),
    ("fleet", include_str!("../../../config/sources/fleet.toml")),
    ("fusionauth", include_str!("../../../config/sources/fusionauth.toml")),
    ("jamf", include_str!("../../../config/sources/jamf.toml")),
    ("keycloak-http", include_str!("../../../config/sources/keycloak-http.toml")),
    ("keycloak-rest", include_str!("../../../config/sources/keycloak-rest.toml")),
    ("keycloak-webhook", include_str!("../../../config/sources/keycloak-webhook.toml")),
    ("kratos", include_str!("../../../config/sources/kratos.toml")),
    ("logout-token", include_str!("../../../config/sources/logout-token.toml")),
    ("logto", include_str!("../../../config/sources/logto.toml")),
    ("okta", include_str!("../../../config/sources/okta.toml")),
    ("scim-events", include_str!("../../../config/sources/scim-events.toml")),
    ("set-relay", include_str!("../../../config/sources/set-relay.toml")),
    ("workos", include_str!("../../../config/sources/workos.toml")),
    ("zitadel", include_str!("../../../config/sources/zitadel.toml")),
];

static PRESETS: LazyLock<Vec<Preset>> = LazyLock::new(|| {
    let parse = |(name, text): &(&str, &str)| {
        Preset::parse(name, text).unwrap_or_else(|error| panic!("the preset `{name}`: {error}"))
    };
    FILES.iter().map(parse).collect()
});

/// One preset.
#[derive(Debug, Clone)]
pub struct Preset {
    about: About,
    pub(super) mapping: MappingSettings,
    pub vars: BTreeMap<String, VarSettings>,
    /// Defaults of the table `auth` of a source.
    pub auth: Map<String, Value>,
    /// Defaults of the table `poll` of a source.
    pub poll: Map<String, Value>,
    /// Defaults of the other keys of a source.
    pub source: Map<String, Value>,
    pub examples: Vec<Example>,
}

/// Whom a preset is for.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct About {
    name: String,
    /// Raised when a rule changes what a record gives.
    version: u32,
    title: String,
    /// The product, and the part of it that sends.
    #[serde(default)]
    sender: String,
    /// Says which version of the sender was tried, if one was.
    #[serde(default)]
    tried: String,
    /// A text for the sender's side, such as a body to configure there.
    #[serde(default)]
    example: String,
}

impl Preset {
    /// Looks up a preset.
    pub fn find(name: &str) -> Option<&'static Self> {
        Self::all().iter().find(|preset| preset.name() == name)
    }

    /// Returns all presets in the order of their names.
    pub fn all() -> &'static [Self] {
        &PRESETS
    }

    pub fn names() -> impl Iterator<Item = &'static str> {
        FILES.iter().map(|(name, _)| *name)
    }

    /// Reads the file of a preset.
    pub fn parse(name: &str, text: &str) -> Result<Self, String> {
        let mut table: Map<String, Value> =
            toml::from_str(text).map_err(|error| error.to_string())?;
        let about: About = take(&mut table, "preset")?.ok_or("`preset` is required")?;
        if about.name != name {
            return Err(format!("`preset.name` must be `{name}`, like the file"));
        }
        let preset = Self {
            about,
            vars: take(&mut table, "vars")?.unwrap_or_default(),
            auth: take(&mut table, "auth")?.unwrap_or_default(),
            poll: take(&mut table, "poll")?.unwrap_or_default(),
            source: take(&mut table, "source")?.unwrap_or_default(),
            examples: take(&mut table, "examples")?.unwrap_or_default(),
            mapping: MappingSettings::default(),
        };
        // A preset is for all sources, so it chooses nothing for one of them.
        let foreign = ["vars", "enable", "disable", "scope"];
        let known = |key: &&String| MappingSettings::KEYS.contains(&key.as_str());
        let own = |key: &&String| known(key) && !foreign.contains(&key.as_str());
        if let Some(stray) = table.keys().find(|key| !own(key)) {
            return Err(format!("`{stray}` is no key of a preset"));
        }
        let mapping = read(Value::Object(table))?;
        Ok(Self { mapping, ..preset })
    }

    pub fn name(&self) -> &str {
        &self.about.name
    }

    pub fn version(&self) -> u32 {
        self.about.version
    }

    pub fn title(&self) -> &str {
        &self.about.title
    }

    pub fn sender(&self) -> &str {
        &self.about.sender
    }

    pub fn tried(&self) -> &str {
        &self.about.tried
    }

    /// Returns the text for the sender's side. Empty if there is none.
    pub fn example(&self) -> &str {
        &self.about.example
    }
}

fn take<T: DeserializeOwned>(
    table: &mut Map<String, Value>,
    key: &str,
) -> Result<Option<T>, String> {
    let value = table.remove(key);
    value.map(read).transpose().map_err(|error| format!("`{key}`: {error}"))
}

fn read<T: DeserializeOwned>(value: Value) -> Result<T, String> {
    serde_path_to_error::deserialize(value).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests;
