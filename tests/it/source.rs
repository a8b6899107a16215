//! A reader of Rust source that knows as much as `layers.rs`, `prose.rs` and `spec.rs` need: words
//! without comments and literals, the paths that the words spell, and blocks of comments.

/// A word or a single sign of the source, and its line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Token<'a> {
    pub(crate) text: &'a str,
    pub(crate) line: usize,
}

/// Returns the tokens of `source`, without comments and literals.
pub(crate) fn tokens(source: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let (mut rest, mut line) = (source, 1);
    while let Some(first) = rest.chars().next() {
        let length = token_length(rest);
        let (text, after) = rest.split_at(length);
        let comment = text.starts_with("//") || text.starts_with("/*");
        let literal = first == '\'' || text.contains('"');
        if !first.is_whitespace() && !comment && !literal {
            tokens.push(Token { text, line });
        }
        line += text.matches('\n').count();
        rest = after;
    }
    tokens
}

/// Returns the text of each block of line comments, with its line. A block is comments of one kind
/// (`//`, `///`, `//!`) on consecutive lines.
pub(crate) fn comment_blocks(source: &str) -> Vec<(usize, String)> {
    let mut blocks: Vec<(usize, String)> = Vec::new();
    let (mut rest, mut line) = (source, 1);
    // The kind of the last comment, while only white space has followed it; and its line.
    let mut open: Option<(&str, usize)> = None;
    while !rest.is_empty() {
        let (text, after) = rest.split_at(token_length(rest));
        if let Some(kind) = ["///", "//!", "//"].into_iter().find(|kind| text.starts_with(kind)) {
            let content = text[kind.len()..].trim();
            match blocks.last_mut() {
                Some((_, block)) if open == Some((kind, line - 1)) => {
                    block.push(' ');
                    block.push_str(content);
                }
                _ => blocks.push((line, content.to_owned())),
            }
            open = Some((kind, line));
        } else if !text.trim().is_empty() {
            open = None;
        }
        line += text.matches('\n').count();
        rest = after;
    }
    blocks
}

/// Returns the blocks of line comments of a script or a file of settings, whose comments begin with
/// this mark. Only comments on lines of their own count.
pub(crate) fn script_comment_blocks(source: &str, mark: &str) -> Vec<(usize, String)> {
    let mut blocks: Vec<(usize, String)> = Vec::new();
    let mut open = false;
    for (line, text) in source.lines().enumerate() {
        let content = text.trim_start().strip_prefix(mark).map(str::trim);
        match (content, blocks.last_mut()) {
            (Some(content), Some((_, block))) if open => {
                block.push(' ');
                block.push_str(content);
            }
            (Some(content), _) => blocks.push((line + 1, content.to_owned())),
            (None, _) => {}
        }
        open = content.is_some();
    }
    blocks
}

/// Returns the length in bytes of the comment, literal, word or sign that `rest` begins with.
fn token_length(rest: &str) -> usize {
    let bytes = rest.as_bytes();
    let first = rest.chars().next().map_or(1, char::len_utf8);
    let word = |c: char| c.is_alphanumeric() || c == '_';
    match bytes[0] {
        b'/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
        b'/' if rest.starts_with("/*") => comment_length(rest),
        b'"' => string_length(rest),
        // A quote begins a char or a lifetime. A lifetime has no second quote.
        b'\'' if bytes.get(1) == Some(&b'\\') => {
            rest[3..].find('\'').map_or(rest.len(), |end| end + 4)
        }
        b'\'' => match rest.char_indices().nth(2) {
            Some((end, '\'')) => end + 1,
            _ => 1,
        },
        _ if rest.starts_with(word) => {
            let end = rest.find(|c| !word(c)).unwrap_or(rest.len());
            let (prefix, after) = rest.split_at(end);
            match prefix {
                "r" | "br" | "cr" if after.starts_with(['"', '#']) => end + raw_length(after),
                "b" | "c" if after.starts_with('"') => end + string_length(after),
                _ => end,
            }
        }
        _ => first,
    }
}

/// Returns the length of a block comment. Block comments nest.
fn comment_length(rest: &str) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    loop {
        if rest[at..].starts_with("/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if rest[at..].starts_with("*/") {
            (depth, at) = (depth - 1, at + 2);
        } else {
            match rest[at..].chars().next() {
                Some(c) => at += c.len_utf8(),
                None => return rest.len(),
            }
        }
        if depth == 0 {
            return at;
        }
    }
}

fn string_length(rest: &str) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

/// Returns the length of the rest of a raw string after its `r`, or of a raw identifier such as
/// `r#type`.
fn raw_length(rest: &str) -> usize {
    let hashes = rest.bytes().take_while(|b| *b == b'#').count();
    if !rest[hashes..].starts_with('"') {
        return hashes;
    }
    let close = format!("\"{}", "#".repeat(hashes));
    let inside = hashes + 1;
    rest[inside..].find(&close).map_or(rest.len(), |end| inside + end + close.len())
}

/// Returns all paths that begin with `root`, in `use` and elsewhere. Groups are expanded:
/// `root::{a::B, c::{self, D}}` is `root::a::B`, `root::c::self` and `root::c::D`.
pub(crate) fn paths(tokens: &[Token<'_>], root: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for at in 0..tokens.len() {
        let deeper = at > 0 && tokens[at - 1].text == ":";
        if tokens[at].text == root && !deeper && separator(tokens, at + 1) {
            follow(tokens, at + 3, root, &mut found);
        }
    }
    found
}

fn separator(tokens: &[Token<'_>], at: usize) -> bool {
    matches!(tokens.get(at..at + 2), Some([a, b]) if a.text == ":" && b.text == ":")
}

/// Reads the rest of a path whose beginning is `path`. Returns the position after it.
fn follow(
    tokens: &[Token<'_>],
    mut at: usize,
    path: &str,
    found: &mut Vec<(usize, String)>,
) -> usize {
    let Some(token) = tokens.get(at) else { return at };
    if token.text == "{" {
        at += 1;
        while let Some(token) = tokens.get(at) {
            at = match token.text {
                "}" => return at + 1,
                // The name after `as` is no path.
                "as" => at + 2,
                "," => at + 1,
                _ => follow(tokens, at, path, found).max(at + 1),
            };
        }
        return at;
    }
    let path = format!("{path}::{}", token.text);
    if separator(tokens, at + 1) {
        return follow(tokens, at + 3, &path, found);
    }
    found.push((token.line, path));
    at + 1
}

mod tests {
    use super::*;

    #[track_caller]
    fn check(source: &str, expected: &[&str]) {
        let found: Vec<_> = paths(&tokens(source), "crate").into_iter().map(|(_, p)| p).collect();
        assert_eq!(found, expected, "{source}");
    }

    #[test]
    fn paths_are_found_in_use_and_inline() {
        check("use crate::store::Store;", &["crate::store::Store"]);
        check("fn f() -> crate::a::B<'static> { crate::c::d(1) }", &["crate::a::B", "crate::c::d"]);
        check(
            "let c: Vec<crate::a::B> = x.collect::<crate::a::C>();",
            &["crate::a::B", "crate::a::C"],
        );
        check("pub(crate) fn f() {} pub(in crate::a) struct B;", &["crate::a"]);
        check("m! { $crate::a::B }", &["crate::a::B"]);
    }

    #[test]
    fn groups_are_taken_apart() {
        check(
            "use crate::{\n    a::{self, B as C, d::*},\n    e,\n};\nuse crate::f;",
            &["crate::a::self", "crate::a::B", "crate::a::d::*", "crate::e", "crate::f"],
        );
    }

    #[test]
    fn comments_and_literals_hold_no_paths() {
        check("// crate::a\n/// [`crate::b`]\n//! crate::c\n/* /* crate::d */ crate::e */", &[]);
        check(
            r##"("crate::a", "\"crate::b", r#"" crate::c "#, b"crate::d", '"', '\'', "e")"##,
            &[],
        );
        check("fn f<'a>(x: &'a str) { '\\u{e9}'; 'é'; crate::a::b() }", &["crate::a::b"]);
        check("let r#type = crate::a;", &["crate::a"]);
    }

    #[test]
    fn comments_of_one_kind_on_consecutive_lines_are_a_block() {
        let source =
            "//! One\n//! two.\n\n//! Three.\n/// Four\nlet a = \"// no\"; // five\n// six";
        let expected = [(1, "One two."), (4, "Three."), (5, "Four"), (6, "five six")];
        assert_eq!(comment_blocks(source), expected.map(|(line, text)| (line, text.to_owned())));
    }

    #[test]
    fn a_path_knows_its_line() {
        let source = "/* one\ntwo */\nconst A: &str = \"three\nfour\";\nuse crate::{\n    b,\n};";
        assert_eq!(paths(&tokens(source), "crate"), [(6, "crate::b".to_owned())]);
    }
}
