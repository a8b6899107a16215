//! No mapping and no record makes the engine fail: it does not panic, gives the same result each
//! time, and its output is bounded.

use proptest::{
    collection::{btree_map, vec},
    option,
    prelude::*,
    sample::select,
};
use serde_json::{Map, json};

use super::*;

/// Where a path stands, which decides what it may name.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    Let,
    Rule,
    Each,
}

/// Paths that find something in the records of [`record`] or nothing, and now and then a text that is
/// no path.
fn path(place: Place) -> impl Strategy<Value = String> {
    let mut known = vec![
        "/t",
        "/a",
        "/a/b",
        "/a/0",
        "/d",
        "/d/a",
        "$",
        "$.a",
        "$.a[*]",
        "$.a[?@.b=='x'].c",
        "$.a[0:2]",
        "$.a[?length(@.b)>1]",
        "header:h",
        "query:q",
        "var:v",
    ];
    if place != Place::Let {
        known.extend(["let:l", "let:m"]);
    }
    if place == Place::Each {
        known.extend(["each:", "each:/b", "each:$.b[*]"]);
    }
    let known = select(known).prop_map(str::to_owned);
    prop_oneof![98 => known, 1 => "\\PC{0,8}", 1 => "[$/.\\[\\]?@*'0-9a]{0,12}"]
}

fn template(place: Place) -> impl Strategy<Value = String> {
    let function = select(vec![
        "",
        "|lower",
        "|upper|trim",
        "|segment:-1",
        "|base64decode",
        "|urldecode",
        "|sha256",
        "|email",
        "|prefix_before:.",
        "|suffix_after:.",
        "|string",
        "|not_uuid",
    ]);
    let hole = (path(place), function).prop_map(|(path, function)| format!("{{{path}{function}}}"));
    let hole = hole.boxed();
    let capture = if place == Place::Let { "{var:v}" } else { "{capture:c}" };
    let words = vec!["a", "update", "password", "user", "risc:account-purged", capture];
    prop_oneof![
        60 => hole.clone(),
        20 => vec(hole, 0..4).prop_map(|holes| format!("x{}", holes.join("-"))),
        20 => select(words).prop_map(str::to_owned),
        1 => "[{}|/a]{0,8}",
    ]
}

fn value(place: Place) -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        6 => template(place).prop_map(Value::from),
        1 => any::<bool>().prop_map(Value::from),
        1 => any::<i32>().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 4, move |inner| {
        let from = (path(place), option::of(inner.clone()), any::<bool>()).boxed();
        prop_oneof![
            vec(inner.clone(), 1..3).prop_map(Value::from),
            btree_map("[a-c]", inner.clone(), 1..3).prop_map(|members| json!(members)),
            from.clone().prop_map(|(from, default, _)| match default {
                Some(default) => json!({"from": from, "default": default}),
                None => json!({"from": from}),
            }),
            from.prop_map(|(from, _, optional)| {
                json!({"from": from, "map": "m", "optional": optional})
            }),
            vec(path(place), 1..3).prop_map(|first| json!({"first": first})),
            (conditions(place, false), inner.clone()).prop_map(|(mut when, default)| {
                when.insert("/c".to_owned(), json!({"not": "x"}));
                json!({"switch": [{"when": when, "const": 1}], "default": default})
            }),
        ]
    })
}

fn conditions(place: Place, captures: bool) -> impl Strategy<Value = Map<String, Value>> {
    let word = select(vec!["x", "y", "users/41/x"]).prop_map(Value::from);
    let capturing = vec!["^users/(?<c>[^/]+)", "x|y", "(?<c>.)(?<e>.)?"];
    let patterns = if captures { capturing } else { vec!["x|y", "^[^/]+/(.)"] };
    let test = prop_oneof![
        word.clone(),
        vec(word.clone(), 1..3).prop_map(Value::from),
        any::<bool>().prop_map(|exists| json!({"exists": exists})),
        word.clone().prop_map(|word| json!({"not": word})),
        word.prop_map(|word| json!({"prefix": word, "suffix": "x"})),
        path(place).prop_map(|path| json!({"same_as": path})),
        select(patterns).prop_map(|regex| json!({"regex": regex})),
    ];
    btree_map(path(place), test, 0..3).prop_map(|tests| tests.into_iter().collect())
}

fn rule(n: usize, place: Place) -> impl Strategy<Value = Value> {
    let value = move || value(place);
    let action = prop_oneof![
        1 => Just(json!({"drop": "d"})),
        1 => Just(json!({"reject": "r"})),
        4 => (value(), value(), value(), option::of(value())).prop_map(|(sub, one, other, id)| {
            let mut rule = json!({
                "emit": "caep:credential-change",
                "subject": {"user": {"opaque": sub}, "device": {"opaque": one, "optional": true}},
                "event": {"credential_type": "pin", "change_type": "update", "x": other},
                "on_change": {"key": "{/t}", "value": one},
            });
            if let Some(id) = id {
                rule["id"] = id;
            }
            rule
        }),
    ];
    let more =
        (path(Place::Rule), any::<bool>(), conditions(place, false), conditions(place, true));
    (action, conditions(place, true), more).prop_map(move |(mut rule, when, more)| {
        let (each, also, unless, mut any) = more;
        any.insert("/t".to_owned(), json!({"regex": "(?<c>[a-z])"}));
        rule["name"] = json!(format!("r{n}"));
        rule["when"] = when.into();
        rule["also"] = json!(also);
        rule["unless"] = unless.into();
        rule["any"] = json!([any, {"/b": {"not": "y"}}]);
        if place == Place::Each {
            rule["each"] = json!(each);
        }
        rule
    })
}

fn any_settings() -> impl Strategy<Value = MappingSettings> {
    let decode = select(vec![
        json!([]),
        json!([{"at": "/d", "as": "json", "optional": true}]),
        json!([{"at": "/d", "as": "json"}, {"at": "/d/a", "as": "base64-json", "optional": true}]),
    ]);
    let rules = (rule(0, Place::Each), rule(1, Place::Rule), rule(2, Place::Rule));
    let values = (value(Place::Let), value(Place::Let), value(Place::Let));
    (rules, values, decode).prop_map(|((a, b, c), (l, m, id), decode)| {
        let settings = json!({
            "type": "/t", "id": id, "time": {"from": "/a/b"}, "decode": decode,
            "let": {"l": l, "m": m, "n": "{let:l}"}, "vars": {"v": "var"},
            "maps": {"m": {"values": {"x": "y", "true": 1}, "default": "z"}},
            "rules": [a, b, c],
        });
        serde_json::from_value(settings).expect("the members are known")
    })
}

fn record() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        select(vec!["x", "y", "", "users/41/x", "{\"a\":\"eyJiIjoieCJ9\"}", "eyJiIjoieCJ9"])
            .prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        Just(Value::Null),
        "\\PC{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            btree_map("[abcdt]", inner, 0..5).prop_map(|members| json!(members)),
        ]
    })
}

proptest! {
    #[test]
    fn no_mapping_and_no_record_makes_it_fail(
        settings in any_settings(),
        records in vec(record(), 1..4),
        header in "\\PC{0,8}",
    ) {
        let Ok(mapping) = Mapping::compile(None, &settings, "s", &[]) else { return Ok(()) };
        let pair = |name: &str| (name.to_owned(), header.clone());
        let request = RequestFacts::new([pair("h")], [pair("q")]);
        for record in &records {
            for one in mapping.split(record) {
                let mapped = mapping.apply(one, &request, RECEIVED);
                prop_assert!(!mapped.results.is_empty());
                let bytes = serde_json::to_vec(&mapped.results).expect("JSON").len();
                prop_assert!(bytes < 4 * OUTPUT_BYTES_MAX);
                prop_assert_eq!(&mapped, &mapping.clone().apply(one, &request, RECEIVED));
                // The index only saves work, so trying all rules gives the same.
                let (traced, trace) = mapping.apply_traced(one, &request, RECEIVED);
                prop_assert_eq!(&mapped, &traced);
                prop_assert_eq!(trace.len(), mapping.rules().count());
            }
        }
    }

    /// The texts of a mapping come from people, so any text may be a path, a template or a function.
    #[test]
    fn no_text_makes_a_mapping_panic(text in "\\PC{0,60}", query in "\\$[.\\[\\]()?@*:'\"=!&|<>a0-9-]{0,40}") {
        for text in [text, query] {
            let settings = json!({"records": text, "type": text, "id": text, "let": {"a": text,
                "b": {"from": text}, "c": {"from": "/x", "fn": text}}});
            let settings = serde_json::from_value(settings).expect("the members are known");
            drop(Mapping::compile(None, &settings, "s", &[]));
        }
    }
}

/// How often the generators give a mapping that loads, so that the property above means something.
#[test]
fn many_random_mappings_load() {
    use proptest::{strategy::ValueTree as _, test_runner::TestRunner};
    let mut runner = TestRunner::deterministic();
    let errors = (0..200).filter_map(|_| {
        let settings = any_settings().new_tree(&mut runner).expect("settings").current();
        Mapping::compile(None, &settings, "s", &[]).err().map(|error| error.to_string())
    });
    let errors: Vec<_> = errors.collect();
    assert!(errors.len() <= 160, "{} of 200 do not load, such as {:?}", errors.len(), &errors[..9]);
}
