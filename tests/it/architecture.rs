//! Holds ARCHITECTURE.md and the decision records to the tree: the list of modules, the paths that the
//! text names, the links, and the index of decisions.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

const DECISIONS: &str = "docs/decisions";
const PARTS: [&str; 3] = ["## Context", "## Decision", "## Consequences"];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The modules of the crate in the order in which `lib.rs` declares them.
fn modules() -> Vec<String> {
    let lib = read("src/lib.rs");
    let module = |line: &str| Some(line.strip_prefix("pub mod ")?.strip_suffix(';')?.to_owned());
    lib.lines().filter_map(module).collect()
}

/// The texts between single backticks, outside blocks of code.
fn code(text: &str) -> impl Iterator<Item = &str> {
    let prose = text.split("```").step_by(2);
    prose.flat_map(|part| part.split('`').skip(1).step_by(2))
}

/// The targets of Markdown links.
fn links(text: &str) -> impl Iterator<Item = &str> {
    text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(target, _)| target)
}

#[test]
fn the_list_of_modules_is_the_order_of_lib_rs() {
    let text = read("ARCHITECTURE.md");
    let (_, list) = text.split_once("## Where things are").expect("the section");
    let (list, _) = list.split_once("\n## ").expect("a section behind it");
    let rows = list.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    let listed: Vec<_> = rows.map(|(module, _)| module.to_owned()).collect();
    assert_eq!(listed, modules());
}

/// A path such as `delivery::pace` names a file, or an item of the last file on its way.
#[test]
fn each_path_that_the_text_names_exists() {
    let text = read("ARCHITECTURE.md");
    // The picture names paths outside of backticks.
    let picture = text.split("```").skip(1).step_by(2).flat_map(str::split_whitespace);
    let modules = modules();
    let mut missing = Vec::new();
    for path in code(&text).chain(picture).filter(|path| path.contains("::")) {
        let mut parts =
            path.split("::").map(|part| part.trim_matches(|c: char| !c.is_alphanumeric()));
        let first = parts.next().expect("split yields one part");
        if !modules.iter().any(|module| module == first) {
            continue;
        }
        let mut file = root().join("src").join(first);
        for part in parts {
            let inner = file.join(part);
            if inner.with_extension("rs").exists() {
                file = inner;
                continue;
            }
            let source = fs::read_to_string(file.with_extension("rs")).expect("the file was found");
            if !source.contains(part) {
                missing.push(path.to_owned());
            }
            break;
        }
    }
    assert!(missing.is_empty(), "ARCHITECTURE.md names what does not exist: {missing:?}");
}

#[test]
fn each_link_leads_to_a_file() {
    for (page, folder) in
        [("ARCHITECTURE.md", ""), ("README.md", ""), ("docs/decisions/README.md", DECISIONS)]
    {
        for link in links(&read(page)).filter(|link| !link.contains("://")) {
            let (file, _) = link.split_once('#').unwrap_or((link, ""));
            assert!(root().join(folder).join(file).exists(), "{page} links to {link}");
        }
    }
}

/// A number in brackets is that of the page it leads to.
#[test]
fn each_decision_is_cited_by_its_number() {
    let text = read("ARCHITECTURE.md");
    for (before, link) in text.split("](").zip(links(&text)) {
        let Some(page) = link.strip_prefix("docs/decisions/0") else { continue };
        let (_, cited) = before.rsplit_once('[').expect("a link has a text");
        let (number, _) = page.split_once('-').expect("a page's name begins with its number");
        assert_eq!(cited, number.trim_start_matches('0'), "{link}");
    }
}

#[test]
fn each_decision_has_its_three_parts_and_is_in_the_index_once() {
    let index = read("docs/decisions/README.md");
    let listed: Vec<_> = links(&index).collect();
    let folder = fs::read_dir(root().join(DECISIONS)).expect("the folder of decisions");
    let names = folder.map(|entry| entry.expect("an entry").file_name());
    let mut pages: BTreeSet<_> = names.map(|name| name.into_string().expect("ASCII")).collect();
    assert!(pages.remove("README.md"), "the index");
    // The order of the index is that of the numbers.
    assert_eq!(listed, pages.iter().map(String::as_str).collect::<Vec<_>>());
    for page in &pages {
        let text = read(format!("{DECISIONS}/{page}"));
        let (title, _) = text.split_once('\n').expect("a title");
        let title = title.strip_prefix("# ").expect("a heading");
        assert!(index.contains(&format!("[{title}]({page})")), "the index names {page} otherwise");
        let parts: Vec<_> = text.lines().filter(|line| line.starts_with("## ")).collect();
        assert_eq!(parts, PARTS, "{page}");
    }
}
