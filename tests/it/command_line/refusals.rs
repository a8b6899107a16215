//! Mistakes that `ssfd serve` refuses to start with. Each error is one line that names the mistake.

use std::{fs, net::TcpListener};

use super::Workplace;
use crate::harness::test_key;

/// Asserts that `ssfd serve` refuses a configuration with `more`, with all of `words` in the error.
#[track_caller]
fn refuses(more: &str, words: &[&str]) {
    let place = Workplace::new();
    place.configure(more);
    place.fails(&["serve"], words);
}

#[test]
fn the_error_about_a_missing_key_names_the_command_that_generates_one() {
    let place = Workplace::new();
    fs::remove_file(place.path("keys/default.pem")).expect("it was there");
    place.fails(&["serve"], &["keys/default.pem", "ssfd keys generate --out keys/default.pem"]);
    // With that command the daemon starts.
    place.succeeds(&["keys", "generate", "--algorithm", "ES256", "--out", "keys/default.pem"]);
    place.serve().addresses();
}

/// Requirement KEY-04.
#[test]
fn the_error_names_the_file_of_a_key_that_cannot_sign() {
    for (file, why) in [
        ("test-rsa-1024-pkcs8.pem", "1024 bits"),
        ("test-rsa-1024-pkcs1.pem", "1024 bits"),
        ("test-secp256k1-pkcs8.pem", "cannot sign"),
        ("test-ed448-pkcs8.pem", "cannot sign"),
        ("test-p256-public.pem", "public key"),
        ("test-rsa-2048-pkcs1-public.pem", "public key"),
        ("test-p256-certificate.pem", "certificate"),
        ("test-p256-encrypted.pem", "encrypted"),
        ("test-rsa-2048-pkcs1-encrypted.pem", "encrypted"),
        ("README.md", "no private key"),
    ] {
        let place = Workplace::new();
        fs::copy(test_key(file), place.path("keys/default.pem")).expect("a copy");
        place.fails(&["serve"], &["keys/default.pem", "provider `default`", why]);
    }
}

#[test]
fn the_error_names_a_key_that_is_a_folder() {
    let more = "[providers.acme]\nsigning_keys = [\"keys\"]\n";
    refuses(more, &["cannot read the signing key keys of provider `acme`"]);
}

#[test]
fn the_error_names_a_key_that_is_listed_twice() {
    let more = "[providers.acme]\nsigning_keys = [\"keys/default.pem\", \"keys/default.pem\"]\n";
    refuses(more, &["provider `acme`", "is given twice"]);
}

#[test]
fn the_error_names_an_unknown_configuration_key() {
    refuses("[push]\nretries = 3\n", &["ssfd.toml", "retries", "attempt_timeout"]);
}

#[test]
fn the_error_names_an_unknown_environment_variable() {
    let place = Workplace::new();
    let mut serve = place.ssfd(&["serve"]);
    let ended = super::run({
        serve.env("SSFD_PUSH__RETRIES", "3");
        serve
    });
    assert_eq!(ended.status.code(), Some(1));
    assert!(ended.stderr.contains("retries"), "{}", ended.stderr);
}

#[test]
fn the_error_names_a_configuration_that_is_missing_or_not_toml() {
    let place = Workplace::new();
    place.fails(&["serve", "--config", "etc/ssfd.toml"], &["cannot read etc/ssfd.toml"]);
    place.configure("= =");
    place.fails(&["serve"], &["ssfd.toml", "TOML"]);
}

#[test]
fn a_file_that_is_no_database_is_named_and_not_changed() {
    let place = Workplace::new();
    let notes = "nothing of SQLite here. ".repeat(100);
    fs::write(place.path("ssfd.db"), &notes).expect("written");
    place.fails(&["serve"], &["cannot open the store", "ssfd.db", "not a database"]);
    assert_eq!(fs::read_to_string(place.path("ssfd.db")).expect("readable"), notes);
}

#[test]
fn the_error_names_a_database_in_a_missing_folder() {
    refuses("store.sqlite.path = \"data/ssfd.db\"\n", &["data/ssfd.db", "No such file"]);
}

#[test]
fn the_error_names_a_database_that_another_daemon_uses() {
    let place = Workplace::new();
    let mut first = place.serve();
    first.addresses();
    place.fails(&["serve"], &["another ssfd serves from ssfd.db"]);
}

#[test]
fn the_error_names_the_key_of_a_port_in_use() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("bound").to_string();
    for key in ["public.listen", "internal.listen"] {
        let place = Workplace::new();
        let mut serve = place.ssfd(&["serve"]);
        let variable = format!("SSFD_{}", key.to_uppercase().replace('.', "__"));
        let ended = super::run({
            serve.env(variable, &address);
            serve
        });
        assert_eq!(ended.status.code(), Some(1), "{}", ended.stderr);
        let words = [key, &address, "in use"];
        assert!(words.iter().all(|word| ended.stderr.contains(word)), "{}", ended.stderr);
    }
}

#[test]
fn the_error_about_a_malformed_redis_url_does_not_show_the_password() {
    for url in ["redis//:hunter2@127.0.0.1", "http://:hunter2@127.0.0.1", "redis://:hunter2@h:x/"] {
        let place = Workplace::new();
        place.configure(&format!("ingest.redis.url = \"{url}\"\n"));
        let ended = place.run(&["serve"]);
        assert_eq!(ended.status.code(), Some(1), "{}", ended.stderr);
        assert!(ended.stderr.contains("`ingest.redis.url`"), "{}", ended.stderr);
        assert!(!ended.stderr.contains("hunter2"), "{}", ended.stderr);
    }
}

#[test]
fn the_error_names_a_bad_log_level() {
    refuses("log.level = \"ssfd=loud\"\n", &["`log.level`", "ssfd=loud"]);
}

#[test]
fn the_error_names_the_key_of_an_unusable_certificate() {
    let place = Workplace::new();
    place.configure("public.tls_certificate = \"chain.pem\"\npublic.tls_key = \"key.pem\"\n");
    place.fails(&["serve"], &["`public.tls_certificate`", "chain.pem"]);
    fs::copy(test_key("test-p256-certificate.pem"), place.path("chain.pem")).expect("a copy");
    place.fails(&["serve"], &["`public.tls_key`", "key.pem"]);
    fs::copy(test_key("test-p384-pkcs8.pem"), place.path("key.pem")).expect("a copy");
    place.fails(&["serve"], &["`public.tls_certificate` and `public.tls_key`", "together"]);
}

#[test]
fn the_error_names_missing_trusted_roots() {
    refuses("push.trusted_roots = \"roots.pem\"\n", &["roots.pem"]);
}
