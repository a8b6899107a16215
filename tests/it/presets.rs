//! The presets: their rules, their pages, and the recorded records of real senders. Their examples run
//! beside the code (`domain::mapping::preset`).
//!
//! `recorded` maps each record of `sources/payloads` and compares the result with its table. `delivered` sends
//! the examples as a scripted provider (`sender`) to a daemon with the configuration of the page (`page`).
//! `checked` has `ssfd check` judge that configuration.

mod checked;
mod delivered;
mod page;
mod recorded;
mod sender;

use std::{collections::BTreeSet, fs, path::PathBuf};

use serde_json::{Map, Value, json};
use ssfd::{
    domain::mapping::Preset,
    source::settings::{PollUrl, SourceSettings},
};

/// The folder of the presets' files.
const FOLDER: &str = "config/sources";

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The names of the files of presets.
fn files() -> BTreeSet<String> {
    let entries = fs::read_dir(root().join(FOLDER)).expect("the folder of the presets");
    let paths = entries.map(|entry| entry.expect("an entry of it").path());
    let presets = paths.filter(|path| path.extension().is_some_and(|found| found == "toml"));
    let name = |path: PathBuf| {
        path.file_stem().and_then(|name| name.to_str()).expect("named in ASCII").to_owned()
    };
    presets.map(name).collect()
}

/// The file of a preset as it is written.
fn written(name: &str) -> Map<String, Value> {
    let path = root().join(FOLDER).join(format!("{name}.toml"));
    let text = fs::read_to_string(path).expect("a preset is readable");
    toml::from_str(&text).expect("a preset is TOML")
}

fn tables<'a>(file: &'a Map<String, Value>, key: &str) -> Vec<&'a Map<String, Value>> {
    let tables = file.get(key).and_then(Value::as_array).into_iter().flatten();
    tables.map(|table| table.as_object().expect("a table")).collect()
}

/// The guards and rules of a preset.
fn rules(file: &Map<String, Value>) -> Vec<&Map<String, Value>> {
    let mut rules = tables(file, "guards");
    rules.extend(tables(file, "rules"));
    rules
}

fn name_of(table: &Map<String, Value>) -> &str {
    table["name"].as_str().expect("a name")
}

#[test]
fn each_file_is_a_preset_and_has_a_page() {
    let known: BTreeSet<_> = Preset::names().map(str::to_owned).collect();
    assert_eq!(known, files());
    for name in known {
        assert!(root().join(format!("docs/sources/{name}.md")).exists(), "{name} has no page");
    }
}

#[test]
fn each_rule_is_reached_by_an_example() {
    for name in files() {
        let file = written(&name);
        let results: Vec<_> = tables(&file, "examples")
            .iter()
            .flat_map(|example| tables(example, "results"))
            .collect();
        let reached = results.iter().filter_map(|result| result.get("rule")?.as_str());
        let reached: BTreeSet<_> = reached.collect();
        for rule in rules(&file) {
            let rule = name_of(rule);
            assert!(reached.contains(rule), "{name}: no example reaches {rule}");
        }
    }
}

/// An administrator's id in these examples. Where the record of an administrator's act names somebody,
/// the event must not be about the administrator.
const ADMINISTRATORS: [&str; 7] = [
    "1be5d3aa-db40-444b-8540-ba6c0756587c",
    "ops@corp.example",
    "auth0|admin1",
    "00uops",
    "102ops",
    "a1",
    "admin7",
];

#[test]
fn no_event_is_about_an_administrator() {
    let mut acts = 0;
    for name in files() {
        let file = written(&name);
        for example in tables(&file, "examples") {
            let record = example["record"].as_str().expect("a text");
            let is_named =
                |text: &str| ADMINISTRATORS.iter().any(|id| text.contains(&format!("\"{id}\"")));
            acts += usize::from(is_named(record));
            for result in tables(example, "results") {
                let event = result.get("event").and_then(Value::as_str).unwrap_or_default();
                assert!(!is_named(event), "{name}, `{}`: {event}", name_of(example));
            }
        }
    }
    assert!(40 < acts, "{acts} acts of administrators");
}

/// Sign-outs and sign-ins share their keys over all presets, so that the records of two ways give one
/// event.
#[test]
fn events_about_one_session_have_the_shared_key() {
    for name in files().iter().filter(|name| *name != "set-relay") {
        let file = written(name);
        for rule in tables(&file, "rules") {
            let of_session = rule.get("subject").is_some_and(|subject| {
                let session = subject.get("session");
                session.is_some_and(|session| session.get("optional").is_none())
            });
            let expected = match rule.get("emit").and_then(Value::as_str) {
                Some("caep:session-revoked") => "session-revoked/",
                Some("caep:session-established") => "session-established/",
                _ => continue,
            };
            if of_session {
                let id = rule.get("id").and_then(Value::as_str).unwrap_or_default();
                assert!(id.starts_with(expected), "{name}, `{}`: {id}", name_of(rule));
            }
        }
    }
}

/// An event for all sessions of a user needs the word of the operator.
#[test]
fn a_sign_out_without_a_session_needs_the_scope() {
    for name in files().iter().filter(|name| *name != "set-relay") {
        let file = written(name);
        for rule in tables(&file, "rules") {
            let revokes = rule.get("emit").is_some_and(|emit| emit == "caep:session-revoked");
            let session = rule.get("subject").and_then(|subject| subject.get("session"));
            if revokes {
                let scoped = rule.get("scope").is_some_and(|scope| scope == "user");
                assert_ne!(session.is_some(), scoped, "{name}, `{}`", name_of(rule));
            }
        }
    }
}

/// The records of the HTTP sender and of the REST API are the same, so their rules are too.
#[test]
fn keycloak_is_polled_by_the_rules_of_its_http_sender() {
    let own_keys = ["preset", "auth", "poll", "source"];
    let shared = |name| {
        let mut file = written(name);
        file.retain(|key, _| !own_keys.contains(&key.as_str()));
        // The address of the API is a matter of polling.
        file["vars"].as_object_mut().expect("a table").remove("admin");
        file
    };
    assert_eq!(shared("keycloak-rest"), shared("keycloak-http"));
}

/// A source that adds its credential alone can poll.
#[test]
fn the_poll_of_a_preset_is_valid() {
    let mut polls = 0;
    for preset in Preset::all().iter().filter(|preset| !preset.poll.is_empty()) {
        let vars = preset
            .vars
            .iter()
            .filter_map(|(name, declared)| Some((name.clone(), declared.example.clone()?)));
        let vars: Map<_, _> = vars.collect();
        let of_client = preset.poll["auth"].get("token_url").is_some();
        let auth = if of_client {
            json!({"client_id": "c", "client_secret_file": "/s"})
        } else {
            json!({"secret_file": "/s"})
        };
        let table = json!({"preset": preset.name(), "vars": vars, "poll": {"auth": auth}});
        let settings: SourceSettings = serde_json::from_value(table).expect("a table");
        let config = settings.read("test").unwrap_or_else(|error| panic!("{error:?}"));
        assert!(config.auth.is_none(), "{}: nobody sends", preset.name());
        let poll = config.poll.expect("a poll");
        let https = |url: &PollUrl| url.name.starts_with("https://");
        assert!(poll.urls.iter().all(https), "{}: {poll:?}", preset.name());
        polls += 1;
    }
    assert!(0 < polls);
}

/// A page names each event that its preset makes, and each rule that an operator can enable.
#[test]
fn a_page_tells_what_its_preset_makes() {
    for name in files().iter().filter(|name| *name != "set-relay") {
        // The page of the HTTP sender has the table of all three.
        let page = if name.starts_with("keycloak-") { "keycloak-http" } else { name };
        let page = fs::read_to_string(root().join(format!("docs/sources/{page}.md")));
        let page = page.expect("a page is readable");
        let file = written(name);
        for rule in tables(&file, "rules") {
            let named = rule.get("emit").and_then(Value::as_str).into_iter();
            let listed = rule.get("emits").and_then(Value::as_array).into_iter().flatten();
            for emitted in named.chain(listed.filter_map(Value::as_str)) {
                let short = emitted.split_once(':').map_or(emitted, |(_, name)| name);
                assert!(page.contains(short), "the page of {name} lacks {short}");
            }
            if rule.get("opt_in").is_some() {
                let rule = name_of(rule);
                assert!(page.contains(&format!("`{rule}`")), "the page of {name} lacks `{rule}`");
            }
        }
    }
}
