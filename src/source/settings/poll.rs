//! The table `poll` of a source: how its records are fetched from the provider.

mod auth;

use std::{path::PathBuf, time::Duration};

use serde::Deserialize;
use serde_json::{Map, Value};

use self::auth::PollAuthSettings;
pub use self::auth::{ClientAuth, PollAuth};
use super::{SourceMistake, from_value, list, mistake, number};
use crate::source::poll::template::{Placeholder, UrlTemplate, with_vars};

/// The most URLs of one source.
const URLS_MAX: usize = 8;

/// How the pages of a URL follow one another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Paging {
    /// Each page begins at the time of the newest record before.
    Time,
    /// A `Link` header names the next page (RFC 8288).
    Link,
    /// The answer has a cursor for the next page.
    Cursor,
}

/// How the time in a URL is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TimeFormat {
    #[default]
    Rfc3339,
    S,
    Ms,
}

/// Where the cursor of an answer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CursorIn {
    #[default]
    Body,
    LastRecord,
}

/// Where a source begins that has no position yet: a time before now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Start(pub Duration);

impl<'de> Deserialize<'de> for Start {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text == "now" {
            return Ok(Self(Duration::ZERO));
        }
        let age = humantime_serde::re::humantime::parse_duration(&text);
        age.map(Self).map_err(|_| {
            serde::de::Error::custom(format!("`{text}` is neither `now` nor an age such as `24h`"))
        })
    }
}

/// The table as it is written.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PollSettings {
    #[serde(deserialize_with = "list")]
    pub urls: Vec<String>,
    /// The URLs of the first requests, for `paging = "cursor"`.
    #[serde(default, deserialize_with = "list")]
    pub start_urls: Vec<String>,
    #[serde(default)]
    pub auth: PollAuthSettings,
    pub paging: Paging,
    #[serde(default)]
    pub time_format: TimeFormat,
    /// By how much a round begins before the newest record, for records that the provider shows late.
    #[serde(default = "overlap", with = "humantime_serde")]
    pub overlap: Duration,
    /// The records that are asked for in one request.
    #[serde(default = "page_size", deserialize_with = "number")]
    pub page_size: u32,
    /// The place of the list of records in the answer, as a JSON Pointer. Empty if the answer is the list.
    #[serde(default)]
    pub records: String,
    /// The member that each record is put into before it is mapped, if its webhook has such an envelope.
    #[serde(default)]
    pub wrap: Option<String>,
    /// The place of the cursor, as a JSON Pointer.
    #[serde(default)]
    pub cursor: Option<String>,
    #[serde(default)]
    pub cursor_in: CursorIn,
    /// The time from one round to the next.
    #[serde(default = "interval", with = "humantime_serde")]
    pub interval: Duration,
    /// The longest time for one request and its answer.
    #[serde(default = "timeout", with = "humantime_serde")]
    pub timeout: Duration,
    /// The longest wait after rounds that failed, if it is not shorter than `interval`.
    #[serde(default = "backoff_max", with = "humantime_serde")]
    pub backoff_max: Duration,
    /// The largest answer, in bytes.
    #[serde(default = "page_bytes_max", deserialize_with = "number")]
    pub page_bytes_max: usize,
    /// The most requests in one round. The next round goes on where it ended.
    #[serde(default = "pages_max", deserialize_with = "number")]
    pub pages_max: u32,
    #[serde(default = "start")]
    pub start: Start,
    /// A PEM file of certificate authorities that are trusted besides those of the system.
    #[serde(default)]
    pub trusted_roots: Option<PathBuf>,
}

fn overlap() -> Duration {
    Duration::from_mins(1)
}

fn page_size() -> u32 {
    100
}

fn interval() -> Duration {
    Duration::from_secs(30)
}

fn timeout() -> Duration {
    Duration::from_secs(10)
}

fn backoff_max() -> Duration {
    Duration::from_mins(5)
}

fn page_bytes_max() -> usize {
    8 << 20
}

fn pages_max() -> u32 {
    100
}

fn start() -> Start {
    Start(Duration::ZERO)
}

/// One URL that is polled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PollUrl {
    /// The URL without its query, by which its position is kept.
    pub name: String,
    pub template: UrlTemplate,
    /// The URL of a request for which there is no cursor.
    pub start: Option<UrlTemplate>,
}

/// A poll as its table and its preset say, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct PollConfig {
    pub urls: Vec<PollUrl>,
    pub auth: PollAuth,
    pub settings: PollSettings,
}

impl PollSettings {
    /// Reads the table of a source, with what its preset says where the table says nothing. `var` returns
    /// the values of variables.
    pub(super) fn read(
        preset: Option<&Map<String, Value>>,
        own: &Map<String, Value>,
        var: impl Fn(&str) -> Option<String>,
    ) -> Result<PollConfig, SourceMistake> {
        let none = Map::new();
        let preset = preset.unwrap_or(&none);
        let mut members = preset.clone();
        members.extend(own.clone());
        if let Some(auth) = auth::overlaid(preset.get("auth"), own.get("auth")) {
            members.insert("auth".to_owned(), auth);
        }
        for key in ["urls", "paging"] {
            if !members.contains_key(key) {
                return mistake(format!("poll.{key}"), "is required: no preset says it");
            }
        }
        let settings: Self = from_value("poll", Value::Object(members))?;
        settings.check_bounds()?;
        let filled = |key: &str, text: &str| {
            with_vars(text, &var).map_err(|rule| SourceMistake { key: format!("poll.{key}"), rule })
        };
        let urls = settings.poll_urls(filled)?;
        let auth = settings.auth.read(filled)?;
        Ok(PollConfig { urls, auth, settings })
    }

    fn poll_urls(
        &self,
        filled: impl Fn(&str, &str) -> Result<String, SourceMistake>,
    ) -> Result<Vec<PollUrl>, SourceMistake> {
        if !(1..=URLS_MAX).contains(&self.urls.len()) {
            return mistake("poll.urls", format!("must list 1 to {URLS_MAX} URLs"));
        }
        let template = |key: &str, text: &String| {
            UrlTemplate::parse(&filled(key, text)?)
                .map_err(|rule| SourceMistake { key: format!("poll.{key}"), rule })
        };
        let mut urls: Vec<PollUrl> = Vec::new();
        for text in &self.urls {
            let template = template("urls", text)?;
            self.check_places(&template)?;
            let name = template.without_query();
            if urls.iter().any(|url| url.name == name) {
                let rule = format!(
                    "has {name} twice; positions are kept by the URL without its query, so give one of them \
                     a source of its own"
                );
                return mistake("poll.urls", rule);
            }
            urls.push(PollUrl { name, template, start: None });
        }
        match (self.paging, self.start_urls.len()) {
            (Paging::Cursor, count) if count == urls.len() => {}
            (Paging::Cursor, _) => {
                let rule = "must list a URL for each of `poll.urls`, which is asked while there is no cursor";
                return mistake("poll.start_urls", rule);
            }
            (_, 0) => {}
            (Paging::Time | Paging::Link, _) => {
                return mistake("poll.start_urls", "belongs to `paging = \"cursor\"`; remove it");
            }
        }
        for (url, text) in urls.iter_mut().zip(&self.start_urls) {
            let start = template("start_urls", text)?;
            for unknown in [Placeholder::Cursor, Placeholder::First] {
                if start.has(unknown) {
                    let rule =
                        format!("must not have {}, which is not known then", unknown.as_str());
                    return mistake("poll.start_urls", rule);
                }
            }
            if start.fill(|_| String::new()).origin()
                != url.template.fill(|_| String::new()).origin()
            {
                let rule = "must have the scheme, the host and the port of the URL in `poll.urls`";
                return mistake("poll.start_urls", rule);
            }
            url.start = Some(start);
        }
        Ok(urls)
    }

    /// Checks the placeholders of a URL.
    fn check_places(&self, url: &UrlTemplate) -> Result<(), SourceMistake> {
        use Placeholder::{Cursor, First, Since};
        let (needed, foreign): (_, &[_]) = match self.paging {
            Paging::Time => (Some(Since), &[Cursor]),
            Paging::Link => (None, &[Cursor, First]),
            Paging::Cursor => (Some(Cursor), &[First]),
        };
        let paging = format!("{:?}", self.paging).to_lowercase();
        if let Some(needed) = needed.filter(|needed| !url.has(*needed)) {
            let rule = format!("must have {} with `paging = \"{paging}\"`", needed.as_str());
            return mistake("poll.urls", rule);
        }
        if let Some(foreign) = foreign.iter().find(|foreign| url.has(**foreign)) {
            let rule =
                format!("has {}, which `paging = \"{paging}\"` never fills in", foreign.as_str());
            return mistake("poll.urls", rule);
        }
        Ok(())
    }

    fn check_bounds(&self) -> Result<(), SourceMistake> {
        const DAY: Duration = Duration::from_hours(24);
        for (key, span, least, most) in [
            ("interval", self.interval, Duration::from_millis(100), DAY),
            ("timeout", self.timeout, Duration::from_millis(100), Duration::from_mins(2)),
            ("backoff_max", self.backoff_max, Duration::from_millis(100), DAY),
            ("overlap", self.overlap, Duration::ZERO, DAY),
            ("start", self.start.0, Duration::ZERO, DAY * 366),
        ] {
            if !(least..=most).contains(&span) {
                let written = humantime_serde::re::humantime::format_duration;
                let (least, most) = (written(least), written(most));
                return mistake(
                    format!("poll.{key}"),
                    format!("must be between {least} and {most}"),
                );
            }
        }
        for (key, value, most) in [
            ("page_size", u64::from(self.page_size), 10_000),
            ("pages_max", u64::from(self.pages_max), 10_000),
            ("page_bytes_max", self.page_bytes_max as u64, 64 << 20),
        ] {
            if !(1..=most).contains(&value) {
                return mistake(format!("poll.{key}"), format!("must be between 1 and {most}"));
            }
        }
        for (key, pointer) in [("records", Some(&self.records)), ("cursor", self.cursor.as_ref())] {
            if pointer.is_some_and(|pointer| !pointer.is_empty() && !pointer.starts_with('/')) {
                return mistake(
                    format!("poll.{key}"),
                    "must be a JSON Pointer, which begins with `/`",
                );
            }
        }
        match (self.paging, self.cursor.as_deref().unwrap_or_default()) {
            (Paging::Cursor, "") => {
                mistake("poll.cursor", "must be the place of the cursor with `paging = \"cursor\"`")
            }
            (Paging::Time | Paging::Link, cursor) if !cursor.is_empty() => {
                mistake("poll.cursor", "belongs to `paging = \"cursor\"`; remove it")
            }
            _ if self.wrap.as_deref() == Some("") => {
                mistake("poll.wrap", "must be the name of a member; remove it if there is none")
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
