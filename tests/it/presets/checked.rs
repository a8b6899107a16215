//! The configurations that the pages about sources show, as `ssfd check` judges them.

use std::{fs, os::unix::fs::PermissionsExt as _};

use super::{page, root};
use crate::{command_line::Workplace, layers::files};

/// A secret that suits every scheme.
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// Words of the warnings that are right about a page.
const PLACEHOLDER: &str = "put your own value in the place of <…>";
const ANYBODY: &str = "is `none`, so anybody is believed";

#[test]
fn the_lines_of_each_page_pass_the_check() {
    let place = Workplace::with_store();
    fs::create_dir(place.path("secrets")).expect("a folder");
    let mut pages = files(&root().join("docs/sources"), &["md"]);
    pages.push(root().join("docs/publish/sources.md"));
    let (mut checked, mut placeholders) = (0, 0);
    for path in pages {
        let text = fs::read_to_string(&path).expect("a page is readable");
        for block in page::blocks(&text).filter(|block| is_whole(block)) {
            for secret in page::secrets(block) {
                let file = place.path("secrets").join(secret);
                fs::write(&file, SECRET).expect("writable");
                fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("ours");
            }
            let has_listener = block.contains("[sources]");
            let listener = if has_listener { "" } else { "sources.listen = \"127.0.0.1:0\"\n" };
            place.configure(&format!("{listener}{}", block.replace("/etc/ssfd/", "")));
            let said = place.succeeds(&["check"]);
            for line in said.lines().filter(|line| line.starts_with("warning")) {
                let is_right = line.contains(PLACEHOLDER) || line.contains(ANYBODY);
                assert!(is_right, "{}: {line}\n{block}", path.display());
                placeholders += usize::from(line.contains(PLACEHOLDER));
            }
            checked += 1;
        }
    }
    assert!(20 < checked && 5 < placeholders, "{checked} blocks, {placeholders} placeholders");
}

/// Tells whether a block configures a source with its mapping.
fn is_whole(block: &str) -> bool {
    block.contains("[providers.default.sources.")
        && (block.contains("\npreset = ") || block.contains(".rules]]"))
}
