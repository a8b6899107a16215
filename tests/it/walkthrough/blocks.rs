//! Reads the blocks of code of a page.

/// The beginning of the mark of a block that is not run.
const MARK: &str = "<!-- not run:";

/// A block of code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Block {
    pub(super) kind: Kind,
    /// The number of its first line.
    pub(super) line: usize,
    pub(super) text: String,
    /// The reason why it is not run, if it has a mark.
    pub(super) not_run: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Commands of a shell.
    Shell,
    Program(Language),
    /// Data and output.
    Other,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Language {
    Python,
    Node,
    Go,
    Java,
}

impl Kind {
    /// Returns the kind of a block by the word behind its opening. Each kind has one word, so that no
    /// block escapes by another spelling.
    fn of(word: &str) -> Option<Self> {
        Some(match word {
            "sh" => Self::Shell,
            "python" => Self::Program(Language::Python),
            "js" => Self::Program(Language::Node),
            "go" => Self::Program(Language::Go),
            "java" => Self::Program(Language::Java),
            "json" | "text" | "toml" | "yaml" => Self::Other,
            _ => return None,
        })
    }
}

impl Block {
    pub(super) fn is_run(&self) -> bool {
        self.not_run.is_none()
    }
}

/// Returns the blocks of a page. The error has the number of the line and the rule that it breaks.
pub(super) fn blocks(page: &str) -> Result<Vec<Block>, (usize, String)> {
    let mut blocks = Vec::new();
    let mut mark: Option<(usize, String)> = None;
    let mut lines = page.lines().enumerate();
    while let Some((at, line)) = lines.next() {
        let bare = line.trim();
        if let Some(word) = bare.strip_prefix("```") {
            let Some(kind) = Kind::of(word) else {
                return Err((at + 1, format!("`{word}` is no kind of block that is known")));
            };
            let indent = line.len() - line.trim_start().len();
            let mut text = String::new();
            loop {
                let Some((_, line)) = lines.next() else {
                    return Err((at + 1, "the block has no end".to_owned()));
                };
                if line.trim() == "```" {
                    break;
                }
                text += line.get(indent..).unwrap_or_default();
                text.push('\n');
            }
            let not_run = mark.take().map(|(_, reason)| reason);
            blocks.push(Block { kind, line: at + 1, text, not_run });
        } else if let Some(rest) = bare.strip_prefix(MARK) {
            let reason = rest.strip_suffix("-->").map(|reason| reason.trim().to_owned());
            let reason = reason.ok_or((at + 1, "the mark ends on another line".to_owned()))?;
            mark = Some((at + 1, reason));
        } else if let (Some((at, _)), false) = (&mark, bare.is_empty()) {
            return Err((*at, "the mark stands above no block".to_owned()));
        }
    }
    match mark {
        Some((at, _)) => Err((at, "the mark stands above no block".to_owned())),
        None => Ok(blocks),
    }
}

#[test]
fn blocks_and_their_marks_are_read() {
    let page = "# A\n```json\n{}\n```\n\n<!-- not run: it needs a server -->\n\n```sh\nls\n```\n\n\
                1. One\n\n   ```go\n   a\n     b\n   ```\n";
    let block = |kind, line, text: &str| Block { kind, line, text: text.to_owned(), not_run: None };
    let marked = Some("it needs a server".to_owned());
    assert_eq!(
        blocks(page).expect("well-formed"),
        [
            block(Kind::Other, 2, "{}\n"),
            Block { not_run: marked, ..block(Kind::Shell, 8, "ls\n") },
            block(Kind::Program(Language::Go), 14, "a\n  b\n"),
        ]
    );
}

#[test]
fn a_page_that_is_not_well_formed_is_refused() {
    for (page, line) in [
        ("```bash\n```\n", 1),
        ("```\n```\n", 1),
        ("\n```sh\nls\n", 2),
        ("<!-- not run: a reason -->\ntext\n```sh\n```\n", 1),
        ("\n<!-- not run: a reason -->\n", 2),
        ("<!-- not run: a\nreason -->\n```sh\n```\n", 1),
    ] {
        assert_eq!(blocks(page).expect_err(page).0, line, "{page}");
    }
}
