//! Holds the sources to the order of `src/lib.rs`: a module may use the modules above it and none
//! below. Also checks the names that must not appear in a layer, such as `async` in `domain`.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::source::{paths, tokens};

const LINES_MAX: usize = 600;

/// The names of `std::net` that are plain values and open no socket.
const NET_VALUES: [&str; 4] = ["IpAddr", "Ipv4Addr", "Ipv6Addr", "AddrParseError"];

#[test]
fn each_module_uses_only_those_above_it() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let order = ModuleOrder::of(&fs::read_to_string(src.join("lib.rs")).unwrap());
    let files = files(&src, &["rs"]);
    assert!(order.0.len() < files.len(), "the sources were not found");

    let mut violations = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let name = file.strip_prefix(&src).unwrap();
        for (line, what) in order.violations(&module_of(name), &text) {
            violations.push(format!("src/{}:{line}: {what}", name.display()));
        }
    }
    assert!(violations.is_empty(), "\n{}", violations.join("\n"));
}

/// The modules of the crate, from the lowest layer to the highest.
struct ModuleOrder(Vec<String>);

impl ModuleOrder {
    /// Reads the order from the `pub mod` declarations of `lib.rs`.
    fn of(lib: &str) -> Self {
        let tokens = tokens(lib);
        let modules = tokens.windows(4).filter_map(|window| match window {
            [a, b, name, end] if (a.text, b.text, end.text) == ("pub", "mod", ";") => {
                Some(name.text.to_owned())
            }
            _ => None,
        });
        Self(modules.collect())
    }

    /// Returns the position of a module. A module that is not in the list, such as `main`, is above
    /// all others.
    fn rank(&self, module: &str) -> usize {
        self.0.iter().position(|m| m == module).unwrap_or(self.0.len())
    }

    /// Returns the violations in one file of `module`, each with its line.
    fn violations(&self, module: &str, text: &str) -> Vec<(usize, String)> {
        let tokens = tokens(text);
        let mut violations = Vec::new();

        for (line, path) in paths(&tokens, "crate") {
            let used = path.split("::").nth(1).unwrap_or_default();
            // A name that is not in the list is a macro or a re-export of the crate root.
            if self.0.iter().any(|m| m == used) && self.rank(module) < self.rank(used) {
                violations.push((line, format!("{module} uses {path}, which comes later")));
            }
        }

        let pure = ["domain", "delivery"].contains(&module);
        for token in &tokens {
            let actix = token.text == "actix" || token.text.starts_with("actix_");
            if actix && self.rank(module) < self.rank("actor") {
                let what = format!("{module} names {}, before actor", token.text);
                violations.push((token.line, what));
            }
            if pure && ["async", "tokio"].contains(&token.text) {
                violations.push((token.line, format!("{module} names {}", token.text)));
            }
        }

        for (line, path) in if pure { paths(&tokens, "std") } else { Vec::new() } {
            let names: Vec<_> = path.split("::").skip(1).collect();
            let (first, second) = (names[0], *names.get(1).unwrap_or(&""));
            if first == "fs" || (first == "net" && !NET_VALUES.contains(&second)) {
                violations.push((line, format!("{module} names {path}")));
            }
        }

        let lines = text.lines().count();
        if LINES_MAX < lines {
            violations.push((lines, format!("{lines} lines, more than {LINES_MAX}")));
        }
        violations
    }
}

/// Returns `domain` for `domain.rs` and for every file in `domain/`.
fn module_of(name: &Path) -> String {
    let first = name.components().next().expect("a file has a name").as_os_str();
    Path::new(first).with_extension("").to_str().expect("modules are named in ASCII").to_owned()
}

/// Returns all files with one of these extensions in a folder and its subfolders.
pub(crate) fn files(folder: &Path, extensions: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder of sources") {
        let path = entry.expect("an entry of it").path();
        if path.is_dir() {
            found.extend(files(&path, extensions));
        } else if extensions.iter().any(|name| path.extension().is_some_and(|found| found == *name))
        {
            found.push(path);
        }
    }
    found.sort();
    found
}

#[track_caller]
fn check(module: &str, text: &str, expected: &[&str]) {
    let order = ModuleOrder::of(
        "//! pub mod fake;\npub mod domain;\n\npub mod delivery;\npub mod store;\n\
         pub mod actor;\npub mod http;\n",
    );
    let found: Vec<_> =
        order.violations(module, text).into_iter().map(|(l, v)| format!("{l}: {v}")).collect();
    assert_eq!(found, expected, "{module}: {text}");
}

#[test]
fn a_planted_violation_is_found() {
    check(
        "domain",
        "use crate::store::Store;",
        &["1: domain uses crate::store::Store, which comes later"],
    );
    check(
        "store",
        "use crate::{\n    domain::id::Jti,\n    http::{self, error::ApiError},\n};",
        &[
            "3: store uses crate::http::self, which comes later",
            "3: store uses crate::http::error::ApiError, which comes later",
        ],
    );
    check(
        "delivery",
        "fn f() {\n    crate::actor::start()\n}",
        &["2: delivery uses crate::actor::start, which comes later"],
    );
    check("store", "use actix_web::web;", &["1: store names actix_web, before actor"]);
    check("delivery", "async fn f() {}", &["1: delivery names async"]);
    check("domain", "use tokio::sync::Notify;", &["1: domain names tokio"]);
    check(
        "domain",
        "use std::{fs, net::{IpAddr, TcpStream}};",
        &["1: domain names std::fs", "1: domain names std::net::TcpStream"],
    );
    let long = "\n".repeat(LINES_MAX + 1);
    check("http", &long, &["601: 601 lines, more than 600"]);
}

#[test]
fn what_is_allowed_is_let_through() {
    check("http", "use crate::{actor::Wake, domain::id::Jti, http::error::ApiError};", &[]);
    check("main", "use crate::http::configure;", &[]);
    check("domain", "/// As [`crate::store::Store`] does.\n// crate::http\nuse super::id;", &[]);
    check("domain", "use std::net::{IpAddr, Ipv4Addr}; const A: std::net::IpAddr = LOCAL;", &[]);
    check("store", "use std::fs; async fn f() { tokio::task::yield_now().await }", &[]);
    check("actor", "use actix::Actor;", &[]);
    check("domain", &"\n".repeat(LINES_MAX), &[]);
}
