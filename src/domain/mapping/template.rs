//! Templates: texts with paths in braces, such as `{var:base}/realms/{/realmName|lower}`.

use std::borrow::Cow;

use serde_json::Value;

use super::{
    error::Flaw,
    facts::{Missing, Scope, TEXT_BYTES_MAX, Why},
    function::{self, Function, text_of},
    names::Names,
    path::{Path, is_present},
};

/// The longest template, in bytes.
pub const TEMPLATE_BYTES_MAX: usize = 4096;
/// The most paths in one template.
pub const HOLES_MAX: usize = 32;

/// A compiled template.
#[derive(Debug, Clone)]
pub(super) struct Template(Vec<Part>);

#[derive(Debug, Clone)]
enum Part {
    Text(String),
    Hole(Hole),
}

/// A path, and functions on the value that it finds.
#[derive(Debug, Clone)]
pub(super) struct Hole {
    path: Path,
    functions: Vec<Function>,
}

/// A string of the mapping: a template, or a text without braces.
pub(super) enum Written {
    Text(String),
    Template(Template),
}

impl Written {
    /// Reads a string. `{{` and `}}` stand for braces.
    pub(super) fn compile(text: &str, names: &Names<'_>) -> Result<Self, Flaw> {
        if TEMPLATE_BYTES_MAX < text.len() {
            let rule = format!("a template must have at most {TEMPLATE_BYTES_MAX} bytes");
            return Err(Flaw::new(rule));
        }
        let (mut parts, mut plain, mut rest) = (Vec::new(), String::new(), text);
        while let Some(at) = rest.find(['{', '}']) {
            let (before, from) = rest.split_at(at);
            plain.push_str(before);
            if let Some(behind) = from.strip_prefix("{{").or_else(|| from.strip_prefix("}}")) {
                plain.push_str(&from[..1]);
                rest = behind;
                continue;
            }
            let inside = from.strip_prefix('{').and_then(|from| from.split_at_checked(end(from)?));
            let Some((inside, behind)) = inside else {
                let rule = "has a brace without its partner; write `{{` or `}}` for a brace";
                return Err(Flaw::at(text, rule));
            };
            if !plain.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut plain)));
            }
            parts.push(Part::Hole(Hole::compile(inside, names)?));
            rest = &behind[1..];
        }
        plain.push_str(rest);
        if parts.is_empty() {
            return Ok(Self::Text(plain));
        }
        if !plain.is_empty() {
            parts.push(Part::Text(plain));
        }
        if HOLES_MAX < parts.iter().filter(|part| matches!(part, Part::Hole(_))).count() {
            return Err(Flaw::at(text, format!("must have at most {HOLES_MAX} paths in braces")));
        }
        Ok(Self::Template(Template(parts)))
    }
}

/// Returns where the path in braces ends: at the first `}` outside of the brackets and quotes of a
/// JSONPath.
fn end(inside: &str) -> Option<usize> {
    split(inside, '}').map(|(path, _)| path.len())
}

/// Splits at the first `mark` outside of the brackets and quotes of a JSONPath. Other paths have
/// neither.
fn split(text: &str, mark: char) -> Option<(&str, &str)> {
    let query = text.starts_with('$') || text.starts_with("each:$");
    let (mut depth, mut quote, mut escaped) = (0_usize, None, false);
    for (at, c) in text.char_indices() {
        if escaped {
            escaped = false;
            continue;
        }
        match (quote, c) {
            (None, _) if c == mark && depth == 0 => {
                return Some((&text[..at], &text[at + c.len_utf8()..]));
            }
            (Some(_), '\\') => escaped = true,
            (Some(open), _) if c == open => quote = None,
            (None, '\'' | '"') if query => quote = Some(c),
            (None, '[') if query => depth += 1,
            (None, ']') if query => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    None
}

impl Hole {
    /// Reads a path and its functions, joined by `|`.
    fn compile(text: &str, names: &Names<'_>) -> Result<Self, Flaw> {
        let (path, functions) = split(text, '|').map_or((text, None), |(p, f)| (p, Some(f)));
        let functions = functions.map(Function::list).transpose();
        let functions = functions.map_err(|reason| Flaw::at(text, reason))?.unwrap_or_default();
        Ok(Self { path: Path::compile(path.trim(), names)?, functions })
    }

    fn value<'s, 'm: 's>(&'m self, scope: Scope<'s, 'm>) -> Result<Cow<'s, Value>, Missing<'m>> {
        let found = find(&self.path, scope)?;
        function::apply(&self.functions, Cow::Borrowed(found)).map_err(|function| Missing {
            path: self.path.text(),
            why: Why::Function(function.text()),
        })
    }
}

/// Finds the value of a path. A named value that is missing tells why.
pub(super) fn find<'s, 'm: 's>(
    path: &'m Path,
    scope: Scope<'s, 'm>,
) -> Result<&'s Value, Missing<'m>> {
    if let Some(value) = path.first(scope) {
        return Ok(value);
    }
    if let Some(Err(missing)) = path.named().map(|at| scope.facts.named(at)) {
        return Err(missing);
    }
    Err(Missing { path: path.text(), why: Why::Absent })
}

impl Template {
    /// Makes the template `{path}`.
    pub(super) fn of_path(path: Path) -> Self {
        Self(vec![Part::Hole(Hole { path, functions: Vec::new() })])
    }

    /// Fills the template. A path alone keeps the type of its value, and any other template gives a
    /// text.
    pub(super) fn value<'s, 'm: 's>(
        &'m self,
        scope: Scope<'s, 'm>,
    ) -> Result<Cow<'s, Value>, Missing<'m>> {
        if let [Part::Hole(hole)] = self.0.as_slice() {
            return hole.value(scope);
        }
        let mut text = String::new();
        for part in &self.0 {
            match part {
                Part::Text(plain) => text.push_str(plain),
                Part::Hole(hole) => {
                    let value = hole.value(scope)?;
                    let missing = |why| Missing { path: hole.path.text(), why };
                    text.push_str(&text_of(&value).ok_or(missing(Why::NotText))?);
                    if TEXT_BYTES_MAX < text.len() {
                        return Err(missing(Why::TooLong));
                    }
                }
            }
        }
        Ok(Cow::Owned(Value::String(text)))
    }

    /// Returns the value if all paths are variables.
    pub(super) fn constant(&self) -> Option<Value> {
        let mut text = String::new();
        for part in &self.0 {
            match part {
                Part::Text(plain) => text.push_str(plain),
                Part::Hole(hole) => {
                    let value = hole.path.constant().filter(|value| is_present(value))?;
                    let value = function::apply(&hole.functions, Cow::Borrowed(value)).ok()?;
                    if self.0.len() == 1 {
                        return Some(value.into_owned());
                    }
                    text.push_str(&text_of(&value)?);
                }
            }
        }
        Some(Value::String(text))
    }

    /// Tells whether the result is always a text.
    pub(super) fn is_text(&self) -> bool {
        1 < self.0.len()
    }

    /// Returns the first path, which errors name.
    pub(super) fn label(&self) -> &str {
        let path = self.0.iter().find_map(|part| match part {
            Part::Hole(hole) => Some(hole.path.text()),
            Part::Text(_) => None,
        });
        path.unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;
    use crate::domain::mapping::{Mapping, facts::Facts, facts::RequestFacts};

    #[track_caller]
    fn check(text: &str, expected: Result<Value, &str>) {
        let vars = BTreeMap::from([("base".to_owned(), json!("https://idp.example"))]);
        let names = Names { vars: &vars, ..Names::none() };
        let record = json!({"a": "x", "n": 41, "b": true, "o": {"k": 1}, "e": "", "z": null,
            "long": "l".repeat(40_000), "list": [{"t": "}", "v": "q|r"}]});
        let (mapping, request) = (Mapping::empty(), RequestFacts::default());
        let facts = Facts::new(&mapping, &record, &request);
        let found = match Written::compile(text, &names).expect(text) {
            Written::Text(text) => Ok(json!(text)),
            Written::Template(template) => {
                let filled = template.value(facts.scope()).map(Cow::into_owned);
                filled.map_err(|missing| missing.text())
            }
        };
        assert_eq!(found, expected.map_err(str::to_owned), "{text}");
    }

    #[test]
    fn a_template_is_filled() {
        check("plain", Ok(json!("plain")));
        check("", Ok(json!("")));
        check("{{a}}", Ok(json!("{a}")));
        check("{/a}", Ok(json!("x")));
        check("{/n}", Ok(json!(41)));
        check("{/o}", Ok(json!({"k": 1})));
        check("u-{/n}-{/b}{{}}", Ok(json!("u-41-true{}")));
        check("{var:base}/realms/{/a|upper}", Ok(json!("https://idp.example/realms/X")));
        check("{/a | upper | lower}", Ok(json!("x")));
        check("{$.list[?@.t=='}'].v}", Ok(json!("q|r")));
        check("{$.list[?@.t=='}' || @.t==\"]\"].v|upper}!", Ok(json!("Q|R!")));
        check("{/e}", Err("`/e` is missing"));
        check("{/z}", Err("`/z` is missing"));
        check("a{/nope}", Err("`/nope` is missing"));
        check("a{/o}", Err("`/o` is an object or a list, and a text is needed"));
        check("{/a|email}", Err("`email` gives nothing for `/a`"));
        check("{/long}{/long}", Err("the text with `/long` has more than 65536 bytes"));
    }

    #[test]
    fn a_broken_template_is_refused() {
        for (text, reason) in [
            ("{/a", "brace without its partner"),
            ("/a}", "brace without its partner"),
            ("{}", "is not a path"),
            ("{a}", "is not a path"),
            ("{/a|nope}", "is not a function"),
            ("{$.a['}'}", "brace without its partner"),
            ("{/a|}", "is not a function"),
        ] {
            let flaw = Written::compile(text, &Names::none()).err().expect(text);
            assert!(flaw.text.contains(reason), "{text}: {}", flaw.text);
        }
        let many = "{/a}".repeat(HOLES_MAX + 1);
        let flaw = Written::compile(&many, &Names::none()).err().expect("too many");
        assert!(flaw.text.contains("at most 32 paths"), "{}", flaw.text);
        let long = "a".repeat(TEMPLATE_BYTES_MAX + 1);
        let flaw = Written::compile(&long, &Names::none()).err().expect("too long");
        assert!(flaw.text.contains("at most 4096 bytes"), "{}", flaw.text);
    }
}
