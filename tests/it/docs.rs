//! Holds README.md and the pages below `docs/` to the tree: the size of README.md, links and anchors,
//! the table of contents, the keys of the configuration that the pages name, and the first words of
//! their paragraphs.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Component, Path, PathBuf},
};

use crate::{layers::files, prose::FIRST_WORDS};

const README_BYTES_MAX: usize = 8 * 1024;
const SUMMARY: &str = "docs/SUMMARY.md";

/// The pages of the root that are read besides those below `docs/`.
const ROOT_PAGES: [&str; 3] = ["README.md", "ARCHITECTURE.md", "CHANGELOG.md"];

/// Texts in code style that look like keys of the configuration: members of the interface, and files.
const NOT_KEYS: [&str; 1] = ["delivery.endpoint_url"];
const FILE_ENDINGS: [&str; 5] = ["json", "md", "rs", "toml", "txt"];

/// Tables of a provider that pages name without the provider.
const PROVIDER_TABLES: [&str; 3] = ["oauth", "token_endpoint", "introspection"];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// All pages by their paths below the root.
fn pages() -> BTreeMap<String, String> {
    let below = files(&root().join("docs"), &["md"]);
    let all = ROOT_PAGES.iter().map(|page| root().join(page)).chain(below);
    let named = all.map(|path| {
        let name = path.strip_prefix(root()).expect("pages are below the root");
        let name = name.to_str().expect("pages are named in ASCII").to_owned();
        (name, fs::read_to_string(path).expect("a page is readable"))
    });
    named.collect()
}

/// The lines of a page outside of blocks of code, each with its number.
fn prose_lines(page: &str) -> Vec<(usize, &str)> {
    let mut in_code = false;
    let mut lines = Vec::new();
    for (at, line) in page.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        } else if !in_code {
            lines.push((at + 1, line));
        }
    }
    lines
}

/// The prose of a page without blocks of code, with each text in code style replaced by `code`.
fn prose(page: &str, code: impl Fn(&str) -> String) -> String {
    let lines: Vec<_> = prose_lines(page).into_iter().map(|(_, line)| line).collect();
    let parts = lines.join("\n");
    let parts = parts.split('`').enumerate();
    parts.map(|(at, part)| if at % 2 == 0 { part.to_owned() } else { code(part) }).collect()
}

/// The targets of the links of a page.
fn links(page: &str) -> Vec<String> {
    let prose = prose(page, |_| "code".to_owned());
    let targets = prose.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
    targets.map(|(target, _)| target.to_owned()).collect()
}

/// The texts in code style of a page.
fn code_texts(page: &str) -> Vec<String> {
    let lines: Vec<_> = prose_lines(page).into_iter().map(|(_, line)| line).collect();
    lines.join("\n").split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// The anchors that GitHub and mdbook make of the headings of a page.
fn anchors(page: &str) -> BTreeSet<String> {
    let mut anchors = BTreeSet::new();
    for (_, line) in prose_lines(page) {
        let Some(heading) = line.strip_prefix('#') else { continue };
        let heading = heading.trim_start_matches('#').trim();
        let kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
        let dashed = |c: char| if c == ' ' { '-' } else { c };
        let anchor: String = heading.to_lowercase().chars().filter(kept).map(dashed).collect();
        let again = (1..).map(|n| format!("{anchor}-{n}"));
        let mut names = std::iter::once(anchor.clone()).chain(again);
        anchors.insert(names.find(|name| !anchors.contains(name)).expect("there is no end"));
    }
    anchors
}

/// Returns the path that a link of a page leads to, below the root.
fn target_of(page: &str, link: &str) -> String {
    let folder = Path::new(page).parent().expect("a page is in a folder");
    let mut target = PathBuf::new();
    for part in folder.join(link).components() {
        match part {
            Component::ParentDir => {
                target.pop();
            }
            Component::Normal(part) => target.push(part),
            _ => {}
        }
    }
    target.to_str().expect("ASCII").to_owned()
}

/// Tells what is wrong with a link, if anything is.
fn broken(pages: &BTreeMap<String, String>, page: &str, link: &str) -> Option<String> {
    if link.contains("://") {
        return None;
    }
    let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
    let target = if file.is_empty() { page.to_owned() } else { target_of(page, file) };
    if !root().join(&target).exists() {
        return Some(format!("{page}: {link} leads to no file"));
    }
    let known = anchor.is_empty() || anchors(pages.get(&target)?).contains(anchor);
    (!known).then(|| format!("{page}: {link} leads to no heading"))
}

#[test]
fn the_readme_is_short() {
    let size = fs::metadata(root().join("README.md")).expect("there is one").len();
    assert!(size <= README_BYTES_MAX as u64, "README.md has {size} bytes");
}

#[test]
fn each_link_leads_to_a_file_and_a_heading() {
    let pages = pages();
    let mut faults = Vec::new();
    for (page, text) in &pages {
        faults.extend(links(text).iter().filter_map(|link| broken(&pages, page, link)));
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

/// `make docs` takes along nothing else from outside of `docs/`.
#[test]
fn each_link_of_a_page_leads_to_the_site() {
    let pages = pages();
    let below = pages.iter().filter(|(page, _)| page.starts_with("docs/"));
    for (page, text) in below {
        for link in links(text).iter().filter(|link| !link.contains("://")) {
            let file = link.split('#').next().expect("split yields one part");
            let target = if file.is_empty() { page.clone() } else { target_of(page, file) };
            let on_site = target == "ARCHITECTURE.md"
                || ["docs/", "config/"].iter().any(|folder| target.starts_with(folder));
            assert!(on_site, "{page}: {link}");
        }
    }
}

#[test]
fn each_page_is_in_the_table_of_contents_once() {
    let pages = pages();
    let listed: Vec<_> =
        links(&pages[SUMMARY]).iter().map(|link| target_of(SUMMARY, link)).collect();
    let below = pages.keys().filter(|page| page.starts_with("docs/") && *page != SUMMARY);
    for page in below {
        let times = listed.iter().filter(|listed| *listed == page).count();
        assert_eq!(times, 1, "{page} in {SUMMARY}");
    }
}

/// The keys of `config/ssfd.toml` with their tables, and the tables themselves. A key without a default
/// is in a comment.
fn keys() -> BTreeSet<String> {
    let text = fs::read_to_string(root().join("config/ssfd.toml")).expect("it is in the tree");
    let mut keys = BTreeSet::new();
    let mut table = String::new();
    for line in text.lines() {
        let line = line.trim_start_matches("# ");
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            name.clone_into(&mut table);
            let parts: Vec<_> = name.split('.').collect();
            keys.extend((1..=parts.len()).map(|length| parts[..length].join(".")));
        } else if let Some((key, _)) = line.split_once(" = ")
            && key.chars().all(|c| c.is_ascii_lowercase() || c == '_' || c.is_ascii_digit())
        {
            keys.insert(format!("{table}.{key}"));
        }
    }
    keys
}

/// Returns the key that a text in code style names, if it looks like one: `section.key`, or `[section]`.
fn named_key(text: &str, sections: &BTreeSet<&str>) -> Option<String> {
    let text = text.split(" = ").next().expect("split yields one part");
    let text = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let of_key = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_.<>".contains(c);
    let (section, rest) = text.split_once('.')?;
    let last = rest.rsplit('.').next().expect("split yields one part");
    if !text.chars().all(of_key) || FILE_ENDINGS.contains(&last) || NOT_KEYS.contains(&text) {
        return None;
    }
    if PROVIDER_TABLES.contains(&section) {
        let within = if section == "introspection" { "oauth." } else { "" };
        return Some(format!("providers.default.{within}{text}"));
    }
    if section == "providers" {
        let (_, key) = rest.split_once('.')?;
        return Some(format!("providers.default.{key}"));
    }
    sections.contains(section).then(|| text.to_owned())
}

/// The keys that variables such as `SSFD_PUBLIC__LISTEN` stand for.
fn keys_of_variables(page: &str) -> Vec<String> {
    let words = page.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let keys = words.filter_map(|word| word.strip_prefix("SSFD_"));
    let keys = keys.filter(|key| key.contains("__"));
    keys.map(|key| key.to_lowercase().replace("__", ".")).collect()
}

#[test]
fn each_key_that_a_page_names_exists() {
    let keys = keys();
    let sections: BTreeSet<_> = keys.iter().filter_map(|key| key.split('.').next()).collect();
    assert!(sections.contains("delivery"), "{sections:?}");
    let mut unknown = Vec::new();
    for (page, text) in pages() {
        let texts = code_texts(&text);
        let named = texts.iter().filter_map(|text| named_key(text, &sections));
        for key in named.chain(keys_of_variables(&text)) {
            // A client has a table of its own name, which the file shows in one example.
            let of_client = key.starts_with("providers.default.oauth.clients");
            if !of_client && !keys.contains(&key) {
                unknown.push(format!("{page}: `{key}`"));
            }
        }
    }
    assert!(unknown.is_empty(), "not in config/ssfd.toml:\n{}", unknown.join("\n"));
}

/// A paragraph, a list item or a heading has a noun as its subject.
#[test]
fn no_paragraph_begins_with_a_pronoun() {
    let guide = |page: &String| {
        let elsewhere = ["docs/decisions/", "docs/reference/"];
        page == "README.md"
            || page.starts_with("docs/") && !elsewhere.iter().any(|other| page.starts_with(other))
    };
    let mut faults = Vec::new();
    for (page, text) in pages().into_iter().filter(|(page, _)| guide(page)) {
        let mut before = "";
        for (number, line) in prose_lines(&text) {
            let begins = before.is_empty() || line.starts_with(['-', '#']);
            before = line;
            let bare = line.trim_start_matches(['#', '-', '*', ' ']);
            let end = bare.find(|c: char| !c.is_alphanumeric()).unwrap_or(bare.len());
            // A question is no statement without a subject.
            if begins && FIRST_WORDS.contains(&&bare[..end]) && !bare.ends_with('?') {
                faults.push(format!("{page}:{number}: `{}`", &bare[..end]));
            }
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn a_planted_fault_is_found() {
    let page = "# One `two`\n\n## A b, c\n```sh\n# no heading\n[x](nowhere.md)\n```\n## A b c\n";
    assert_eq!(anchors(page), ["one-two", "a-b-c", "a-b-c-1"].map(str::to_owned).into());
    assert_eq!(links("[`a`](b.md#c) and `[x](y)` and [d](#e)"), ["b.md#c", "#e"]);
    assert_eq!(target_of("docs/a/b.md", "../c/d.md"), "docs/c/d.md");
    let pages = BTreeMap::from([("README.md".to_owned(), "# One\n".to_owned())]);
    assert_eq!(broken(&pages, "README.md", "#one"), None);
    assert!(broken(&pages, "README.md", "#two").is_some());
    assert!(broken(&pages, "README.md", "nowhere.md").is_some());
    assert_eq!(broken(&pages, "README.md", "https://tx.example/x"), None);

    let sections = BTreeSet::from(["push", "store"]);
    let named = |text: &str| named_key(text, &sections);
    assert_eq!(named("push.nothing"), Some("push.nothing".to_owned()));
    assert_eq!(named("[push.dns]"), Some("push.dns".to_owned()));
    assert_eq!(named("push.nothing = 1"), Some("push.nothing".to_owned()));
    assert_eq!(named("oauth.x"), Some("providers.default.oauth.x".to_owned()));
    assert_eq!(named("providers.<name>.issuer"), Some("providers.default.issuer".to_owned()));
    for other in ["store.json", "rx.example", "push", "push::client", "store.x y"] {
        assert_eq!(named(other), None, "{other}");
    }
    assert_eq!(keys_of_variables("A=1 SSFD_A__B_C=2 SSFD_CONFIG=3"), ["a.b_c"]);
}
