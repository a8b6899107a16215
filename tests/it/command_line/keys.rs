//! `ssfd keys`.

use std::{fs, os::unix::fs::PermissionsExt as _};

use serde_json::json;

use super::Workplace;

#[test]
fn a_generated_key_is_readable_by_its_owner_only_and_is_not_overwritten() {
    let place = Workplace::new();
    let generate = ["keys", "generate", "--algorithm", "ES256", "--out", "new/acme.pem"];
    let said = place.succeeds(&generate);
    assert!(said.starts_with("new/acme.pem: ES256 key "), "{said}");
    let file = place.path("new/acme.pem");
    let mode = fs::metadata(&file).expect("written").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    let before = fs::read(&file).expect("written");
    place.fails(&generate, &["new/acme.pem exists already", "--force"]);
    assert_eq!(fs::read(&file).expect("still there"), before);
    place.succeeds(&[&generate[..], &["--force"]].concat());
    assert_ne!(fs::read(&file).expect("still there"), before);
}

#[test]
fn each_algorithm_can_be_generated_and_shown_as_json() {
    let place = Workplace::new();
    for (algorithm, kty) in
        [("RS256", "RSA"), ("ES256", "EC"), ("ES384", "EC"), ("ES512", "EC"), ("EdDSA", "OKP")]
    {
        let file = format!("{algorithm}.pem");
        let generate = ["keys", "generate", "--algorithm", algorithm, "--out", &file, "--json"];
        let made = place.prints_json(&generate);
        assert_eq!(made["file"], file);
        let shown = place.prints_json(&["keys", "show", &file, "--json"]);
        let jwk = &shown["jwk"];
        assert_eq!((&shown["kid"], &shown["algorithm"]), (&made["kid"], &made["algorithm"]));
        assert_eq!((&jwk["kty"], &jwk["alg"]), (&json!(kty), &json!(algorithm)));
        let private = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];
        assert!(private.iter().all(|member| jwk.get(member).is_none()), "{jwk}");
    }
}

#[test]
fn keys_need_no_configuration() {
    let place = Workplace::new();
    place.configure("nothing = \"that is known\"");
    let shown = place.succeeds(&["keys", "show", "keys/default.pem"]);
    assert!(shown.contains("algorithm  ES256"), "{shown}");
}

#[test]
fn the_error_names_a_file_that_is_no_key() {
    let place = Workplace::new();
    place.fails(&["keys", "show", "ssfd.toml"], &["ssfd.toml: no private key"]);
    place.fails(&["keys", "show", "nowhere.pem"], &["nowhere.pem: No such file"]);
    let generate = ["keys", "generate", "--bits", "1024"];
    place.fails(&generate, &["2048, 3072 or 4096"]);
}
