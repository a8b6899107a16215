//! `ssfd check` refuses the configurations that `ssfd serve` refuses, without starting a daemon.

use serde_json::json;

use super::Workplace;

const TWO_PROVIDERS: &str = "
    [providers.acme]
    issuer = \"https://tx.example/acme\"
    signing_keys = [\"keys/default.pem\"]
    [providers.globex]
    issuer = \"https://tx.example/globex\"
    signing_keys = [\"keys/default.pem\"]
";

#[test]
fn the_providers_of_a_valid_configuration_are_shown() {
    let place = Workplace::new();
    place.configure(TWO_PROVIDERS);
    let shown = place.prints_json(&["keys", "show", "keys/default.pem", "--json"]);
    let kid = shown["kid"].as_str().expect("a string");

    let text = place.succeeds(&["check"]);
    for name in ["acme", "globex"] {
        let line = format!("provider {name}: https://tx.example/{name}, signs ES256 with {kid}\n");
        assert!(text.contains(&line), "{text}");
    }
    assert!(text.ends_with("the configuration is valid\n"), "{text}");

    let provider = |name: &str| {
        json!({"name": name, "issuer": format!("https://tx.example/{name}"), "algorithm": "ES256",
            "kid": kid})
    };
    let expected = json!({"valid": true, "providers": [provider("acme"), provider("globex")]});
    assert_eq!(place.prints_json(&["check", "--json"]), expected);
}

#[test]
fn check_starts_and_creates_nothing() {
    let place = Workplace::new();
    place.succeeds(&["check"]);
    assert!(!place.path("ssfd.db").exists());
}

/// Both commands print the same error.
#[test]
fn an_invalid_configuration_is_refused_as_serve_would() {
    for more in [
        "[push]\nretries = 3\n",
        "[providers.acme]\nissuer = \"http://tx.example\"\nsigning_keys = [\"keys/default.pem\"]\n",
        "[providers.acme]\n",
        "public.tls_key = \"key.pem\"\n",
        "push.trusted_roots = \"roots.pem\"\n",
        "ingest.redis.url = \"localhost\"\n",
        "log.level = \"ssfd=loud\"\n",
    ] {
        let place = Workplace::new();
        place.configure(more);
        let (checked, served) = (place.run(&["check"]), place.run(&["serve"]));
        assert_eq!(checked.status.code(), Some(1), "{more}: {}", checked.stdout);
        assert_eq!(checked.stderr, served.stderr, "{more}");
        let checked = place.run(&["check", "--json"]);
        assert_eq!((checked.status.code(), checked.stdout.as_str()), (Some(1), ""), "{more}");
    }
}

#[test]
fn the_shipped_configuration_is_valid_once_it_has_a_key() {
    let place = Workplace::new();
    let shipped = concat!(env!("CARGO_MANIFEST_DIR"), "/config/ssfd.toml");
    place.succeeds(&["check", "--config", shipped]);
}
