//! Each test on values of each kind, and what is refused.

use serde_json::json;

use super::*;
use crate::domain::mapping::{Mapping, RequestFacts, facts::Facts};

/// The record of all cases. `/absent` is nowhere in it.
fn record() -> Value {
    json!({
        "text": "access.LOGOUT", "same": "access.LOGOUT", "path": "users/41/logout", "number": 7,
        "true": true, "null": null, "empty": "", "list": ["a"], "object": {"a": 1},
        "long": "x".repeat(MATCHED_BYTES_MAX + 1),
    })
}

fn table(value: Value) -> Map<String, Value> {
    value.as_object().expect("a table").clone()
}

#[track_caller]
fn compile(when: Value, unless: Value, any: &[Value]) -> Result<Conditions, Flaw> {
    let any: Vec<_> = any.iter().cloned().map(table).collect();
    Conditions::of_rule(&table(when), &table(unless), &any, &mut Names::none())
}

#[track_caller]
fn judge(when: Value, unless: Value, any: &[Value]) -> Result<(), (String, &'static str)> {
    let conditions = compile(when, unless, any).expect("valid conditions");
    let (mapping, record, request) = (Mapping::empty(), record(), RequestFacts::default());
    let facts = Facts::new(&mapping, &record, &request);
    let judged = conditions.hold(facts.scope());
    judged.map_err(|failed| (failed.path.to_owned(), failed.test))
}

#[track_caller]
fn check(path: &str, test: Value, expected: bool) {
    let judged = judge(json!({path: test}), json!({}), &[]);
    assert_eq!(judged.is_ok(), expected, "{path}: {test}");
}

#[test]
fn each_test_judges_values_of_each_kind() {
    check("/text", json!("access.LOGOUT"), true);
    check("/text", json!("access.LOGIN"), false);
    check("/text", json!(["access.LOGIN", "access.LOGOUT"]), true);
    check("/text", json!(["access.LOGIN"]), false);
    check("/number", json!(7), true);
    check("/number", json!(7.0), true);
    check("/number", json!("7"), false);
    check("/true", json!(true), true);
    check("/true", json!("true"), false);
    check("/true", json!(1), false);
    check("/list", json!("a"), false);

    check("/text", json!({"prefix": "access."}), true);
    check("/text", json!({"prefix": ["admin.", "access."]}), true);
    check("/text", json!({"prefix": "LOGOUT"}), false);
    check("/text", json!({"suffix": "LOGOUT"}), true);
    check("/text", json!({"suffix": "_ERROR"}), false);
    check("/number", json!({"prefix": "7"}), false);
    check("/path", json!({"regex": "^users/[0-9]+/logout$"}), true);
    check("/path", json!({"regex": "^users/[a-z]+/logout$"}), false);
    check("/long", json!({"regex": "^x"}), false);
    check("/number", json!({"regex": "7"}), false);
    check("/text", json!({"prefix": "access.", "suffix": "LOGOUT"}), true);
    check("/text", json!({"prefix": "access.", "suffix": "LOGIN"}), false);

    check("/text", json!({"same_as": "/same"}), true);
    check("/text", json!({"same_as": "/path"}), false);
    check("/text", json!({"same_as": "/absent"}), false);

    check("/text", json!({"not": "x"}), true);
    check("/text", json!({"not": ["x", "access.LOGOUT"]}), false);
    check("/text", json!({"exists": true}), true);
    check("/text", json!({"exists": false}), false);
    check("$.list[?@=='a']", json!("a"), true);
}

/// A missing path, `null` and an empty text fail every test but `not` and `exists = false`.
#[test]
fn a_missing_value_fails_every_test_but_two() {
    for path in ["/absent", "/null", "/empty", "/text/deep", "$.list[?@=='b']", "header:x"] {
        check(path, json!("x"), false);
        check(path, json!(["x", true, 0]), false);
        check(path, json!({"prefix": "x"}), false);
        check(path, json!({"suffix": "x"}), false);
        check(path, json!({"regex": ""}), false);
        check(path, json!({"same_as": "/text"}), false);
        check(path, json!({"same_as": path}), false);
        check(path, json!({"exists": true}), false);
        check(path, json!({"not": "x"}), true);
        check(path, json!({"exists": false}), true);
    }
}

#[test]
fn the_first_condition_that_fails_is_named() {
    let none = || json!({});
    let (yes, no) = (json!({"/true": true}), json!({"/true": false}));
    assert_eq!(judge(none(), none(), &[]), Ok(()));
    assert_eq!(judge(yes.clone(), no.clone(), std::slice::from_ref(&yes)), Ok(()));
    let failed = |path: &str, test| Err((path.to_owned(), test));
    assert_eq!(judge(no.clone(), none(), &[]), failed("/true", "equals"));
    assert_eq!(judge(json!({"/true": [1, 2]}), none(), &[]), failed("/true", "one of"));
    assert_eq!(judge(none(), yes.clone(), &[]), failed("/true", "unless"));
    let both = json!({"/true": true, "/number": 8});
    assert_eq!(judge(none(), both, &[]), Ok(()));
    assert_eq!(judge(none(), none(), &[no.clone(), no.clone()]), failed("/true", "any"));
    assert_eq!(judge(none(), none(), &[no.clone(), yes.clone()]), Ok(()));
}

#[test]
fn groups_are_captured_by_the_conditions_that_hold() {
    let mut names = Names::none();
    let any = [
        json!({"/path": {"regex": "^users/(?<user>[^/]+)/(?<act>log[a-z]+)$"}, "/number": 8}),
        json!({"/path": {"regex": "^users/(?<user>[^/]+)/(?<rest>.*)$"}}),
    ];
    let any: Vec<_> = any.into_iter().map(table).collect();
    let when = table(json!({"/text": {"regex": "^(?<kind>[a-z]+)\\.(?<none>x)?"}}));
    let conditions = Conditions::of_rule(&when, &Map::new(), &any, &mut names).expect("valid");
    assert_eq!(names.captures, ["kind", "none", "user", "act", "rest"]);
    let (mapping, record, request) = (Mapping::empty(), record(), RequestFacts::default());
    let facts = Facts::new(&mapping, &record, &request);
    let mut captures = vec![None; 5];
    assert!(conditions.capture(facts.scope(), &mut captures).is_ok());
    let expected = [Some(json!("access")), None, Some(json!("41")), None, Some(json!("logout"))];
    assert_eq!(captures, expected);
}

#[test]
fn a_condition_that_is_none_is_refused() {
    let many: Map<_, _> = (0..=CONDITIONS_MAX).map(|n| (format!("/{n}"), json!("x"))).collect();
    for (when, reason) in [
        (json!({"/a": {}}), "has no test"),
        (json!({"/a": {"equals": "x"}}), "`equals` is not a test"),
        (json!({"/a": {"exists": "yes"}}), "must be true or false"),
        (json!({"/a": {"same_as": 1}}), "must be a path"),
        (json!({"/a": {"same_as": "b"}}), "is not a path"),
        (json!({"/a": {"prefix": 1}}), "must be strings"),
        (json!({"/a": {"prefix": ""}}), "not empty"),
        (json!({"/a": {"regex": "("}}), "invalid `regex`"),
        (json!({"/a": {"regex": 1}}), "must be a string"),
        (json!({"/a": {"regex": "(?:a{1000}){1000}"}}), "invalid `regex`"),
        (json!({"/a": []}), "1 to 1000 values"),
        (json!({"/a": ""}), "`{ exists = false }`"),
        (json!({"/a": null}), "`{ exists = false }`"),
        (json!({"/a": [{"b": 1}]}), "strings, numbers and booleans"),
        (json!({"a": "x"}), "is not a path"),
        (json!({"capture:a": "x"}), "must not be in a condition"),
        (Value::Object(many), "at most 16 conditions"),
    ] {
        let flaw = compile(when.clone(), json!({}), &[]).expect_err("a flaw");
        assert!(flaw.text.contains(reason), "{when}: {}", flaw.text);
    }
    let flaw = compile(json!({}), json!({"/a": {"regex": "(?<b>x)"}}), &[]).expect_err("a flaw");
    assert!(flaw.text.contains("captures `b` where nothing can use it"), "{}", flaw.text);
    let flaw = compile(json!({}), json!({}), &[json!({})]).expect_err("a flaw");
    assert!(flaw.text.contains("which always holds"), "{}", flaw.text);
}
