//! The presets of the binary and their examples.

use super::*;
use crate::domain::{
    event::Event,
    lint::lint,
    mapping::MappedResult,
    provider::{EventChecks, Provider},
};

const MINIMAL: &str = r#"
    type = "/t"
    [preset]
    name = "p"
    version = 2
    title = "P"
    [vars.iss]
    required = true
    example = "https://idp.example"
    [auth]
    scheme = "bearer"
    [source]
    answer = 204
    [[rules]]
    name = "gone"
    when = { "/t" = "gone" }
    emit = "risc:account-purged"
    on_change = { key = "{/u}", value = true }
    subject = { iss_sub = { iss = "{var:iss}", sub = "{/u}" } }
    [[rules]]
    name = "noise"
    when = { "/t" = "noise" }
    drop = "noise"
    [[rules]]
    name = "all"
    when = { "/t" = "all" }
    alarm = "all"
"#;

/// Runs one example of the preset above.
#[track_caller]
fn check(example: &str, error: Option<&str>) {
    let text = format!("{MINIMAL}[[examples]]\nname = \"e\"\n{example}");
    let found = Preset::parse("p", &text).expect("a preset").check_examples();
    match error {
        None => assert!(found.is_empty(), "{found:?}"),
        Some(error) => {
            assert_eq!(found.len(), 1, "{example}");
            assert!(found[0].starts_with("the preset `p`, example `e`: "), "{}", found[0]);
            assert!(found[0].contains(error), "{}", found[0]);
        }
    }
}

#[test]
fn each_preset_of_the_binary_gives_what_its_examples_say() {
    for preset in Preset::all() {
        assert_eq!(preset.check_examples(), [] as [String; 0]);
        assert!(!preset.examples.is_empty(), "{} has no example", preset.name());
        assert_eq!(Preset::find(preset.name()).map(Preset::name), Some(preset.name()));
    }
    let names: Vec<_> = Preset::names().collect();
    assert!(names.is_sorted(), "{names:?}");
    assert!(Preset::find("none").is_none());
}

/// The events would also pass at a provider that keeps the interoperability profile of CAEP.
#[test]
fn each_event_of_an_example_passes_the_checks_of_a_published_event() {
    let plain = Provider::example();
    let interop = Provider { interop: true, ..Provider::example() };
    for preset in Preset::all() {
        // A relay copies the members that the other Transmitter gave.
        let provider = if preset.name() == "set-relay" { &plain } else { &interop };
        for example in &preset.examples {
            let name = format!("the preset `{}`, example `{}`", preset.name(), example.name);
            let mapped = preset.run(example).expect(&name);
            for result in mapped.into_iter().flat_map(|mapped| mapped.results) {
                let MappedResult::Emit { event, .. } = result else { continue };
                let event = Event::from_json(event, provider);
                let event = event.unwrap_or_else(|error| panic!("{name}: {error}"));
                let judged = EventChecks::Strict.judge(&lint(&event, provider));
                judged.unwrap_or_else(|error| panic!("{name}: {error}"));
            }
        }
    }
}

#[test]
fn a_preset_has_defaults_for_its_sources() {
    let preset = Preset::parse("p", MINIMAL).expect("a preset");
    assert_eq!((preset.name(), preset.version(), preset.title()), ("p", 2, "P"));
    assert_eq!(preset.auth["scheme"], "bearer");
    assert_eq!(preset.source["answer"], 204);
    assert!(preset.vars["iss"].required);
}

#[test]
fn an_example_is_compared_with_what_comes_of_it() {
    let gone = "record = '{\"t\":\"gone\",\"u\":\"u-1\"}'\n";
    let event =
        |event: &str| format!("{gone}results = [ {{ rule = \"gone\", event = '''{event}''' }} ]");
    let sub = r#""sub_id":{"format":"iss_sub","iss":"https://idp.example","sub":"u-1"}"#;
    check(&event(&format!(r#"{{"type":"risc:account-purged",{sub},"event":{{}}}}"#)), None);
    check(&event(&format!("{{{sub}}}")), None);
    check(&event(r#"{"type":"risc:account-enabled"}"#), Some("`type` was expected"));
    check(&event(r#"{"event":{"reason":"x"}}"#), Some("`event` was expected"));
    check(&event(r#"{"txn":"x"}"#), Some("`txn` was expected"));
    check(&event("{"), Some("`event` must be JSON"));
    check(&event("[]"), Some("must be a JSON object"));
    let gate = |key: &str| {
        format!(
            "{gone}results = [ {{ rule = \"gone\", event = '{{}}', gate = {{ key = \"{key}\", \
                 value = true }} }} ]"
        )
    };
    check(&gate("u-1"), None);
    check(&gate("u-2"), Some("the gate"));
    check(&format!("{gone}results = [ {{ rule = \"gone\", drop = true }} ]"), Some("another kind"));
    check(&format!("{gone}results = []"), Some("0 results expected, 1 found"));
    check(&format!("{gone}results = [ {{ rule = \"gone\" }} ]"), Some("must be one of"));

    let drop = "record = '{\"t\":\"noise\"}'\nresults = [ { rule = \"noise\", drop = true } ]";
    check(drop, None);
    check(&drop.replace("rule = \"noise\"", "rule = \"gone\""), Some("the rule"));
    check("record = '{\"t\":\"x\"}'\nresults = [ { drop = true } ]", None);
    check("record = '{\"t\":\"all\"}'\nresults = [ { rule = \"all\", alarm = true } ]", None);
    check("record = '{\"t\":\"gone\"}'\nresults = [ { rule = \"gone\", reject = true } ]", None);
    let body = "body = '[{\"t\":\"noise\"},{\"t\":\"x\"}]'\n";
    check(
        &format!("{body}results = [ {{ rule = \"noise\", drop = true }}, {{ drop = true }} ]"),
        None,
    );
    check(&format!("{gone}{body}"), Some("one of `record` and `body`"));
    check("results = []", Some("one of `record` and `body`"));
    check("record = '{'", Some("it must be JSON"));
    check(&format!("{gone}enable = [\"gone\"]"), Some("needs no `enable`"));
}

#[test]
fn a_file_that_is_no_preset_is_refused() {
    for (text, reason) in [
        ("x = ", "TOML parse error"),
        ("type = \"/t\"", "`preset` is required"),
        ("[preset]\nname = \"q\"\nversion = 1\ntitle = \"Q\"", "must be `p`, like the file"),
        ("[preset]\nname = \"p\"\nversion = 1", "missing field `title`"),
        ("[preset]\nname = \"p\"\nversion = 1\ntitle = \"P\"\nx = 1", "unknown field `x`"),
        ("x = 1\n[preset]\nname = \"p\"\nversion = 1\ntitle = \"P\"", "`x` is no key of a preset"),
        (
            "scope = \"user\"\n[preset]\nname = \"p\"\nversion = 1\ntitle = \"P\"",
            "`scope` is no key",
        ),
        (
            "[preset]\nname = \"p\"\nversion = 1\ntitle = \"P\"\n[[rules]]\nname = \"a\"\nwen = 1",
            "rules[0].wen",
        ),
    ] {
        let error = Preset::parse("p", text).expect_err(text);
        assert!(error.contains(reason), "{text}: {error}");
    }
}
