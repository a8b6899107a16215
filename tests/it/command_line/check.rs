//! `ssfd check` finds what would fail at the start of `ssfd serve` or later, without starting a daemon.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    time::{Duration, SystemTime},
};

use rcgen::{CertificateParams, KeyPair};
use serde_json::{Value, json};
use ssfd::clock;

use super::{Workplace, run};
use crate::{
    harness::{
        authorization_server::{AuthorizationServer, Key, json_reply},
        redis::Redis,
    },
    scripted_server::Reply,
};

const TWO_PROVIDERS: &str = "
    [providers.acme]
    issuer = \"https://tx.example/acme\"
    signing_keys = [\"keys/default.pem\"]
    [providers.globex]
    issuer = \"https://tx.example/globex\"
    signing_keys = [\"keys/default.pem\"]
";

/// Returns the lines with this mark.
fn marked(output: &str, mark: &str) -> Vec<String> {
    let lines = output.lines().filter(|line| line.starts_with(mark));
    lines.map(str::to_owned).collect()
}

impl Workplace {
    /// Asserts that the check of a configuration finds one thing only, with this mark and all of `words`.
    /// The exit code is 1 if it is an error.
    #[track_caller]
    fn finds(&self, mark: &str, words: &[&str]) {
        let ended = self.run(&["check"]);
        let code = i32::from(mark == "error");
        assert_eq!(ended.status.code(), Some(code), "{}{}", ended.stdout, ended.stderr);
        let found = [marked(&ended.stdout, "error"), marked(&ended.stdout, "warning")].concat();
        assert_eq!(found.len(), 1, "{}", ended.stdout);
        assert!(found[0].starts_with(mark), "{}", found[0]);
        assert!(words.iter().all(|word| found[0].contains(word)), "no {words:?} in: {}", found[0]);
        let json = self.run(&["check", "--json"]);
        assert_eq!(json.status.code(), Some(code));
        let json: Value = serde_json::from_str(&json.stdout).expect("JSON");
        assert_eq!(json["valid"], code == 0);
        let findings = json["findings"].as_array().expect("an array");
        let found: Vec<_> = findings.iter().filter(|finding| finding["mark"] != "ok").collect();
        assert!(found.len() == 1 && found[0]["mark"] == mark, "{json}");
    }
}

#[test]
fn the_providers_of_a_valid_configuration_are_shown() {
    let place = Workplace::new();
    place.configure(TWO_PROVIDERS);
    let shown = place.prints_json(&["keys", "show", "keys/default.pem", "--json"]);
    let kid = shown["kid"].as_str().expect("a string");

    let text = place.succeeds(&["check"]);
    for name in ["acme", "globex"] {
        let line = format!(
            "ok       provider {name}: https://tx.example/{name}, signs ES256 with {kid}\n"
        );
        assert!(text.contains(&line), "{text}");
    }
    assert!(text.lines().all(|line| line.starts_with("ok  ")), "{text}");

    let provider = |name: &str| {
        json!({"name": name, "issuer": format!("https://tx.example/{name}"), "algorithm": "ES256",
            "kid": kid})
    };
    let found = place.prints_json(&["check", "--json"]);
    assert_eq!(found["valid"], true);
    assert_eq!(found["providers"], json!([provider("acme"), provider("globex")]));
}

#[test]
fn check_starts_and_creates_nothing() {
    let place = Workplace::new();
    place.succeeds(&["check"]);
    place.succeeds(&["check", "--connect"]);
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
        let served = place.run(&["serve"]);
        assert_eq!(served.status.code(), Some(1), "{more}");
        // Warnings may come first.
        let error = served.stderr.lines().last().expect("an error").trim_start_matches("ssfd: ");
        place.finds("error", &[error]);
    }
}

#[test]
fn the_shipped_configuration_is_valid_once_it_has_a_key() {
    let place = Workplace::new();
    let shipped = concat!(env!("CARGO_MANIFEST_DIR"), "/config/ssfd.toml");
    place.succeeds(&["check", "--config", shipped]);
}

#[test]
fn two_listeners_on_one_port_are_found() {
    for (public, internal) in [
        ("127.0.0.1:8080", "127.0.0.1:8080"),
        ("0.0.0.0:8080", "127.0.0.1:8080"),
        ("127.0.0.1:8080", "[::]:8080"),
    ] {
        let place = Workplace::new();
        let config = format!("public.listen = {public:?}\ninternal.listen = {internal:?}\n");
        fs::write(place.path("ssfd.toml"), config).expect("written");
        place.finds("error", &["ssfd.toml, line 2", "`internal.listen`", "`public.listen`"]);
    }
}

#[test]
fn missing_folders_and_files_are_found() {
    let place = Workplace::new();
    place.configure("store.sqlite.path = \"data/ssfd.db\"\n");
    place.finds("error", &["store.sqlite.path", "no folder data"]);

    fs::write(place.path("ssfd.db"), "no database. ".repeat(1000)).expect("written");
    fs::set_permissions(place.path("ssfd.db"), fs::Permissions::from_mode(0o600)).expect("set");
    place.configure("");
    place.finds("error", &["store.sqlite.path", "ssfd.db", "not a database"]);
    fs::remove_file(place.path("ssfd.db")).expect("removed");

    fs::remove_file(place.path("keys/default.pem")).expect("removed");
    place.finds("error", &["provider default", "keys/default.pem", "ssfd keys generate"]);
}

#[test]
fn files_of_secrets_that_others_can_read_are_found() {
    let place = Workplace::with_store();
    fs::write(place.path("secret"), "s").expect("written");
    place.configure(
        "[providers.default.oauth]\nissuer = \"https://as.example\"\n\
         [providers.default.oauth.introspection]\nendpoint = \"https://as.example/i\"\n\
         client_id = \"ssfd\"\nclient_secret = \"secret\"\n",
    );
    for (file, key) in [
        ("keys/default.pem", "providers.default.signing_keys"),
        ("secret", "providers.default.oauth.introspection.client_secret"),
        ("ssfd.db", "store.sqlite.path"),
    ] {
        let allow = |file: &str, mode| {
            let path = place.path(file);
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("set");
        };
        for file in ["keys/default.pem", "secret", "ssfd.db"] {
            allow(file, 0o640);
        }
        allow(file, 0o644);
        place.finds("warning", &[key, file, "chmod o="]);
    }
}

/// Makes a certificate for `host` that is valid from and to these days from now, and its key.
#[test]
fn a_password_in_a_url_of_a_file_that_others_can_read_is_found() {
    let place = Workplace::new();
    let file = place.path("ssfd.toml");
    let allow = |mode| {
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).expect("a file of ours");
    };
    let with_password = "ingest.redis.url = \"redis://reader:hunter2@127.0.0.1:1\"\n";
    place.configure(with_password);
    allow(0o644);
    place.finds("warning", &["ingest.redis.url", "password", "chmod"]);
    let shown = place.run(&["check"]).stdout;
    assert!(!shown.contains("hunter2"), "{shown}");
    allow(0o640);
    place.succeeds(&["check"]);
    let marks = place.run(&["check"]).stdout;
    assert!(marked(&marks, "warning").is_empty(), "{marks}");

    // A variable is for the process alone.
    place.configure("");
    allow(0o644);
    let mut command = place.ssfd(&["check"]);
    command.env("SSFD_INGEST__REDIS__URL", "redis://reader:hunter2@127.0.0.1:1");
    let ended = run(command);
    assert!(marked(&ended.stdout, "warning").is_empty(), "{}", ended.stdout);
}

fn certificate(place: &Workplace, host: &str, from: i64, to: i64) {
    let day = |days: i64| {
        let span = Duration::from_secs(days.unsigned_abs() * 24 * 3600);
        let secs = clock::now().as_secs().try_into().expect("after 1970");
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(secs);
        if days < 0 { now - span } else { now + span }
    };
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::new(vec![host.to_owned()]).expect("a valid name");
    params.not_before = day(from).into();
    params.not_after = day(to).into();
    let certificate = params.self_signed(&key).expect("a certificate");
    fs::write(place.path("chain.pem"), certificate.pem()).expect("written");
    fs::write(place.path("key.pem"), key.serialize_pem()).expect("written");
    fs::set_permissions(place.path("key.pem"), fs::Permissions::from_mode(0o600)).expect("set");
}

#[test]
fn certificates_that_are_expired_or_do_not_match_are_found() {
    let place = Workplace::new();
    place.configure("public.tls_certificate = \"chain.pem\"\npublic.tls_key = \"key.pem\"\n");
    certificate(&place, "localhost", -1, 90);
    place.succeeds(&["check"]);
    certificate(&place, "localhost", -90, -1);
    place.finds("error", &["public.tls_certificate", "chain.pem", " ended 20"]);
    certificate(&place, "localhost", 1, 90);
    place.finds("error", &["public.tls_certificate", "chain.pem", "not valid before 20"]);
    certificate(&place, "localhost", -1, 10);
    place.finds("warning", &["public.tls_certificate", "chain.pem", " ends 20"]);
    certificate(&place, "tx.example", -1, 90);
    place.finds("warning", &["is not for localhost", "`default`"]);
    certificate(&place, "localhost", -1, 90);
    fs::copy(place.path("keys/default.pem"), place.path("key.pem")).expect("copied");
    place.finds("error", &["`public.tls_certificate` and `public.tls_key`", "together"]);

    // A root that has expired verifies nothing.
    certificate(&place, "localhost", -90, -1);
    place.configure("push.trusted_roots = \"chain.pem\"\n");
    place.finds("error", &["push.trusted_roots", "chain.pem", " ended 20"]);
}

#[test]
fn an_issuer_whose_paths_another_provider_takes_is_found() {
    let place = Workplace::new();
    place.configure(
        "[providers.acme]\nissuer = \"https://tx.example\"\n\
         signing_keys = [\"keys/default.pem\"]\n\
         [providers.globex]\nissuer = \"https://tx.example/ssf\"\n\
         signing_keys = [\"keys/default.pem\"]\n",
    );
    let words = ["line 7", "`providers.globex.issuer`", "/ssf/", "`acme`", "give it another path"];
    place.finds("error", &words);
}

#[actix_web::test]
async fn connect_tries_the_servers() {
    let mut redis = Redis::start().await;
    let place = Workplace::new();
    place.configure(&format!(
        "store.backend = \"redis\"\nstore.redis.urls = [{0:?}]\nstore.redis.checks = \"warn\"\n\
         store.redis.retries = 0\ningest.redis.url = {0:?}\n",
        redis.url()
    ));
    let text = place.succeeds(&["check", "--connect"]);
    assert!(text.contains("answers and is empty; `ssfd serve` creates the store"), "{text}");
    assert!(text.contains("the server answers, and its clock agrees with ours"), "{text}");
    place.create_store();
    let text = place.succeeds(&["check", "--connect"]);
    assert!(text.contains("has 0 streams"), "{text}");

    redis.kill();
    let ended = place.run(&["check", "--connect"]);
    assert_eq!(ended.status.code(), Some(1), "{}", ended.stdout);
    let errors = marked(&ended.stdout, "error");
    assert_eq!(errors.len(), 2, "{errors:?}");
    assert!(errors.iter().any(|line| line.contains(" store: ")), "{errors:?}");
    assert!(errors.iter().any(|line| line.contains(" ingest.redis: ")), "{errors:?}");
    // Without --connect nothing is tried.
    place.succeeds(&["check"]);
}

/// A wrong URL, certificate or credential of ours is found before a Receiver meets it.
#[actix_web::test]
async fn connect_tries_the_authorization_servers() {
    let key = Key::new();
    let keys = AuthorizationServer::publishing(&[&key]).await;
    let asked = AuthorizationServer::answering(json_reply(&json!({"active": false}))).await;
    let place = Workplace::new();
    fs::write(place.path("secret"), "s3cret").expect("written");
    let trusting = |server: &AuthorizationServer, check: &str| {
        let roots = server.roots();
        format!(
            "[providers.default.oauth]\nissuer = \"https://as.example\"\ntrusted_roots = {roots:?}\n\
             {check}"
        )
    };
    let by_keys = format!("jwks = {:?}\n", keys.jwks_url());
    let by_asking = format!(
        "[providers.default.oauth.introspection]\nendpoint = {:?}\nclient_id = \"ssfd\"\n\
         client_secret = \"secret\"\n",
        asked.introspection_url()
    );
    let check = async |place: Workplace| {
        let run = move || {
            let ended = place.run(&["check", "--connect"]);
            (place, ended.stdout)
        };
        let (place, text) = tokio::task::spawn_blocking(run).await.expect("no panic");
        let about = text.lines().filter(|line| line.contains("providers.default.oauth"));
        let about = about.map(str::to_owned).collect::<Vec<_>>().join("\n");
        (place, about)
    };
    place.configure(&trusting(&keys, &by_keys));
    let (place, about) = check(place).await;
    assert!(about.contains("answers as it should"), "{about}");
    keys.answer(Reply::status(404));
    let (place, about) = check(place).await;
    assert!(about.contains("404") && about.contains("check the URL"), "{about}");
    // Each server has a certificate authority of its own.
    place.configure(&trusting(&asked, &by_keys));
    let (place, about) = check(place).await;
    assert!(about.contains("trusted_roots"), "{about}");

    place.configure(&trusting(&asked, &by_asking));
    let (mut place, about) = check(place).await;
    assert!(about.contains("answers as it should"), "{about}");
    for (reply, words) in [
        (Reply::status(401), ["401", "introspection.client_secret"]),
        (json_reply(&json!({"error": "x"})), ["no boolean `active`", "check the URL"]),
    ] {
        asked.answer(reply);
        let (back, about) = check(place).await;
        place = back;
        for word in words {
            assert!(about.contains(word), "no {word} in {about}");
        }
    }
}
