//! Values in each form, and what is refused.

use std::{cell::Cell, collections::BTreeMap};

use serde_json::json;

use super::*;
use crate::domain::mapping::{Mapping, RequestFacts, facts::Facts};

#[track_caller]
fn compile(written: &Value) -> Result<Expr, Flaw> {
    let values = [("otp", "app"), ("true", "on"), ("7", "seven")];
    let values = values.map(|(key, value)| (key.to_owned(), json!(value)));
    let settings = MapSettings { values: values.into(), default: None };
    let table = Table::compile("kinds", &settings).expect("a map");
    let maps = BTreeMap::from([("kinds".to_owned(), Arc::new(table))]);
    let vars = BTreeMap::from([
        ("iss".to_owned(), json!("https://idp.example")),
        ("blank".to_owned(), json!("")),
    ]);
    let names = Names { vars: &vars, maps: &maps, queries: Cell::new(0), ..Names::none() };
    Expr::compile(written, &names)
}

#[track_caller]
fn check(written: Value, expected: Result<Value, &str>) {
    let expr = compile(&written).unwrap_or_else(|flaw| panic!("{written}: {}", flaw.text));
    let record = json!({"a": "otp", "b": "pin", "on": true, "n": 7, "e": "", "z": null,
        "list": ["otp", "pin", "otp"], "o": {"k": [1]}, "mail": "Kim@Corp.example"});
    let headers = [("X-Id".to_owned(), "h-1".to_owned())];
    let query = [("hook".to_owned(), "recovery".to_owned())];
    let (mapping, request) = (Mapping::empty(), RequestFacts::new(headers, query));
    let facts = Facts::new(&mapping, &record, &request);
    let found = expr.value(facts.scope()).map(Cow::into_owned);
    assert_eq!(found.map_err(|m| m.text()), expected.map_err(str::to_owned), "{written}");
}

#[test]
fn values_are_computed_in_each_form() {
    check(json!("user"), Ok(json!("user")));
    check(json!(7), Ok(json!(7)));
    check(json!(false), Ok(json!(false)));
    check(json!("{/o}"), Ok(json!({"k": [1]})));
    check(json!("{var:iss}/x"), Ok(json!("https://idp.example/x")));
    check(json!("{header:x-id}-{query:hook}"), Ok(json!("h-1-recovery")));
    check(json!(["{/a}", "x", "{/n}"]), Ok(json!(["otp", "x", 7])));
    check(json!({"en": "of {/a}", "de": "x"}), Ok(json!({"en": "of otp", "de": "x"})));

    check(json!({"from": "/a"}), Ok(json!("otp")));
    check(json!({"from": "a {/a}"}), Ok(json!("a otp")));
    check(json!({"from": "$.list[1]"}), Ok(json!("pin")));
    check(json!({"from": "/a", "fn": "upper"}), Ok(json!("OTP")));
    check(json!({"const": "{/a}"}), Ok(json!("{/a}")));
    check(json!({"const": {"deep": 1}}), Ok(json!({"deep": 1})));
    check(json!({"first": ["/z", "/e", "/nope", "/n", "/a"]}), Ok(json!(7)));
    check(json!({"first": ["/nope", "u-{/n}"]}), Ok(json!("u-7")));

    check(json!({"from": "/a", "map": "kinds"}), Ok(json!("app")));
    check(json!({"from": "/on", "map": "kinds"}), Ok(json!("on")));
    check(json!({"from": "/n", "map": "kinds"}), Ok(json!("seven")));
    check(json!({"from": "/list", "map": "kinds"}), Ok(json!(["app", "app"])));
    check(json!({"from": "/b", "map": {"values": {"pin": 1}}}), Ok(json!(1)));
    check(json!({"from": "/b", "map": {"values": {}, "default": "x"}}), Ok(json!("x")));
    let order =
        json!({"from": "/mail", "fn": "lower|prefix_before:@", "map": {"values": {"kim": "K"}}});
    check(order, Ok(json!("K")));

    check(json!({"from": "/nope", "default": "x"}), Ok(json!("x")));
    check(json!({"from": "/b", "map": "kinds", "default": "{/b}"}), Ok(json!("pin")));
    check(json!({"from": "/a", "fn": "email", "default": "{/n}"}), Ok(json!(7)));

    let switch = json!({"switch": [
        {"when": {"/a": "pin"}, "const": "first"},
        {"when": {"/on": true}, "unless": {"/n": 8}, "from": "/n"},
        {"any": [{"/a": "otp"}], "const": "third"},
    ]});
    check(switch, Ok(json!(7)));
    check(json!({"switch": [{"when": {"/a": "x"}, "const": 1}], "default": 2}), Ok(json!(2)));
}

#[test]
fn a_missing_value_names_its_path_and_the_reason() {
    check(json!("{/nope}"), Err("`/nope` is missing"));
    check(json!("{/e}"), Err("`/e` is missing"));
    check(json!("{/z}"), Err("`/z` is missing"));
    check(json!("{var:blank}"), Err("`var:blank` is missing"));
    check(json!("x{/o}"), Err("`/o` is an object or a list, and a text is needed"));
    check(json!({"first": ["/nope", "/z"]}), Err("`/nope` is missing"));
    check(
        json!({"from": "/b", "map": "kinds"}),
        Err("the map `kinds` has no entry for the value of `/b`"),
    );
    check(
        json!({"from": "/o", "map": {"values": {"x": 1}}}),
        Err("the map of `/o` has no entry for its value"),
    );
    check(json!({"from": "/a", "fn": "email"}), Err("`email` gives nothing for `/a`"));
    check(
        json!({"switch": [{"when": {"/a": "x"}, "const": 1}]}),
        Err("no case of the `switch` on `/a` holds"),
    );
    check(json!({"en": "{/nope}"}), Err("`/nope` is missing"));
    check(json!(["{/a}", "{/nope}"]), Err("`/nope` is missing"));
}

#[test]
fn an_optional_part_is_left_out() {
    let gone = json!({"from": "/nope", "optional": true});
    check(json!({"en": "x", "de": gone}), Ok(json!({"en": "x"})));
    check(json!(["x", gone]), Ok(json!(["x"])));
    check(json!({"de": gone}), Err("`/nope` is missing"));
    check(json!([gone]), Err("`/nope` is missing"));
    assert!(compile(&gone).expect("a value").is_optional());
    assert!(!compile(&json!({"from": "/nope"})).expect("a value").is_optional());
}

#[test]
fn the_possible_values_of_a_value_are_known_where_it_lists_them() {
    let possible = |written: Value| {
        let expr = compile(&written).expect("a value");
        let values = expr.possible().map(|v| v.into_iter().cloned().collect::<Vec<_>>());
        values.map(|mut values| {
            values.sort_by_key(Value::to_string);
            values
        })
    };
    assert_eq!(possible(json!("x")), Some(vec![json!("x")]));
    assert_eq!(possible(json!("{var:iss}")), Some(vec![json!("https://idp.example")]));
    assert_eq!(possible(json!("{/a}")), None);
    assert_eq!(possible(json!({"from": "/a"})), None);
    let mapped =
        json!({"from": "/a", "map": {"values": {"x": "1"}, "default": "2"}, "default": "3"});
    assert_eq!(possible(mapped), Some(vec![json!("1"), json!("2"), json!("3")]));
    assert_eq!(possible(json!({"from": "/a", "map": {"values": {}}, "default": "{/b}"})), None);
    let switch = json!({"switch": [{"when": {"/a": 1}, "const": "1"}], "default": "2"});
    assert_eq!(possible(switch), Some(vec![json!("1"), json!("2")]));
    assert_eq!(possible(json!({"const": "a", "fn": "upper"})), None);
}

#[test]
fn a_value_that_is_none_is_refused() {
    let mut deep = json!("x");
    for _ in 0..=VALUE_DEPTH_MAX {
        deep = json!([deep]);
    }
    let many: Vec<_> = (0..=ALTERNATIVES_MAX).map(|n| json!(n)).collect();
    for (written, reason) in [
        (json!(null), "must not be null"),
        (json!(""), "must not be an empty text"),
        (json!([]), "1 to 64 values"),
        (json!(many), "1 to 64 values"),
        (json!({}), "1 to 64 values"),
        (deep, "nested more than 8 deep"),
        (json!({"from": "a"}), "is not a path"),
        (json!({"from": 1}), "must be a path or a template"),
        (json!({"from": "/a", "first": ["/b"]}), "must not stand beside `from`"),
        (json!({"from": "/a", "maps": "kinds"}), "is not a member of a value"),
        (json!({"map": "kinds"}), "no source"),
        (json!({"optional": true, "default": "x"}), "no source"),
        (json!({"from": "/a", "map": "nope"}), "known: `kinds`"),
        (json!({"from": "/a", "map": 1}), "must be the name of a map"),
        (json!({"from": "/a", "map": {"value": {}}}), "unknown field `value`"),
        (json!({"from": "/a", "map": {"values": {"a": []}}}), "a string, a number or a boolean"),
        (json!({"from": "/a", "fn": "nope"}), "is not a function"),
        (json!({"from": "/a", "fn": 1}), "names of functions"),
        (json!({"from": "/a", "optional": "yes"}), "must be true or false"),
        (json!({"from": "/a", "optional": true, "default": 1}), "no effect beside `default`"),
        (json!({"first": []}), "a list of 1 to 64"),
        (json!({"first": "/a"}), "a list of 1 to 64"),
        (json!({"const": ""}), "must not be empty"),
        (json!({"switch": [{"const": 1}]}), "a case without `when`"),
        (json!({"switch": [{"when": {"/a": 1}}]}), "without `const`, `from` or `first`"),
        (json!({"switch": ["x"]}), "tables with `when`"),
        (json!({"switch": [{"when": "x", "const": 1}]}), "a table of paths"),
        (
            json!({"switch": [{"when": {"/a": {"regex": "(?<b>.)"}}, "const": 1}]}),
            "captures `b` where nothing can use it",
        ),
        (json!({"en": "{let:x}"}), "names no value of `let`"),
    ] {
        let flaw = compile(&written).map(|_| ()).expect_err(&written.to_string());
        assert!(flaw.text.contains(reason), "{written}: {}", flaw.text);
    }
}
