//! Holds the prose of the sources to plain English, as far as a test can judge that: no comment
//! begins with a pronoun or a conjunction in place of a noun, and no text has a word for which the
//! project uses another term.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::{
    layers::files,
    source::{comment_blocks, script_comment_blocks},
};

/// The folders that are read, and the extensions of the files in them.
const FOLDERS: [(&str, &[&str]); 5] = [
    ("src", &["rs", "lua", "sql"]),
    ("tests/it", &["rs"]),
    ("benches", &["rs"]),
    ("config", &["toml"]),
    ("systemd", &["service"]),
];

/// The files of the root that are read besides.
const ROOT_FILES: [&str; 6] =
    ["Cargo.toml", "Makefile", "clippy.toml", "deny.toml", ".ci/run", ".ci/setup"];

/// Words that a comment must not begin with, because its sentence then lacks a noun as its subject.
pub(crate) const FIRST_WORDS: [&str; 8] =
    ["What", "Which", "It", "As", "Those", "Who", "Whoever", "Whatever"];

/// Words that must not appear at all, each with the term to use. An identifier counts as the words
/// that it consists of.
const TERMS: [(&str, &str); 8] = [
    ("tenure", "lease"),
    ("news", "change feed"),
    ("teller", "change feed"),
    ("housekeeping", "maintenance job"),
    ("house keeping", "maintenance job"),
    ("keeps house", "maintenance job"),
    ("keep house", "maintenance job"),
    ("upstream", "publisher"),
];

#[test]
fn comments_and_names_are_in_plain_english() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut violations = Vec::new();
    for file in sources(root) {
        let name = file.strip_prefix(root).expect("the folders are below the root");
        let name = name.to_str().expect("sources are named in ASCII");
        if name == file!() {
            continue;
        }
        let text = fs::read_to_string(&file).expect("a source is readable");
        let blocks = match file.extension().and_then(|extension| extension.to_str()) {
            Some("rs") => comment_blocks(&text),
            Some("lua" | "sql") => script_comment_blocks(&text, "--"),
            _ => script_comment_blocks(&text, "#"),
        };
        let found = found(blocks, &text);
        violations.extend(found.iter().map(|(line, v)| format!("{name}:{line}: {v}")));
    }
    assert!(violations.is_empty(), "\n{}", violations.join("\n"));
}

fn sources(root: &Path) -> Vec<PathBuf> {
    let in_folders = FOLDERS.map(|(folder, extensions)| files(&root.join(folder), extensions));
    let of_root = ROOT_FILES.map(|file| root.join(file));
    in_folders.into_iter().flatten().chain(of_root).collect()
}

/// Returns the violations in a source with these blocks of comments, each with its line.
fn found(blocks: Vec<(usize, String)>, source: &str) -> Vec<(usize, String)> {
    let mut violations = Vec::new();
    for (line, text) in blocks {
        let end = text.find(|c: char| !c.is_alphanumeric()).unwrap_or(text.len());
        if FIRST_WORDS.contains(&&text[..end]) {
            violations.push((line, format!("a comment begins with `{}`", &text[..end])));
        }
    }
    let words = words(source);
    for (term, better) in TERMS {
        let term: Vec<_> = term.split(' ').collect();
        for words in words.windows(term.len()) {
            let is_term = |(word, term): (&(usize, String), &&str)| {
                word.1 == **term || word.1.strip_suffix('s') == Some(*term)
            };
            if words.iter().zip(&term).all(is_term) {
                let term = term.join(" ");
                violations.push((words[0].0, format!("`{term}`: say `{better}`")));
            }
        }
    }
    violations.sort();
    violations
}

/// Returns the words of a source in lower case, each with its line. `fooBar` and `foo_bar` are two
/// words.
fn words(source: &str) -> Vec<(usize, String)> {
    let mut words = Vec::new();
    for (line, text) in source.lines().enumerate() {
        for part in text.split(|c: char| !c.is_alphanumeric()) {
            let mut word = String::new();
            for c in part.chars() {
                if c.is_uppercase() && word.ends_with(char::is_lowercase) {
                    words.push((line + 1, std::mem::take(&mut word)));
                }
                word.push(c);
            }
            words.push((line + 1, word));
        }
    }
    words.retain(|(_, word)| !word.is_empty());
    for (_, word) in &mut words {
        word.make_ascii_lowercase();
    }
    words
}

#[track_caller]
fn check(source: &str, expected: &[&str]) {
    let found: Vec<_> = found(comment_blocks(source), source)
        .into_iter()
        .map(|(l, v)| format!("{l}: {v}"))
        .collect();
    assert_eq!(found, expected, "{source}");
}

#[test]
fn a_planted_violation_is_found() {
    for word in FIRST_WORDS {
        let expected = format!("2: a comment begins with `{word}`");
        for kind in ["//", "///", "//!"] {
            check(&format!("\n{kind} {word} is here.\n{kind} More."), &[&expected]);
        }
    }
    check("fn a() {} // As it is.", &["1: a comment begins with `As`"]);
    check("/// A noun.\n// It is.", &["2: a comment begins with `It`"]);
    check("/// A noun.\n\n/// It is.", &["3: a comment begins with `It`"]);
    check(
        "struct NewsFeed;\nfn on_tenure() {}",
        &["1: `news`: say `change feed`", "2: `tenure`: say `lease`"],
    );
    check(
        "// The house-keeping of an Upstream.",
        &["1: `house keeping`: say `maintenance job`", "1: `upstream`: say `publisher`"],
    );
    check("let a = \"two tellers\";", &["1: `teller`: say `change feed`"]);
}

#[test]
fn a_planted_violation_in_a_script_is_found() {
    let source = "-- Reads.\n-- What is left.\nlocal a = 1\n  -- As it is.\n";
    let found = found(script_comment_blocks(source, "--"), source);
    assert_eq!(found, [(4, "a comment begins with `As`".to_owned())]);
    let settings = "# Keys.\nkey = 1\n# Which keys.\nother = 2\n";
    let found = self::found(script_comment_blocks(settings, "#"), settings);
    assert_eq!(found, [(3, "a comment begins with `Which`".to_owned())]);
}

#[test]
fn plain_english_is_let_through() {
    check("/// Items.\n/// It may begin a later line.", &[]);
    check("/// `It` is quoted.\n\n/// Ask.\nlet a = \"// What?\";", &[]);
    check("// A newsletter, a storyteller, a house.", &[]);
}
