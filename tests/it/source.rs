//! Rust source as far as `layers.rs` has to understand it: words without comments and literals, and
//! the paths that they spell.

/// A word or a single sign of the source, and the line it stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Token<'a> {
    pub(crate) text: &'a str,
    pub(crate) line: usize,
}

/// The tokens of `source`, less comments and literals.
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

/// The bytes of the comment, literal, word or sign that `rest` begins with.
fn token_length(rest: &str) -> usize {
    let bytes = rest.as_bytes();
    let first = rest.chars().next().map_or(1, char::len_utf8);
    let word = |c: char| c.is_alphanumeric() || c == '_';
    match bytes[0] {
        b'/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
        b'/' if rest.starts_with("/*") => comment_length(rest),
        b'"' => string_length(rest),
        // A char, unless it is a lifetime: those have no second quote.
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

/// Block comments nest.
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

/// What follows the `r` of a raw string, or of a raw identifier as in `r#type`.
fn raw_length(rest: &str) -> usize {
    let hashes = rest.bytes().take_while(|b| *b == b'#').count();
    if !rest[hashes..].starts_with('"') {
        return hashes;
    }
    let close = format!("\"{}", "#".repeat(hashes));
    let inside = hashes + 1;
    rest[inside..].find(&close).map_or(rest.len(), |end| inside + end + close.len())
}

/// All paths that begin with `root`, in `use` and elsewhere, groups taken apart:
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

/// Reads the rest of a path whose beginning is `path`; returns where it ends.
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
                // The name behind an `as` is no path.
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
    fn a_path_knows_its_line() {
        let source = "/* one\ntwo */\nconst A: &str = \"three\nfour\";\nuse crate::{\n    b,\n};";
        assert_eq!(paths(&tokens(source), "crate"), [(6, "crate::b".to_owned())]);
    }
}
