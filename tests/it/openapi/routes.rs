//! The daemon has the routes of the document, and no others.

use std::{fs, path::Path};

use hyper::{Method, header::ALLOW};

use super::{Stand, methods, url};
use crate::harness::http_client::Call;

#[actix_web::test]
async fn a_method_that_is_not_documented_is_not_there() {
    let stand = Stand::new().await;
    for (path, item) in stand.document.paths() {
        let documented = methods(item);
        let url = url(&stand.daemon, path, item, "st_unknown");
        for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "QUERY"]
        {
            let method: Method = method.parse().expect("a method");
            let answer = Call::new(method.clone(), &url).send().await;
            if documented.contains(&method) {
                let status = answer.status.as_u16();
                assert!(![404, 405].contains(&status), "{method} {path}: {status}");
            } else {
                assert_eq!(answer.status, 405, "{method} {path}");
                let mut allowed: Vec<Method> = answer
                    .header(ALLOW)
                    .split(", ")
                    .map(|m| m.parse().expect("a method"))
                    .collect();
                let mut documented = documented.clone();
                allowed.sort_by_key(Method::to_string);
                documented.sort_by_key(Method::to_string);
                assert_eq!(allowed, documented, "{path}");
            }
        }
    }
}

/// A route outside the table would be served, but not described.
#[test]
fn routes_are_made_in_one_place() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = vec![src.join("http.rs"), src.join("app.rs")];
    let mut folders = vec![src.join("http")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder of sources") {
            let path = entry.expect("an entry of it").path();
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    let table = src.join("http/api.rs");
    let found = |file: &Path| {
        let text = fs::read_to_string(file).expect("a source");
        ["web::resource(", ".route(", "web::get()", "web::post()"].iter().any(|m| text.contains(m))
    };
    assert!(found(&table), "the table is made in another way now: look for that one");
    for file in files.iter().filter(|file| **file != table) {
        assert!(!found(file), "{} makes a route of its own", file.display());
    }
}
