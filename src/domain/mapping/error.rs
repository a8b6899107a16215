//! The reason why a mapping does not load.

use std::fmt;

/// A mapping that cannot be used. The text says what is wrong and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MappingError {
    /// The name of the source, or of the preset.
    pub of: String,
    /// The rule or guard at fault, if it is one.
    pub rule: Option<String>,
    /// The path or the member at fault.
    pub path: Option<String>,
    pub text: String,
}

impl std::error::Error for MappingError {}

impl fmt::Display for MappingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "source `{}`", self.of)?;
        if let Some(rule) = &self.rule {
            write!(f, ", rule `{rule}`")?;
        }
        if let Some(path) = &self.path {
            write!(f, ", `{path}`")?;
        }
        write!(f, ": {}", self.text)
    }
}

/// An error before the rule and the source are known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Flaw {
    pub(super) path: Option<String>,
    pub(super) text: String,
    /// The name behind `let:` that is not known yet. Named values may be written in any order.
    pub(super) unknown_let: Option<String>,
}

impl Flaw {
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self { path: None, text: text.into(), unknown_let: None }
    }

    pub(super) fn at(path: &str, text: impl Into<String>) -> Self {
        Self { path: Some(path.to_owned()), ..Self::new(text) }
    }

    /// Names the place, unless a place further inside is named already.
    pub(super) fn within(self, place: &str) -> Self {
        Self { path: self.path.or_else(|| Some(place.to_owned())), ..self }
    }

    pub(super) fn of(self, name: &str, rule: Option<&str>) -> MappingError {
        let rule = rule.map(str::to_owned);
        MappingError { of: name.to_owned(), rule, path: self.path, text: self.text }
    }
}

/// Lists names for an error, so that a reader sees the right spelling.
pub(super) fn listed<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    const SHOWN_MAX: usize = 40;
    let names: Vec<_> = names.into_iter().take(SHOWN_MAX).map(|name| format!("`{name}`")).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}
