//! Each preset, from its page to a verified SET: the configuration that the page shows, in a real daemon, gets
//! what a scripted provider sends, and a Receiver gets what the examples of the preset say.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use ssfd::{
    domain::{
        event_type::EventType,
        mapping::{Example, Gate, MappedResult, Preset, Scope},
    },
    source::settings::SchemeName,
};
use tempfile::TempDir;

use super::{
    page::{self, Shown},
    sender::{self, Credentials, Native, SECRET, Sender, WRONG},
};
use crate::{
    harness::{
        authorization_server::Key,
        daemon::rename_provider,
        http_client::{Call, get, post},
        receiver::{Receiver, event},
        setup::Setup,
    },
    scripted_server::Seen,
};

/// The files that the sources of a page name.
struct Files {
    folder: TempDir,
    key: Key,
}

impl Files {
    fn new(preset: &str) -> Self {
        use base64::{Engine as _, engine::general_purpose::STANDARD};
        let (folder, key) = (tempfile::tempdir().expect("a folder"), Key::new());
        let secret = match preset {
            "clerk" => format!("whsec_{}", STANDARD.encode(SECRET)),
            _ => SECRET.to_owned(),
        };
        let jwks = json!({"keys": [key.jwk]}).to_string();
        for (name, text) in [("secret", secret), ("jwks.json", jwks)] {
            std::fs::write(folder.path().join(name), text).expect("writable");
        }
        Self { folder, key }
    }
}

/// The examples that one configuration of a source is for.
struct Trial {
    shown: Shown,
    examples: Vec<Example>,
}

/// Returns the choices of the operator in a table.
fn choices(table: &serde_json::Map<String, Value>) -> String {
    let keys = ["scope", "enable", "disable", "vars"];
    json!(keys.map(|key| table.get(key).cloned().unwrap_or_default())).to_string()
}

/// Returns the example as its provider would send it to this source, and under its configuration.
fn prepared(shown: &mut Shown, example: &Example) -> Example {
    let mut example = example.clone();
    let table = &mut shown.table;
    for (key, chosen) in [("enable", &example.enable), ("disable", &example.disable)] {
        let list = table.entry(key).or_insert_with(|| json!([])).as_array_mut().expect("a list");
        for rule in chosen {
            if !list.contains(&json!(rule)) {
                list.push(json!(rule));
            }
        }
    }
    if let Some(scope) = example.scope {
        let name = if scope == Scope::User { "user" } else { "session" };
        table.insert("scope".to_owned(), json!(name));
    }
    let vars = table.entry("vars").or_insert_with(|| json!({})).as_object_mut().expect("a table");
    vars.extend(example.vars.clone());
    // The example has the choices of the source.
    let read = |key: &str| serde_json::from_value(table[key].clone()).expect("a choice");
    (example.enable, example.disable) = (read("enable"), read("disable"));
    example.scope =
        table.get("scope").map(|scope| serde_json::from_value(scope.clone()).expect("a scope"));
    example.vars = serde_json::from_value(table["vars"].clone()).expect("variables");
    let auth = shown.auth();
    if auth.scheme == SchemeName::Jwt && auth.secret_files.is_empty() {
        let mut claims = record(&example);
        let now = ssfd::clock::now().as_secs();
        claims["iss"] = json!(auth.issuer);
        claims["aud"] = json!(auth.audience);
        claims["iat"] = json!(now);
        claims["exp"] = json!(now + 120);
        example.record = Some(claims.to_string());
    }
    example
}

fn record(example: &Example) -> Value {
    let text = example.record.as_ref().or(example.body.as_ref()).expect("an example has a record");
    serde_json::from_str(text).expect("JSON")
}

fn native(example: &Example) -> Native {
    let pairs = |map: &BTreeMap<String, String>| map.clone().into_iter().collect();
    Native {
        record: record(example),
        headers: pairs(&example.headers),
        query: pairs(&example.query),
    }
}

/// Puts the examples that a sender sends together by the choices that they need.
fn trials(shown: &Shown, sender: &Sender) -> Vec<Trial> {
    let mut trials: BTreeMap<String, Trial> = BTreeMap::new();
    for example in &shown.preset.examples {
        let mut shown = shown.clone();
        let example = prepared(&mut shown, example);
        if (sender.sends)(&record(&example)) {
            let trial = trials.entry(choices(&shown.table));
            trial.or_insert_with(|| Trial { shown, examples: Vec::new() }).examples.push(example);
        }
    }
    trials.into_values().collect()
}

/// The events that must arrive, by what the examples give, their gates and their keys.
#[derive(Default)]
struct Ledger {
    gates: BTreeMap<(String, String), Value>,
    keys: BTreeSet<String>,
    expected: Vec<String>,
}

impl Ledger {
    fn add(&mut self, preset: &Preset, example: &Example) {
        for result in preset.run(example).expect("an example can be mapped") {
            for result in result.results {
                let MappedResult::Emit { event, gate, .. } = result else { continue };
                let passes = gate.as_ref().is_none_or(|gate| self.passes(gate));
                let key = event.get("id").unwrap_or(&event).to_string();
                if passes && self.keys.insert(key) {
                    self.expected.push(comparable_event(&event));
                }
            }
        }
    }

    fn passes(&mut self, gate: &Gate) -> bool {
        let place = (gate.state.clone(), gate.key.clone());
        match self.gates.insert(place, gate.value.clone()) {
            Some(before) => before != gate.value,
            None => gate.first.admits(&gate.value),
        }
    }
}

/// Returns type, subject and members without the time, as one text.
fn comparable(uri: &str, subject: &Value, members: &Value) -> String {
    let mut members = members.clone();
    members.as_object_mut().expect("members").remove("event_timestamp");
    json!([uri, subject, members]).to_string()
}

fn comparable_event(event: &Value) -> String {
    let event_type: EventType =
        event["type"].as_str().and_then(|name| name.parse().ok()).expect("a type");
    let members = event.get("event").cloned().unwrap_or_else(|| json!({}));
    comparable(event_type.as_str(), &event["sub_id"], &members)
}

fn comparable_set(set: &Seen) -> String {
    let claims = set.claims();
    let (uri, members) = event(&claims);
    comparable(&uri, &claims["sub_id"], &members)
}

/// Tells the status with which the source answers a request that it takes in.
/// The kind of the source that a preset is for.
fn kind(preset: &Preset) -> &str {
    preset.source.get("kind").and_then(Value::as_str).unwrap_or("native")
}

fn answer(preset: &Preset) -> u16 {
    match kind(preset) {
        "native" => {
            let status = preset.source.get("answer").and_then(Value::as_u64);
            status.map_or(200, |status| status.try_into().expect("a status"))
        }
        "logout-token" => 200,
        "set" => 202,
        other => panic!("`{other}` is no kind that has an answer here"),
    }
}

/// The answer to a forged request.
fn refusal(preset: &Preset) -> u16 {
    if kind(preset) == "native" { 401 } else { 400 }
}

/// Asks the first question of a provider, and checks the answer.
async fn shake_hands(preset: &Preset, url: &str) {
    match preset.source.get("handshake").and_then(Value::as_str) {
        None => {}
        Some("okta") => {
            let ask = get(url).header("x-okta-verification-challenge", "question-1");
            assert_eq!(ask.send().await.expect(200).json(), json!({"verification": "question-1"}));
        }
        Some("graph") => {
            let asked = post(&format!("{url}?validationToken=question%201")).send().await;
            assert_eq!(asked.expect(200).text(), "question 1");
        }
        Some(other) => panic!("{}: ask the question of {other} here", preset.name()),
    }
}

/// Starts a daemon with the source of the page, lets the provider send each record twice, and checks what the
/// Receiver has at the end.
async fn deliver(trial: &Trial, sender: &Sender, files: &Files) -> usize {
    let Trial { shown, examples } = trial;
    let preset = shown.preset;
    let about = format!("{}, {}, {}", preset.name(), sender.name, choices(&shown.table));
    let mut receiver = Receiver::accepting().await;
    // A revoked token is told by its own type, as the examples say it.
    let mut types = EventType::offered_by_default();
    types.push(EventType::token_revoked());
    let types: Vec<_> = types.iter().map(|one| one.as_str().to_owned()).collect();
    let setup = Setup::pushing_with(&receiver, |config| {
        rename_provider(config, "delivered");
        config.sources.listen = Some(([127, 0, 0, 1], 0).into());
        config.public.rates.refused_per_second_max = 0;
        let provider = config.providers.values_mut().next().expect("a provider");
        provider.events_supported.clone_from(&types);
        provider.sources.insert(shown.name.parse().expect("a name"), shown.settings());
    })
    .await;
    setup.update(json!({"events_requested": types})).await;
    let address = setup.daemon.sources_address();
    let url = format!("http://{address}/in/delivered/{}", shown.name);
    shake_hands(preset, &url).await;

    let natives: Vec<_> = examples.iter().map(native).collect();
    let at_once = if sender.in_batches { natives.len() } else { 1 };
    let by = Credentials { secret: SECRET, key: &files.key };
    // A key that is called like the known one. For an unknown one, the set of keys would be read again.
    let mut other = Key::new();
    other.jwk["kid"] = files.key.jwk["kid"].clone();
    let forger = Credentials { secret: WRONG, key: &other };
    let send = async |call: Call, status: u16| {
        let answer = call.send().await;
        assert_eq!(answer.status.as_u16(), status, "{about}: {}", answer.text());
    };
    for request in natives.chunks(at_once) {
        if shown.auth().scheme != SchemeName::None {
            send(sender.request(&url, request, &forger), refusal(preset)).await;
        }
        // The provider has no answer to the first one, and repeats it.
        for _ in 0..2 {
            send(sender.request(&url, request, &by), answer(preset)).await;
        }
    }
    let mut ledger = Ledger::default();
    for example in examples {
        ledger.add(preset, example);
    }
    let verifier = setup.daemon.verifier("delivered").await;
    let sets = receiver.next_few(ledger.expected.len()).await;
    setup.settled().await;
    assert!(receiver.rest().is_empty(), "{about}: no SET comes twice, and none from the forger");
    for set in &sets {
        verifier.verify(set.jws()).expect("a SET of ours");
    }
    let mut arrived: Vec<_> = sets.iter().map(comparable_set).collect();
    arrived.sort();
    ledger.expected.sort();
    assert_eq!(arrived, ledger.expected, "{about}");
    arrived.len()
}

#[actix_web::test]
async fn each_preset_gives_its_sets_by_the_configuration_of_its_page() {
    for preset in Preset::all() {
        let files = Files::new(preset.name());
        let shown = page::sources(preset, files.folder.path());
        assert!(!shown.is_empty(), "the page of {} shows no source", preset.name());
        let Some(senders) = sender::of(preset.name()) else { continue };
        let mut delivered = 0;
        for shown in &shown {
            let page = page::text(preset.name());
            let path = format!("/in/default/{}", shown.name);
            let is_named = page.contains(&path) || shown.name == "graph";
            assert!(is_named, "the page of {} does not name {path}", preset.name());
            for sender in senders.iter().filter(|sender| fits(shown, sender)) {
                for trial in trials(shown, sender) {
                    delivered += deliver(&trial, sender, &files).await;
                }
            }
        }
        assert!(0 < delivered, "no event of {} arrived", preset.name());
    }
}

/// Tells whether a sender is the one of a source. Only the page of Entra has two.
fn fits(shown: &Shown, sender: &Sender) -> bool {
    (shown.auth().scheme == SchemeName::ClientState) == (sender.name == "Graph")
}
