//! The configuration that the page of a preset shows.

use std::{fs, path::Path};

use serde_json::{Map, Value, json};
use ssfd::{
    domain::mapping::Preset,
    source::settings::{AuthSettings, SourceSettings},
};

use super::root;

/// The folder of secrets on the pages.
const SECRETS: &str = "/etc/ssfd/secrets/";

/// A source as a page shows it, with files of a test in the place of its secrets and key sets.
#[derive(Clone)]
pub(super) struct Shown {
    pub(super) preset: &'static Preset,
    /// The name of the source.
    pub(super) name: String,
    pub(super) table: Map<String, Value>,
}

pub(super) fn text(preset: &str) -> String {
    fs::read_to_string(root().join(format!("docs/sources/{preset}.md"))).expect("a page")
}

/// The blocks of TOML of a page.
pub(super) fn blocks(page: &str) -> impl Iterator<Item = &str> {
    let blocks = page.split("```toml\n").skip(1);
    blocks.map(|rest| rest.split_once("```").expect("a block ends").0)
}

/// The names of the files of secrets in a block.
pub(super) fn secrets(block: &str) -> impl Iterator<Item = &str> {
    let paths = block.split(SECRETS).skip(1);
    paths.map(|rest| rest.split_once('"').expect("a path ends").0)
}

/// Returns the sources that the page of a preset shows, one for each block.
pub(super) fn sources(preset: &'static Preset, files: &Path) -> Vec<Shown> {
    let page = text(preset.name());
    let shown = blocks(&page).filter(|block| block.contains("preset = "));
    shown.map(|block| Shown::read(preset, block, files)).collect()
}

impl Shown {
    fn read(preset: &'static Preset, block: &str, files: &Path) -> Self {
        let parsed: Value = toml::from_str(block).expect("a block is TOML");
        let sources = parsed["providers"]["default"]["sources"].as_object().expect("a source");
        assert_eq!(sources.len(), 1, "{block}");
        let (name, table) = sources.iter().next().expect("one");
        let mut table = table.as_object().expect("a table").clone();
        assert_eq!(table["preset"], preset.name(), "{block}");
        // The tests have the values that the examples of the preset know.
        if let Some(vars) = table.get_mut("vars").and_then(Value::as_object_mut) {
            for (name, value) in vars {
                let declared = preset.vars.get(name).expect("a variable of the preset");
                *value = declared.example.clone().unwrap_or_else(|| value.clone());
            }
        }
        if let Some(auth) = table.get_mut("auth").and_then(Value::as_object_mut) {
            let secrets = auth.get_mut("secret_files").and_then(Value::as_array_mut);
            for path in secrets.into_iter().flatten() {
                assert!(path.as_str().is_some_and(|path| path.starts_with(SECRETS)), "{path}");
                *path = json!(files.join("secret"));
            }
            if let Some(jwks) = auth.get_mut("jwks") {
                *jwks = json!(files.join("jwks.json"));
            }
        }
        // Polls have tests of their own.
        table.remove("poll");
        // The records of the examples stay as they are while time goes on.
        table.insert("max_age".to_owned(), json!("36500days"));
        // A slow machine is no reason for another answer.
        table.insert("answer_timeout".to_owned(), json!("50s"));
        Self { preset, name: name.clone(), table }
    }

    pub(super) fn settings(&self) -> SourceSettings {
        SourceSettings(self.table.clone())
    }

    /// Returns the table `auth` together with what the preset says.
    pub(super) fn auth(&self) -> AuthSettings {
        let config = self.settings().read(&self.name).expect("the page's table is valid");
        config.auth.expect("the source takes requests")
    }
}
