//! Mappings that do not load, with the rule, the path and the remedy that the error names.

use serde_json::json;

use super::*;

/// A valid rule to which a case adds what is wrong.
const RULE: &str = r#"
[[rules]]
name = "a"
emit = "risc:account-purged"
subject = { opaque = "{/u}" }
"#;

#[track_caller]
fn refuses(toml: &str, rule: Option<&str>, path: Option<&str>, text: &str) {
    refused(None, toml, &[], (rule, path, text));
}

#[track_caller]
fn refused(
    preset: Option<&Preset>,
    toml: &str,
    may_emit: &[EventType],
    (rule, path, text): (Option<&str>, Option<&str>, &str),
) {
    let error = Mapping::compile(preset, &settings(toml), "kc", may_emit).expect_err(toml);
    assert!(error.text.contains(text), "{error}");
    assert_eq!((error.rule.as_deref(), error.path.as_deref()), (rule, path), "{error}");
    let shown = error.to_string();
    assert!(shown.starts_with("source `kc`"), "{shown}");
    for part in [rule, path].into_iter().flatten() {
        assert!(shown.contains(&format!("`{part}`")), "{shown}");
    }
}

/// A rule with this type and these members.
fn emitting(emit: &str, subject: &str, event: &str) -> String {
    format!("[[rules]]\nname = \"a\"\nemit = {emit}\nsubject = {subject}\nevent = {event}\n")
}

const USER: &str = "{ opaque = \"{/u}\" }";

#[test]
fn what_a_rule_emits_is_held_to_its_definition() {
    let a = Some("a");
    let check = |emit: &str, subject: &str, event: &str, path: &str, text: &str| {
        refuses(&emitting(emit, subject, event), a, Some(path), text);
    };
    check("\"caep:nope\"", USER, "{}", "emit", "`caep:nope` is no event type");
    check("\"ssf:verification\"", USER, "{}", "emit", "by the Transmitter alone");
    check("\"urn:x:y\"", USER, "{}", "emit", "list it in `may_emit`");
    check("\"risc:sessions-revoked\"", USER, "{}", "emit", "emit `caep:session-revoked`");
    check("\"{/type}\"", USER, "{}", "emit", "list them in `emits`");
    check("7", USER, "{}", "emit", "the name of an event type");
    check("\"caep:session-revoked\"", USER, "{}", "subject", "say `scope = \"user\"` in the rule");
    check("\"risc:identifier-changed\"", USER, "{}", "subject", "`email` or `phone_number`");
    check("\"risc:account-purged\"", "\"x\"", "{}", "subject", "must be a table");
    check("\"risc:account-purged\"", "{ nope = \"x\" }", "{}", "nope", "one subject format");
    check("\"risc:account-purged\"", "{ iss_sub = \"x\" }", "{}", "iss_sub", "`iss`, `sub`");
    check("\"risc:account-purged\"", "{}", "{}", "subject", "1 to 16 members");
    let optional = "{ user = { opaque = \"{/u}\", optional = true } }";
    check("\"risc:account-purged\"", optional, "{}", "subject", "one member that is not optional");

    let change = "\"caep:credential-change\"";
    check(change, USER, "{ change_type = \"update\" }", "credential_type", "is required by");
    let event =
        "{ credential_type = { from = \"/t\", optional = true }, change_type = \"update\" }";
    check(change, USER, event, "credential_type", "must not be `optional`");
    let event = "{ credential_type = \"password\", change_type = \"changed\" }";
    check(change, USER, event, "change_type", "can be `\"changed\"`");
    let event = "{ credential_type = \"pin\", change_type = { from = \"/t\", map = { values = \
                 { a = \"create\", b = \"add\" } } } }";
    check(change, USER, event, "change_type", "can be `\"add\"`");
    let revoked = |event: &str, path: &str, text: &str| {
        let session = "{ session = { opaque = \"{/s}\" } }";
        check("\"caep:session-revoked\"", session, event, path, text);
    };
    revoked("{ reason_admin = \"signed out\" }", "reason_admin", "language tags");
    revoked("{ reason_admin = \"of {/x}\" }", "reason_admin", "language tags");
    revoked("{ reason_admin = { en_US = \"of {/x}\" } }", "reason_admin", "language tags");
    revoked("{ event_timestamp = 1775000099000 }", "event_timestamp", "not of milliseconds");
    revoked("{ current_level = \"LOW\" }", "current_level", "is not a member of");
    revoked("{ subject = \"x\" }", "subject", "must not be in `event`");
    revoked("{ initiatingEntity = \"user\" }", "initiatingEntity", "is spelled");
    let nested = "{ \"https://schemas.openid.net/secevent/caep/event-type/x\" = \"x\" }";
    let path = "https://schemas.openid.net/secevent/caep/event-type/x";
    revoked(nested, path, "write the members of the event directly");
    check(
        "\"risc:account-disabled\"",
        USER,
        "{ reason_admin = { en = \"x\" } }",
        "reason_admin",
        "is not a member of `risc:account-disabled`",
    );
    // Members that no specification has, and values that Receivers may have agreed on, pass.
    mapping(&emitting(
        change,
        USER,
        "{ credential_type = \"recovery-codes\", change_type = \"create\", kc_realm = \"x\" }",
    ));
}

#[test]
fn a_rule_has_one_action_and_what_belongs_to_it() {
    let rule = |more: &str| format!("{RULE}{more}");
    refuses(&rule("drop = \"x\""), Some("a"), None, "exactly one action");
    refuses("[[rules]]\nname = \"a\"", Some("a"), None, "exactly one action");
    for (member, more) in [
        ("subject", "subject = { opaque = \"x\" }"),
        ("event", "event = { x = 1 }"),
        ("id", "id = \"x\""),
        ("scope", "scope = \"user\""),
        ("opt_in", "opt_in = true"),
        ("on_change", "on_change = { key = \"x\", value = \"y\" }"),
    ] {
        let toml = format!("[[rules]]\nname = \"a\"\ndrop = \"x\"\n{more}");
        refuses(&toml, Some("a"), Some(member), "needs `emit`");
    }
    refuses(
        "[[rules]]\nname = \"a\"\nemit = \"risc:account-purged\"",
        Some("a"),
        Some("subject"),
        "is required",
    );
    refuses("[[rules]]\nname = \"a b\"\ndrop = \"x\"", Some("a b"), Some("name"), "out of A-Z");
    refuses(&rule(RULE), Some("a"), Some("name"), "the name of two rules");
    refuses(&rule("scope = \"user\""), Some("a"), Some("scope"), "`risc:account-purged` ends none");
    refuses(&rule("each = \"x\""), Some("a"), Some("x"), "is not a path");
    refuses(&rule("id = \"{each:}\""), Some("a"), Some("each:"), "needs `each`");
    refuses(&rule("id = \"{capture:x}\""), Some("a"), Some("capture:x"), "names no group");
    refuses(&rule("txn = \"{let:x}\""), Some("a"), Some("let:x"), "names no value of `let`");
    refuses(&rule("emits = [\"risc:account-enabled\"]"), Some("a"), Some("emits"), "lacks");
    let gate = "on_change = { key = \"{/u}\", value = \"{/v}\", first = \"loud\" }";
    refuses(&rule(gate), Some("a"), Some("on_change.first"), "`silent`, `emit`");
    let guard = RULE.replace("rules", "guards");
    refuses(&guard, Some("a"), Some("emit"), "must not be in `guards`");
    let rule = |n| format!("[[rules]]\nname = \"r{n}\"\nwhen = {{ \"/t\" = {n} }}\ndrop = \"x\"\n");
    let many = (0..=RULES_MAX).map(rule).collect::<Vec<_>>().concat();
    refuses(&many, None, Some("rules"), "at most 200");
}

#[test]
fn a_rule_that_can_never_match_is_refused() {
    let rule = |name: &str, conditions: &str| {
        format!("[[rules]]\nname = \"{name}\"\n{conditions}\ndrop = \"x\"\n")
    };
    let never = |conditions: &str, path: &str, text: &str| {
        refuses(&rule("a", conditions), Some("a"), Some(path), text);
    };
    never("when = { \"/t\" = { exists = false, prefix = \"x\" } }", "/t", "contradict each other");
    never(
        "when = { \"/t\" = { not = [\"x\"], suffix = \"y\" , regex = \"^z$\", exists = false } }",
        "/t",
        "contradict each other",
    );
    never(
        "when = { \"/t\" = \"x\" }\nany = [ { \"/t\" = \"y\" }, { \"/t\" = [\"z\"] } ]",
        "/t",
        "in every alternative",
    );
    never("when = { \"/t\" = \"x\" }\nunless = { \"/t\" = [\"x\", \"y\"] }", "/t", "in `unless`");
    never(
        "when = { \"/t\" = \"x\" }\nunless = { \"/t\" = { exists = true } }",
        "/t",
        "in `unless`",
    );

    let hidden = |first: &str, second: &str| {
        let toml = format!("{}{}", rule("a", first), rule("b", second));
        refuses(&toml, Some("b"), None, "because `a` comes first");
    };
    let distinct = |first: &str, second: &str| {
        mapping(&format!("{}{}", rule("a", first), rule("b", second)));
    };
    let t = |test: &str| format!("when = {{ \"/t\" = {test} }}");
    hidden("", &t("\"x\""));
    hidden("", "");
    hidden(&t("\"x\""), &t("\"x\""));
    hidden(&t("[\"x\", \"y\"]"), &t("\"x\""));
    hidden(&t("{ prefix = \"acc\" }"), &t("\"access\""));
    hidden(&t("{ prefix = \"acc\" }"), &t("{ prefix = \"access.\" }"));
    hidden(&t("{ suffix = \"s\" }"), &t("{ suffix = \"ss\" }"));
    hidden(&t("{ regex = \"^a\" }"), &t("[\"a\", \"ab\"]"));
    hidden(&t("{ regex = \"^a\" }"), &t("{ regex = \"^a\", prefix = \"b\" }"));
    hidden(&t("{ exists = true }"), &t("{ same_as = \"/u\" }"));
    hidden(&t("{ exists = false }"), &t("{ exists = false }"));
    hidden(&t("{ not = [\"x\"] }"), &t("{ not = [\"x\", \"y\"] }"));
    hidden(&t("{ not = [\"x\"] }"), &t("\"y\""));
    hidden(&t("{ not = [\"x\"] }"), &t("{ exists = false }"));
    hidden(&t("{ same_as = \"/u\" }"), &t("{ same_as = \"/u\", prefix = \"x\" }"));
    hidden(&t("\"x\""), "when = { \"/t\" = \"x\", \"/u\" = 1 }");
    hidden("any = [ { \"/t\" = \"x\" }, { \"/u\" = 1 } ]", &t("\"x\""));

    distinct(&t("\"x\""), &t("[\"x\", \"y\"]"));
    distinct(&t("\"x\""), "when = { \"/u\" = \"x\" }");
    distinct(&t("{ prefix = \"access.\" }"), &t("{ prefix = \"acc\" }"));
    distinct(&t("{ regex = \"^a\" }"), &t("{ regex = \"^ab\" }"));
    distinct("when = { \"/t\" = \"x\" }\nunless = { \"/u\" = 1 }", &t("\"x\""));
    distinct("when = { \"/t\" = \"x\" }\nalso = true", &t("\"x\""));
    distinct("each = \"/list\"", &t("\"x\""));
    distinct(&t("{ same_as = \"/u\" }"), &t("\"x\""));
    let guard = rule("a", "").replace("rules", "guards");
    refuses(&format!("{guard}{}", rule("b", "")), Some("b"), None, "because `a` comes first");
}

#[test]
fn names_and_settings_are_checked() {
    refuses("records = \"x\"", None, Some("x"), "is not a path");
    refuses("records = \"$..x\"", None, Some("$..x"), "has `..`");
    refuses("type = \"type\"", None, Some("type"), "is not a path");
    refuses("id = \"{id}\"", None, Some("id"), "is not a path");
    refuses("time = { from = \"time\" }", None, Some("time"), "is not a path");
    refuses("decode = [ { at = \"$.a\", as = \"json\" } ]", None, Some("$.a"), "`decode`");
    refuses("vars = { iss = [1] }", None, Some("vars.iss"), "a string, a number or a boolean");
    refuses("enable = [\"x\"]", None, Some("enable"), "names the rule `x`");
    refuses("disable = [\"x\"]", None, Some("disable"), "names the rule `x`");
    refuses(&format!("enable = [\"a\"]\n{RULE}"), None, Some("enable"), "needs no `enable`");
    refuses("[maps.m.values]\na = {}", None, Some("a"), "a string, a number or a boolean");
    refuses("let = { a = \"{let:b}\", b = \"{let:a}\" }", None, Some("let:a"), "need each other");
    refuses("let = { a = \"{let:a}\" }", None, Some("let:a"), "need each other");
    refuses("let = { a = \"{x}\" }", None, Some("x"), "is not a path");
    let many: Vec<_> = (0..=LETS_MAX).map(|n| format!("v{n} = \"{{/x}}\"\n")).collect();
    refuses(&format!("[let]\n{}", many.concat()), None, Some("let"), "at most 16");
    let rule = |n| {
        let conditions = ["a", "b", "c", "d"].map(|name| format!("\"$.{name}[{n}:]\" = 1"));
        let conditions = conditions.join(", ");
        format!("[[rules]]\nname = \"r{n}\"\nwhen = {{ {conditions} }}\ndrop = \"x\"\n")
    };
    let many = (0..=QUERIES_MAX / 4).map(rule).collect::<Vec<_>>().concat();
    let settings = settings(&many);
    let error = Mapping::compile(None, &settings, "kc", &[]).expect_err("too many");
    assert!(error.text.contains("more than 64 JSONPath queries"), "{error}");
}

#[test]
fn a_source_emits_only_what_it_may() {
    let purged = ["risc:account-purged".parse().expect("a type")];
    let other = ["risc:account-enabled".parse().expect("a type")];
    assert!(Mapping::compile(None, &settings(RULE), "kc", &purged).is_ok());
    let remedy = "list it there, or name the rule in `disable`";
    refused(None, RULE, &other, (Some("a"), Some("emit"), remedy));
    let disabled = format!("disable = [\"a\"]\n{RULE}");
    let mapping = Mapping::compile(None, &settings(&disabled), "kc", &other).expect("nothing");
    assert!(mapping.emits().is_empty());
    // A type that nobody defines, and a deprecated one, can be listed.
    for listed in ["urn:example:badge-lost", "risc:sessions-revoked"] {
        let scope = if listed.starts_with("risc:") { "scope = \"user\"" } else { "" };
        let toml = RULE.replace("risc:account-purged", listed);
        let toml = format!("{scope}\n{toml}{scope}");
        let may_emit = [listed.parse().expect("a type")];
        let mapping = Mapping::compile(None, &settings(&toml), "kc", &may_emit);
        assert_eq!(mapping.expect("listed").emits(), may_emit.into());
    }
}

/// The preset that sources of these tests change.
fn preset() -> Preset {
    let text = r#"
        type = "/t"
        [preset]
        name = "test"
        version = 1
        title = "Test"
        [vars.iss]
        required = true
        description = "the issuer"
        [vars.note]
        [maps.kind]
        values = { a = "pin", b = "app" }
        default = "password"
        [[rules]]
        name = "change"
        when = { "/t" = "change" }
        emit = "caep:credential-change"
        subject = { iss_sub = { iss = "{var:iss}", sub = "{/u}" } }
        event = { credential_type = { from = "/kind", map = "kind" }, change_type = "update", reason_admin = { en = { from = "var:note", optional = true } } }
        [[rules]]
        name = "all"
        when = { "/t" = "all" }
        scope = "user"
        emit = "caep:session-revoked"
        subject = { iss_sub = { iss = "{var:iss}", sub = "{/u}" } }
        [[rules]]
        name = "login"
        when = { "/t" = "login" }
        opt_in = true
        emit = "caep:session-established"
        subject = { iss_sub = { iss = "{var:iss}", sub = "{/u}" } }
        [[rules]]
        name = "login-off"
        when = { "/t" = "login" }
        drop = "sign-ins are not wanted"
    "#;
    Preset::parse("test", text).expect("a preset")
}

#[test]
fn a_source_fills_and_changes_its_preset() {
    let preset = preset();
    let compile = |toml: &str| {
        let toml = format!("vars.iss = \"https://idp.example\"\n{toml}");
        let mapping = Mapping::compile(Some(&preset), &settings(&toml), "kc", &[]);
        mapping.unwrap_or_else(|error| panic!("{error}"))
    };
    let change = json!({"t": "change", "u": 41, "kind": "a"});
    // `reason_admin` has no part, so it is left out as a whole.
    assert_eq!(events(&compile(""), &change)[0]["event"].get("reason_admin"), None);
    let event = &events(&compile("vars.note = \"n\""), &change)[0];
    assert_eq!(event["event"]["reason_admin"], json!({"en": "n"}));
    assert_eq!(
        event["sub_id"],
        json!({"format": "iss_sub", "iss": "https://idp.example", "sub": "41"})
    );
    let note = "vars.note = \"n\"\n";
    let members = |toml: &str, kind: &str| {
        let record = json!({"t": "change", "u": "u", "kind": kind});
        events(&compile(&format!("{note}{toml}")), &record)[0]["event"]["credential_type"].clone()
    };
    assert_eq!(members("", "b"), "app");
    assert_eq!(members("", "c"), "password");
    let own = "maps.kind = { values = { a = \"x509\" }, default = \"fido-u2f\" }";
    assert_eq!(members(own, "a"), "x509");
    assert_eq!(members(own, "b"), "app");
    assert_eq!(members(own, "c"), "fido-u2f");

    let (all, login) = (json!({"t": "all", "u": "u"}), json!({"t": "login", "u": "u"}));
    gives(&compile(""), &all, "rejected", Some("all"), "say `scope = \"user\"` at the source");
    assert_eq!(events(&compile("scope = \"user\""), &all).len(), 1);
    gives(&compile(""), &login, "dropped", Some("login-off"), "not wanted");
    assert_eq!(events(&compile("enable = [\"login\"]"), &login).len(), 1);
    gives(&compile("disable = [\"change\"]"), &change, "dropped", None, UNMATCHED);

    let same_name = "[[rules]]\nname = \"change\"\nwhen = { \"/t\" = \"change\" }\ndrop = \"mine\"";
    gives(&compile(same_name), &change, "dropped", Some("change"), "mine");
    let other_name = same_name.replace("\"change\"\nwhen", "\"own\"\nwhen");
    gives(&compile(&other_name), &change, "dropped", Some("own"), "mine");
}

#[test]
fn a_source_that_does_not_fit_its_preset_is_refused() {
    let preset = preset();
    let check = |toml: &str, path: &str, text: &str| {
        refused(Some(&preset), toml, &[], (None, Some(path), text));
    };
    check("", "vars.iss", "is required by the preset `test`: the issuer");
    check("vars.iss = \"\"", "vars.iss", "is required by the preset `test`");
    check("vars = { iss = \"x\", issuer = \"y\" }", "vars.issuer", "which has `iss`, `note`");
    check("vars.iss = \"x\"\nenable = [\"change\"]", "enable", "those that do are `login`");
    check(
        "vars.iss = \"x\"\ndisable = [\"logout\"]",
        "disable",
        "there are `change`, `all`, `login`, `login-off`",
    );
}

/// The example of docs/sources/mapping.md.
#[test]
fn the_example_of_the_documentation_loads() {
    let page = include_str!("../../../../docs/sources/mapping.md");
    let example = page.split("```text\n").nth(1).and_then(|rest| rest.split("```").next());
    let example = format!("vars.issuer = \"x\"\n{}", example.expect("the page has one"));
    let record = json!({"type": "LOGOUT", "id": "1", "userId": "u", "sessionId": "s"});
    assert_eq!(events(&mapping(&example), &record).len(), 1);
}
