//! The settings of one source.
//!
//! The table of a source is kept as it is written ([`SourceSettings`]), because a preset may fill what it
//! leaves out. [`SourceSettings::read`] puts both together and returns a [`SourceConfig`], or the key that
//! is wrong and the remedy.

mod auth;
mod bounds;
mod kind;
mod poll;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

pub use self::{
    auth::{AuthSettings, SchemeName, SignedTime, TokenIn},
    bounds::{AnswerBody, BoundSettings},
    poll::{ClientAuth, CursorIn, Paging, PollAuth, PollConfig, PollSettings, PollUrl, TimeFormat},
};
use super::Kind;
use crate::domain::{
    event_type::EventType,
    mapping::{Mapping, MappingSettings, preset::Preset},
};

/// The table of one source, as it is written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SourceSettings(pub Map<String, Value>);

/// The treatment of a source's events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    #[default]
    Publish,
    /// Everything is done but to publish, so that an operator sees what would come of real traffic.
    Observe,
}

impl Mode {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Publish => "publish",
            Self::Observe => "observe",
        }
    }
}

/// A source as its table and its preset say, checked.
#[derive(Debug)]
pub struct SourceConfig {
    /// The name of the preset.
    pub preset: Option<String>,
    pub kind: Kind,
    pub mode: Mode,
    pub may_emit: BTreeSet<EventType>,
    /// The Redis stream with native records, if they come from there as well.
    pub redis_key: Option<String>,
    /// How senders of HTTP requests are known. `None` if the source takes no requests.
    pub auth: Option<AuthSettings>,
    /// How records are fetched from the provider. `None` if the source does not poll.
    pub poll: Option<PollConfig>,
    pub bounds: BoundSettings,
    pub mapping: Mapping,
}

/// A mistake in the table of a source. The key is relative to the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceMistake {
    pub key: String,
    pub rule: String,
}

pub(super) fn mistake<T>(
    key: impl Into<String>,
    rule: impl Into<String>,
) -> Result<T, SourceMistake> {
    Err(SourceMistake { key: key.into(), rule: rule.into() })
}

/// The keys of a source's table that belong neither to its bounds nor to its mapping.
const OWN_KEYS: [&str; 7] = ["preset", "kind", "mode", "may_emit", "redis_key", "auth", "poll"];

impl SourceSettings {
    /// Reads the table of the source `name`, with what its preset says where the table says nothing. Opens
    /// no file.
    pub fn read(&self, name: &str) -> Result<SourceConfig, SourceMistake> {
        self.check_keys()?;
        let preset = self.preset()?;
        let mut of_preset = preset.map(|preset| preset.source.clone()).unwrap_or_default();
        let kind = Kind::of(&self.0, &of_preset)?;
        of_preset.remove("kind");
        let mode = self.member("mode")?.unwrap_or_default();
        let may_emit = self.may_emit()?;
        let redis_key = self.member::<String>("redis_key")?.filter(|key| !key.is_empty());
        let (own_auth, own_poll) = (self.table("auth")?, self.table("poll")?);
        // A source that fetches its records needs no sender of requests, unless it names one.
        let fetches = redis_key.is_some() || own_poll.is_some();
        let auth: Option<AuthSettings> = match preset.map(|preset| &preset.auth) {
            _ if own_auth.is_none() && fetches => None,
            None if own_auth.is_none() => {
                let rule = "is required: say how the sender is known, for example `auth = { scheme = \
                            \"bearer\", secret_files = [\"…\"] }`, or let the source poll (`poll`)";
                return mistake("auth", rule);
            }
            preset => Some(overlaid("auth", preset, own_auth)?),
        };
        let bounds = self.only(&BoundSettings::KEYS);
        let mut bounds: BoundSettings = overlaid("", Some(&of_preset), Some(&bounds))?;
        if let Some(auth) = &auth {
            auth.check()?;
        }
        bounds.check()?;
        if own_poll.is_some() && kind != Kind::Native {
            let rule = format!("has no meaning with `kind = \"{}\"`; remove it", kind.as_str());
            return mistake("poll", rule);
        }
        kind.apply(&self.0, auth.as_ref(), redis_key.as_deref(), &mut bounds)?;
        let settings = self.mapping()?;
        let var = |name: &str| var(preset, &settings, name);
        let of_preset = preset.map(|preset| &preset.poll);
        let poll = own_poll.map(|own| PollSettings::read(of_preset, own, var)).transpose()?;
        if poll.is_some() {
            bounds.remember_polled()?;
        }
        let listed: Vec<_> = may_emit.iter().cloned().collect();
        let mapping = Mapping::compile(preset, &settings, name, &listed);
        let mapping = mapping.map_err(|error| {
            let rule = error.rule.as_ref().map(|rule| format!("rules.{rule}"));
            let key = rule.or_else(|| error.path.clone()).unwrap_or_else(|| "rules".to_owned());
            SourceMistake { key, rule: format!("cannot be used: {error}") }
        })?;
        if poll.as_ref().is_some_and(|poll| poll.settings.paging == Paging::Time)
            && !mapping.tells_time()
        {
            let rule = "needs the time of each record with `paging = \"time\"`: set `time`, for example \
                        `time = { from = \"/time\", unit = \"ms\" }`";
            return mistake("poll.paging", rule);
        }
        let preset = preset.map(|preset| preset.name().to_owned());
        Ok(SourceConfig { preset, kind, mode, may_emit, redis_key, auth, poll, bounds, mapping })
    }

    fn check_keys(&self) -> Result<(), SourceMistake> {
        let known =
            || OWN_KEYS.iter().chain(&BoundSettings::KEYS).chain(&MappingSettings::KEYS).copied();
        match self.0.keys().find(|key| !known().any(|known| known == key.as_str())) {
            None => Ok(()),
            Some(unknown) => {
                let known: Vec<_> = known().collect();
                mistake(
                    unknown,
                    format!("is no key of a source; the keys are {}", known.join(", ")),
                )
            }
        }
    }

    fn table(&self, key: &str) -> Result<Option<&Map<String, Value>>, SourceMistake> {
        match self.0.get(key) {
            None => Ok(None),
            Some(Value::Object(table)) => Ok(Some(table)),
            Some(_) => mistake(key, "must be a table"),
        }
    }

    fn preset(&self) -> Result<Option<&'static Preset>, SourceMistake> {
        let Some(name) = self.member::<String>("preset")? else { return Ok(None) };
        if let Some(preset) = Preset::find(&name) {
            return Ok(Some(preset));
        }
        let names: Vec<_> = Preset::names().collect();
        mistake("preset", format!("names none of the presets: {}", names.join(", ")))
    }

    fn may_emit(&self) -> Result<BTreeSet<EventType>, SourceMistake> {
        let names: Vec<String> = self.member("may_emit")?.unwrap_or_default();
        let types = names.iter().map(|name| match name.parse::<EventType>() {
            Ok(event_type) if event_type.is_control() => mistake(
                "may_emit",
                format!("must not list `{name}`, which the Transmitter alone issues (SSF §8.1.4)"),
            ),
            Ok(event_type) => Ok(event_type),
            Err(error) => mistake("may_emit", error.to_string()),
        });
        types.collect()
    }

    fn mapping(&self) -> Result<MappingSettings, SourceMistake> {
        let keys = self.only(&MappingSettings::KEYS);
        from_value("", Value::Object(keys))
    }

    /// Returns the members with these names.
    fn only(&self, keys: &[&str]) -> Map<String, Value> {
        let members = self.0.iter().filter(|(key, _)| keys.contains(&key.as_str()));
        members.map(|(key, value)| (key.clone(), value.clone())).collect()
    }

    fn member<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, SourceMistake> {
        self.0.get(key).map(|value| from_value(key, value.clone())).transpose()
    }
}

/// Returns the value of a variable as a text.
fn var(preset: Option<&Preset>, settings: &MappingSettings, name: &str) -> Option<String> {
    let declared = || preset?.vars.get(name)?.default.as_ref();
    match settings.vars.get(name).or_else(declared)? {
        Value::String(text) => Some(text.clone()),
        value @ (Value::Number(_) | Value::Bool(_)) => Some(value.to_string()),
        _ => None,
    }
}

/// Reads a table in which own keys come before those of a preset.
fn overlaid<T: DeserializeOwned>(
    key: &str,
    preset: Option<&Map<String, Value>>,
    own: Option<&Map<String, Value>>,
) -> Result<T, SourceMistake> {
    let mut members = preset.cloned().unwrap_or_default();
    for (name, value) in own.into_iter().flatten() {
        members.insert(name.clone(), value.clone());
    }
    from_value(key, Value::Object(members))
}

fn from_value<T: DeserializeOwned>(key: &str, value: Value) -> Result<T, SourceMistake> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let path = error.path().to_string();
        let key = match (key, path.as_str()) {
            ("", path) => path.to_owned(),
            (key, ".") => key.to_owned(),
            (key, path) => format!("{key}.{path}"),
        };
        SourceMistake { key, rule: format!("is not valid: {}", error.inner()) }
    })
}

/// Reads a number that may be written as text, as in an environment variable.
fn number<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: std::str::FromStr<Err: std::fmt::Display> + DeserializeOwned,
{
    #[derive(Deserialize)]
    #[serde(untagged, bound = "T: DeserializeOwned")]
    enum Written<T> {
        Number(T),
        Text(String),
    }
    match Written::<T>::deserialize(deserializer)? {
        Written::Number(number) => Ok(number),
        Written::Text(text) => text.parse().map_err(serde::de::Error::custom),
    }
}

/// Reads a list that may be written as one text with commas, as in an environment variable.
fn list<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: DeserializeOwned,
{
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Text(String),
        List(Vec<Value>),
    }
    let values = match Written::deserialize(deserializer)? {
        Written::List(values) => values,
        Written::Text(text) => {
            let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
            parts.map(Value::from).collect()
        }
    };
    let read = |value| T::deserialize(value).map_err(serde::de::Error::custom);
    values.into_iter().map(read).collect()
}

#[cfg(test)]
mod tests;
