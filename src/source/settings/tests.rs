use std::time::Duration;

use serde_json::json;

use super::*;
use crate::source::verify::JwtAlgorithm;

fn read(table: Value) -> Result<SourceConfig, SourceMistake> {
    let Value::Object(members) = table else { panic!("not a table") };
    SourceSettings(members).read("test")
}

/// A rule that every source here has.
fn rule() -> Value {
    json!([{
        "name": "out",
        "when": {"/type": "LOGOUT"},
        "emit": "caep:session-revoked",
        "subject": {
            "user": {"opaque": "{/user}"},
            "session": {"opaque": "{/session}"},
        },
    }])
}

fn with(members: Value) -> Value {
    let mut table = json!({
        "auth": {"scheme": "bearer", "secret_files": ["/x"]},
        "type": "/type",
        "rules": rule(),
    });
    for (key, value) in members.as_object().expect("members") {
        table[key] = value.clone();
    }
    table
}

#[track_caller]
fn refuses(members: Value, key: &str, rule: &str) {
    let found = read(with(members.clone())).expect_err("refused");
    assert!(found.key == key && found.rule.contains(rule), "{members}: {found:?}");
}

#[test]
fn a_source_has_defaults() {
    let config = read(with(json!({}))).expect("valid");
    assert_eq!(config.bounds, BoundSettings::default());
    assert_eq!((config.mode, config.preset, config.redis_key), (Mode::Publish, None, None));
    let auth = config.auth.expect("a scheme");
    assert_eq!((auth.scheme, auth.tolerance), (SchemeName::Bearer, Duration::from_mins(5)));
    let emits: Vec<_> = config.mapping.emits().into_iter().collect();
    assert_eq!(emits.len(), 1);
}

#[test]
fn values_may_be_written_as_texts() {
    let config = read(with(json!({
        "answer": "204",
        "events_per_minute_max": "0",
        "redact": "/a, /b",
        "event_id_retention": "4days",
        "auth": {
            "scheme": "jwt", "jwks": "/keys.json", "algorithms": "RS256,ES256",
        },
    })));
    let SourceConfig { bounds, auth, .. } = config.expect("valid");
    assert_eq!((bounds.answer, bounds.events_per_minute_max), (204, 0));
    assert_eq!(bounds.redact, ["/a", "/b"]);
    assert_eq!(bounds.event_id_retention, Some(Duration::from_hours(96)));
    let algorithms = auth.expect("a scheme").algorithms;
    assert_eq!(
        algorithms.iter().map(JwtAlgorithm::to_string).collect::<Vec<_>>(),
        ["RS256", "ES256"]
    );
}

#[test]
fn a_mistake_names_its_key_and_the_remedy() {
    for (members, key, rule) in [
        (json!({"colour": 1}), "colour", "is no key of a source"),
        (json!({"auth": "x"}), "auth", "must be a table"),
        (json!({"auth": {"scheme": "telepathy"}}), "auth.scheme", "unknown variant"),
        (json!({"auth": {"scheme": "bearer", "colour": 1}}), "auth.colour", "unknown field"),
        (json!({"auth": {"scheme": "bearer"}}), "auth.secret_files", "must name a file"),
        (json!({"answer": 201}), "answer", "200, 202 or 204"),
        (json!({"answer": 204, "answer_body": "counts"}), "answer_body", "has no body"),
        (json!({"malformed_answer": 500}), "malformed_answer", "400 or 200"),
        (json!({"answer_timeout": "0s"}), "answer_timeout", "longer than 0"),
        (json!({"answer_timeout": "soon"}), "answer_timeout", "is not valid"),
        (json!({"body_bytes_max": 0}), "body_bytes_max", "between 1"),
        (json!({"held_max": 1_000_000}), "held_max", "between 1"),
        (json!({"max_age": "0s"}), "max_age", "longer than 0"),
        (json!({"redact": ["a"]}), "redact", "no JSON Pointer"),
        (json!({"preset": "nonsense"}), "preset", "names none of the presets"),
        (json!({"mode": "loud"}), "mode", "unknown variant"),
        (json!({"may_emit": ["nonsense"]}), "may_emit", "nonsense"),
        (json!({"may_emit": ["ssf:verification"]}), "may_emit", "must not list"),
        (json!({"handshake": "secret"}), "handshake", "unknown variant"),
    ] {
        refuses(members, key, rule);
    }
    let mut none = with(json!({}));
    none.as_object_mut().expect("a table").remove("auth");
    let found = read(none).expect_err("refused");
    assert!(found.key == "auth" && found.rule.contains("is required"), "{found:?}");
}

#[test]
fn each_scheme_needs_its_keys() {
    let secret = ["/x"];
    for (auth, key, rule) in [
        (json!({"scheme": "basic", "secret_files": secret}), "user", "without a colon"),
        (
            json!({"scheme": "basic", "secret_files": secret, "user": "a:b"}),
            "user",
            "without a colon",
        ),
        (json!({"scheme": "hmac", "secret_files": secret}), "header", "with the signature"),
        (
            json!({"scheme": "hmac", "secret_files": secret, "header": "a b"}),
            "header",
            "no name of a header",
        ),
        (json!({"scheme": "standard-webhooks"}), "secret_files", "must name"),
        (
            json!({"scheme": "client-state", "secret_files": secret, "pointer": "x"}),
            "pointer",
            "`/`",
        ),
        (json!({"scheme": "certificate", "header": "X"}), "fingerprints", "SHA-256"),
        (json!({"scheme": "certificate"}), "fingerprints", "subject_names"),
        (
            json!({"scheme": "certificate", "header": "X", "subject_names": ["a.example"]}),
            "subject_names",
            "remove the header",
        ),
        (json!({"scheme": "jwt", "jwks": "/k"}), "algorithms", "must list"),
        (json!({"scheme": "jwt", "algorithms": ["RS256"]}), "jwks", "must be set"),
        (
            json!({"scheme": "jwt", "jwks": "http://x.example", "algorithms": ["RS256"]}),
            "jwks",
            "https URL",
        ),
        (
            json!({"scheme": "jwt", "jwks": "/k", "algorithms": ["RS256", "HS256"]}),
            "algorithms",
            "no secrets",
        ),
        (
            json!({"scheme": "jwt", "secret_files": secret, "algorithms": ["RS256"]}),
            "algorithms",
            "alone beside",
        ),
        (
            json!({"scheme": "jwt", "jwks": "/k", "secret_files": secret, "algorithms": ["RS256"]}),
            "jwks",
            "exclude each other",
        ),
        (
            json!({"scheme": "jwt", "jwks": "/k", "algorithms": ["RS256"], "token_in": "form"}),
            "form_field",
            "must name",
        ),
        (
            json!({
                "scheme": "jwt", "jwks": "/k", "algorithms": ["RS256"], "jwks_max_age": "1s",
            }),
            "jwks_refresh_interval_min",
            "at most `jwks_max_age`",
        ),
        (
            json!({"scheme": "jwt", "jwks": "/k", "algorithms": ["RS256"], "token_in": "header"}),
            "header",
            "must name",
        ),
        (
            json!({
                "scheme": "jwt", "jwks": "/k", "algorithms": ["RS256"], "authorization_files": secret,
            }),
            "authorization_files",
            "beside a JWT in the body",
        ),
        (
            json!({"scheme": "bearer", "secret_files": secret, "authorization_files": secret}),
            "authorization_files",
            "beside a JWT in the body",
        ),
        (json!({"scheme": "bearer", "secret_files": secret, "tolerance": "2h"}), "tolerance", "1h"),
        (json!({"scheme": "bearer", "secret_files": vec!["/x"; 9]}), "secret_files", "at most 8"),
    ] {
        refuses(json!({"auth": auth}), &format!("auth.{key}"), rule);
    }
}

/// Returns the table of a source whose sender signs tokens.
fn of_tokens(kind: &str, token_in: &str, change: Value) -> Value {
    let mut auth = json!({
        "scheme": "jwt", "jwks": "/keys.json", "algorithms": ["RS256"], "token_in": token_in,
        "form_field": "logout_token", "issuer": "https://idp.example", "audience": "ssfd",
    });
    for (key, value) in change.as_object().expect("members") {
        auth[key] = value.clone();
    }
    with(json!({"kind": kind, "auth": auth}))
}

#[test]
fn a_kind_of_tokens_fixes_the_answers_and_needs_the_senders_names() {
    for (kind, token_in, answer) in [("logout-token", "form", 200), ("set", "body", 202)] {
        let table = of_tokens(kind, token_in, json!({}));
        let SourceConfig { kind: found, bounds, .. } = read(table.clone()).expect("valid");
        assert_eq!((found.as_str(), bounds.answer), (kind, answer));
        for (key, value) in [
            ("answer", json!(202)),
            ("answer_body", json!("counts")),
            ("malformed_answer", json!(200)),
            ("handshake", json!("okta")),
            ("redis_key", json!("native:kc")),
        ] {
            let mut table = table.clone();
            table[key] = value;
            let found = read(table).expect_err("refused");
            assert!(found.key == key && found.rule.contains("has no meaning"), "{key}: {found:?}");
        }
        for (key, value) in [
            ("scheme", json!("none")),
            ("token_in", json!("authorization")),
            ("issuer", json!("")),
            ("issuer", Value::Null),
            ("audience", json!("")),
            ("audience", Value::Null),
        ] {
            let found = read(of_tokens(kind, token_in, json!({key: value}))).expect_err("refused");
            let is_named = found.key == format!("auth.{key}") && found.rule.contains(kind);
            assert!(is_named, "{key}: {found:?}");
        }
    }
    refuses(json!({"kind": "nonsense"}), "kind", "unknown variant");
}

#[test]
fn a_preset_says_the_kind() {
    let auth = json!({"jwks": "/k", "issuer": "https://idp.example", "audience": "ssfd"});
    for (preset, kind) in [
        ("logout-token", Kind::LogoutToken),
        ("set-relay", Kind::Set),
        ("scim-events", Kind::Set),
        ("okta", Kind::Native),
    ] {
        let mut table = json!({"preset": preset, "auth": auth});
        if kind == Kind::Native {
            table["auth"] = json!({"secret_files": ["/x"]});
        }
        if Preset::find(preset).expect("a preset").vars.contains_key("issuer") {
            table["vars"] = json!({"issuer": "https://idp.example"});
        }
        assert_eq!(read(table).expect("valid").kind, kind, "{preset}");
    }
}

#[test]
fn a_mistake_in_the_mapping_names_the_rule() {
    let mut rules = rule();
    rules[0]["emit"] = "caep:nonsense".into();
    let found = read(with(json!({"rules": rules}))).expect_err("refused");
    assert!(found.key.contains("out") && found.rule.contains("nonsense"), "{found:?}");
    let rules = json!([{"name": "out", "colour": "red"}]);
    let found = read(with(json!({"rules": rules}))).expect_err("refused");
    assert!(found.key.starts_with("rules") && found.rule.contains("colour"), "{found:?}");
}

#[test]
fn a_source_that_is_read_from_redis_needs_no_sender() {
    let mut table = with(json!({"redis_key": "native:kc"}));
    table.as_object_mut().expect("a table").remove("auth");
    let config = read(table).expect("valid");
    assert_eq!((config.auth, config.redis_key.as_deref()), (None, Some("native:kc")));
}

#[test]
fn the_names_of_the_bounds_are_those_of_the_struct() {
    let error = serde_json::from_value::<BoundSettings>(json!({"": 1})).expect_err("unknown");
    let error = error.to_string();
    let named: Vec<_> = error.split('`').skip(1).step_by(2).skip(1).collect();
    assert_eq!(named, BoundSettings::KEYS);
}
