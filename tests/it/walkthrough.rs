//! Runs the commands of README.md and of the pages below `docs/` as a reader would paste them.
//!
//! - [`blocks`] reads the blocks of code of a page, and the marks of those that are not run.
//! - [`place::Place`] is a folder with a Redis and free ports, which take the place of the usual ones.
//! - `first_stream` runs README.md and the first stream, which begin with nothing.
//! - `prepared` runs the pages that presuppose a daemon with a stream, tokens and events.
//! - `production` runs the installation, in a folder that takes the place of the root of the machine.
//! - `languages` runs the programs of the examples for publishers.
//!
//! A block that cannot be run has a mark above it, which says why: `<!-- not run: … -->`. The test
//! [`each_block_is_run_or_says_why_not`] finds a block that has neither a runner nor a mark.

mod blocks;
mod first_stream;
mod languages;
mod place;
mod prepared;
mod production;

use std::{fs, path::Path};

use self::blocks::{Block, Kind};

/// The test that runs the commands of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Runner {
    FirstStream,
    Prepared,
    Production,
}

/// The page with programs in several languages.
const LANGUAGES_PAGE: &str = "docs/publish/examples.md";

/// The folders whose pages presuppose a daemon that runs.
const PREPARED_FOLDERS: [&str; 3] = ["docs/publish/", "docs/receive/", "docs/operate/"];

fn runner_of(page: &str) -> Option<Runner> {
    match page {
        "README.md" | "docs/start/first-stream.md" => Some(Runner::FirstStream),
        "docs/operate/production.md" => Some(Runner::Production),
        _ if PREPARED_FOLDERS.iter().any(|folder| page.starts_with(folder)) => {
            Some(Runner::Prepared)
        }
        _ => None,
    }
}

/// Returns the text of a page by its path below the root of the sources.
fn page(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    fs::read_to_string(path).expect("the page is in the tree")
}

/// Returns the names of all pages: README.md and those below `docs/`.
fn pages() -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let below = crate::layers::files(&root.join("docs"), &["md"]);
    let all = below.into_iter().chain([root.join("README.md")]);
    let name = |path: std::path::PathBuf| {
        let name = path.strip_prefix(root).expect("below the root");
        name.to_str().expect("ASCII").to_owned()
    };
    all.map(name).collect()
}

/// Returns the blocks of shell commands of a page that are run.
fn commands(page: &str) -> Vec<String> {
    let blocks = blocks::blocks(page).expect("the blocks are well-formed");
    let run = blocks.into_iter().filter(|block| block.kind == Kind::Shell && block.is_run());
    run.map(|block| block.text).collect()
}

/// Tells what is wrong with a block, if anything is.
fn fault(page: &str, block: &Block) -> Option<&'static str> {
    let is_command = matches!(block.kind, Kind::Shell | Kind::Program(_));
    match (&block.not_run, block.kind) {
        (Some(_), _) if !is_command => Some("only commands and programs can be marked as not run"),
        (Some(reason), _) if reason.len() < 10 => Some("the mark has no reason"),
        (None, Kind::Shell) if runner_of(page).is_none() => {
            Some("no test runs the commands of this page: mark the block with the reason")
        }
        (None, Kind::Program(_)) if page != LANGUAGES_PAGE => {
            Some("no test runs the programs of this page: mark the block with the reason")
        }
        _ => None,
    }
}

#[test]
fn each_block_is_run_or_says_why_not() {
    let mut faults = Vec::new();
    for name in pages() {
        match blocks::blocks(&page(&name)) {
            Err((line, error)) => faults.push(format!("{name}:{line}: {error}")),
            Ok(blocks) => faults.extend(blocks.iter().filter_map(|block| {
                Some(format!("{name}:{}: {}", block.line, fault(&name, block)?))
            })),
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn a_planted_block_without_a_runner_is_found() {
    let found = |page: &str, text: &str| -> Vec<&'static str> {
        let blocks = blocks::blocks(text).expect("well-formed");
        blocks.iter().filter_map(|block| fault(page, block)).collect()
    };
    let (command, program) = ("```sh\nls\n```\n", "```js\n1\n```\n");
    assert_eq!(found("docs/change/x.md", command).len(), 1);
    assert_eq!(found("docs/publish/x.md", command).len(), 0);
    assert_eq!(found("docs/publish/x.md", program).len(), 1);
    assert_eq!(found(LANGUAGES_PAGE, program).len(), 0);
    let marked = |reason: &str, block: &str| format!("<!-- not run: {reason} -->\n{block}");
    let reason = "it installs a machine";
    assert_eq!(found("docs/change/x.md", &marked(reason, command)).len(), 0);
    assert_eq!(found("docs/change/x.md", &marked("no", command)).len(), 1);
    assert_eq!(found("docs/change/x.md", &marked(reason, "```json\n{}\n```\n")).len(), 1);
}
