//! The requirements of the specifications, with one test for each.
//!
//! `spec/checklist.txt` lists the requirements. A test's name begins with the id of its
//! requirement. A requirement that is left out on purpose is in a table of ARCHITECTURE.md with the
//! reason. The test of this module checks that every id has either one test or one reason.

mod access_tokens;
mod authorization;
mod events;
mod inactivity;
mod interop;
mod keys;
mod metadata;
mod poll;
mod push;
mod security;
mod set;
mod status;
mod stream_access;
mod stream_changes;
mod stream_configuration;
mod subject_identifiers;
mod subjects;
mod tls;
mod verification;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use crate::source::tokens;

/// One line for each requirement: id, level, and the behaviour to observe.
const CHECKLIST: &str = include_str!("spec/checklist.txt");
const LEVELS: [&str; 7] = ["MUST NOT", "MUST (IOP)", "MUST", "SHOULD NOT", "SHOULD", "MAY", "S"];

/// The heading in ARCHITECTURE.md above the table of ids and reasons.
const EXCEPTIONS_BELOW: &str = "## What is left out on purpose";

#[test]
fn each_requirement_has_one_test_or_a_reason_to_have_none() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |path: &str| fs::read_to_string(root.join(path)).expect(path);
    let modules = modules(&read("tests/it/spec.rs"));
    let mut tests = Vec::new();
    for entry in fs::read_dir(root.join("tests/it/spec")).expect("the folder is there") {
        let name = entry.expect("an entry").file_name().into_string().expect("names are ASCII");
        if let Some(module) = name.strip_suffix(".rs") {
            assert!(modules.contains(module), "no `mod {module};`, so its tests never run");
            tests.extend(tests_of(&read(&format!("tests/it/spec/{name}"))));
        }
    }
    let exceptions = exceptions(&read("ARCHITECTURE.md"));

    let wrong = wrong(&ids(CHECKLIST), &tests, &exceptions);
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// Returns the ids that do not have exactly one test or exception, and the names without an id.
fn wrong(ids: &BTreeSet<String>, tests: &[String], exceptions: &[String]) -> Vec<String> {
    let mut found = Vec::new();
    let mut shown: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for test in tests {
        match id_of(test).and_then(|id| ids.get(&id)) {
            Some(id) => shown.entry(id).or_default().push(format!("the test {test}")),
            None => found.push(format!("{test}: begins with no id of the checklist")),
        }
    }
    for id in exceptions {
        match ids.get(id) {
            Some(id) => shown.entry(id).or_default().push("an exception".to_owned()),
            None => found.push(format!("{id}: an exception, but no id of the checklist")),
        }
    }
    for id in ids {
        match shown.get(id.as_str()).map_or(&[][..], Vec::as_slice) {
            [_] => {}
            [] => found.push(format!("{id}: no test, and no exception")),
            several => found.push(format!("{id}: {}", several.join(" and "))),
        }
    }
    found
}

/// Returns the ids of the checklist.
fn ids(checklist: &str) -> BTreeSet<String> {
    let mut ids = BTreeSet::new();
    for line in checklist.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (id, rest) = line.split_once(' ').expect("an id, and more");
        assert!(is_id(id), "no id: {line}");
        let level = LEVELS.iter().find_map(|level| rest.trim_start().strip_prefix(level));
        assert!(level.is_some_and(|text| text.starts_with(' ')), "no level: {line}");
        assert!(ids.insert(id.to_owned()), "twice: {line}");
    }
    ids
}

/// Returns whether the text has the form of an id, such as `SET-01`.
fn is_id(text: &str) -> bool {
    text.split_once('-').is_some_and(|(family, number)| {
        family.bytes().all(|b| b.is_ascii_uppercase())
            && number.len() == 2
            && number.bytes().all(|b| b.is_ascii_digit())
    })
}

/// Returns `SET-01` for `set_01_typ_is_secevent_jwt`.
fn id_of(test: &str) -> Option<String> {
    let mut parts = test.splitn(3, '_');
    let id = format!("{}-{}", parts.next()?.to_uppercase(), parts.next()?);
    parts.next().filter(|sentence| !sentence.is_empty() && is_id(&id)).map(|_| id)
}

/// Returns the names of the functions below a `#[test]` or `#[….test]`.
fn tests_of(source: &str) -> Vec<String> {
    let tokens = tokens(source);
    let mut marked = false;
    let mut tests = Vec::new();
    for pair in tokens.windows(2) {
        match (pair[0].text, pair[1].text) {
            ("test", "]") => marked = true,
            ("fn", name) if marked => {
                tests.push(name.to_owned());
                marked = false;
            }
            _ => {}
        }
    }
    tests
}

/// Returns the modules that a file declares.
fn modules(source: &str) -> BTreeSet<String> {
    let tokens = tokens(source);
    let declared = tokens.windows(2).filter(|pair| pair[0].text == "mod");
    declared.map(|pair| pair[1].text.to_owned()).collect()
}

/// Returns the ids in the first column of the table. The second column must have a reason.
fn exceptions(architecture: &str) -> Vec<String> {
    let (_, section) = architecture.split_once(EXCEPTIONS_BELOW).expect("the section is there");
    let section = section.split("\n## ").next().unwrap_or_default();
    let rows = section.lines().filter_map(|line| line.strip_prefix('|')).skip(2);
    let mut exceptions = Vec::new();
    for row in rows {
        let (listed, reason) = row.split_once('|').expect("two columns");
        assert!(!reason.trim_matches([' ', '|']).is_empty(), "no reason: {row}");
        exceptions.extend(listed.split(',').map(|id| id.trim().to_owned()));
    }
    exceptions
}

#[track_caller]
fn check(tests: &[&str], exceptions: &[&str], expected: &[&str]) {
    let ids = ids("# Both\nSET-01  MUST  this\n\nSET-02  S     that\n");
    let owned = |names: &[&str]| names.iter().copied().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(wrong(&ids, &owned(tests), &owned(exceptions)), expected);
}

#[test]
fn what_is_forgotten_or_shown_twice_is_found() {
    check(&["set_01_this"], &["SET-02"], &[]);
    check(&["set_01_this"], &[], &["SET-02: no test, and no exception"]);
    check(
        &["set_01_this", "set_01_again", "set_02_that"],
        &["SET-02"],
        &[
            "SET-01: the test set_01_this and the test set_01_again",
            "SET-02: the test set_02_that and an exception",
        ],
    );
    check(
        &["set_01_this", "set_02_that", "set_03_more", "set_01", "this"],
        &["SID-01"],
        &[
            "set_03_more: begins with no id of the checklist",
            "set_01: begins with no id of the checklist",
            "this: begins with no id of the checklist",
            "SID-01: an exception, but no id of the checklist",
        ],
    );
}

#[test]
fn tests_and_exceptions_are_read_from_where_they_stand() {
    let source = "#[test]\nfn set_01_a() {}\nfn helper() {}\n// #[test]\nfn no() {}\n\
                  #[actix_web::test]\n#[allow(dead_code)]\nasync fn set_02_b() {}";
    assert_eq!(tests_of(source), ["set_01_a", "set_02_b"]);
    let text = format!(
        "# A\n\n| a | b |\n|---|---|\n| x | y |\n\n{EXCEPTIONS_BELOW}\n\nText.\n\n| id | why |\n\
         |---|---|\n| SET-01, SET-02 | not built |\n\n## More\n\n| a | b |\n|---|---|\n| x | y |\n"
    );
    assert_eq!(exceptions(&text), ["SET-01", "SET-02"]);
}
