//! Finds out where a key of the configuration was set, for errors.

use std::path::Path;

use super::environment::Variable;

/// Everything that sets keys.
pub(super) struct Origins<'a> {
    pub(super) file: Option<(&'a Path, &'a str)>,
    pub(super) variables: &'a [Variable],
}

impl Origins<'_> {
    /// Returns the variable that sets a key, or the file and the line, or the file alone. Returns `None`
    /// if there is neither.
    pub(super) fn of(&self, key: &str) -> Option<String> {
        // An element of a list is named by its place.
        let key = key.split('[').next().unwrap_or(key);
        let sets = |variable: &&Variable| {
            let set = variable.key();
            set == key || is_below(&set, key)
        };
        if let Some(variable) = self.variables.iter().find(sets) {
            return Some(format!("the variable {}", variable.name));
        }
        let (path, text) = self.file?;
        let line = line_of(text, key).map(|line| format!(", line {line}"));
        Some(format!("{}{}", path.display(), line.unwrap_or_default()))
    }
}

fn is_below(key: &str, table: &str) -> bool {
    key.strip_prefix(table).is_some_and(|rest| rest.starts_with('.'))
}

/// Returns the number of the line that sets a key, or else of the innermost table around it. The text is
/// valid TOML, so it is enough to look at the beginnings of lines.
fn line_of(text: &str, key: &str) -> Option<usize> {
    let mut table = String::new();
    let mut best: Option<(usize, usize)> = None;
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        let set = if let Some(header) = line.strip_prefix('[') {
            table = plain(header.trim_start_matches('[').split(']').next().unwrap_or_default());
            table.clone()
        } else if let Some((name, _)) = line.split_once('=').filter(|_| !line.starts_with('#')) {
            let name = plain(name);
            if table.is_empty() { name } else { format!("{table}.{name}") }
        } else {
            continue;
        };
        let fits = set == key || is_below(key, &set);
        if fits && best.is_none_or(|(length, _)| length < set.len()) {
            best = Some((set.len(), index + 1));
        }
    }
    best.map(|(_, line)| line)
}

/// Removes quotes and spaces from a key of TOML.
fn plain(key: &str) -> String {
    key.chars().filter(|c| !matches!(c, '"' | '\'' | ' ' | '\t')).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
log.level = 'info'
[public]
# listen = 'x'
listen = \"127.0.0.1:1\" # key = value
[public.connections]
max = 1
[providers.acme.oauth.clients.'https://rx.example/app']
scopes = [
    'ssf.read',
]
[delivery]
breaker = { failures = 0, open_for = '1s' }
";

    #[track_caller]
    fn check(key: &str, line: Option<usize>) {
        assert_eq!(line_of(TEXT, key), line, "{key}");
    }

    #[test]
    fn the_line_of_a_key_is_found() {
        check("log.level", Some(1));
        check("public.listen", Some(4));
        check("public.connections.max", Some(6));
        check("public.workers", Some(2));
        check("providers.acme.oauth.clients.https://rx.example/app.scopes", Some(8));
        check("delivery.breaker.failures", Some(12));
        check("store.held_max", None);
        check("publicity", None);
    }

    #[test]
    fn a_variable_comes_before_the_file() {
        let variable = |name: &str, path: &[&str]| Variable {
            name: name.to_owned(),
            path: path.iter().map(|part| (*part).to_owned()).collect(),
            value: super::super::environment::Setting::One(String::new()),
        };
        let variables = [variable("SSFD_PUBLIC__LISTEN", &["public", "listen"])];
        let file = Some((Path::new("ssfd.toml"), TEXT));
        let origins = Origins { file, variables: &variables };
        assert_eq!(
            origins.of("public.listen").as_deref(),
            Some("the variable SSFD_PUBLIC__LISTEN")
        );
        assert_eq!(origins.of("public.connections.max").as_deref(), Some("ssfd.toml, line 6"));
        assert_eq!(origins.of("push.x").as_deref(), Some("ssfd.toml"));
        assert_eq!(Origins { file: None, ..origins }.of("push.x"), None);
    }
}
