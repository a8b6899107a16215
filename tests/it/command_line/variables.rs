//! Where settings come from: the configuration file, variables, and the address of the daemon in them.

use std::{fs, process::Command};

use super::{Ended, Workplace, run};

fn with(mut command: Command, variables: &[(&str, &str)]) -> Ended {
    command.envs(variables.iter().copied());
    run(command)
}

/// The variables that Kubernetes gives to every container beside a Service with the name `ssfd`.
const SERVICE: [(&str, &str); 6] = [
    ("SSFD_SERVICE_HOST", "10.0.0.1"),
    ("SSFD_SERVICE_PORT", "8080"),
    ("SSFD_PORT", "tcp://10.0.0.1:8080"),
    ("SSFD_PORT_8080_TCP", "tcp://10.0.0.1:8080"),
    ("SSFD_PORT_8080_TCP_PORT", "8080"),
    ("SSFD_PORT_8080_TCP_ADDR", "10.0.0.1"),
];

#[test]
fn variables_of_others_are_ignored_with_one_warning() {
    let place = Workplace::new();
    let mut serve = place.ssfd(&["serve"]);
    serve.envs(SERVICE);
    let mut daemon = super::Daemon::start(serve);
    daemon.addresses();
    let warnings: Vec<_> =
        daemon.seen().iter().filter(|line| line["level"] == "WARN").cloned().collect();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    let variables = warnings[0]["variables"].as_str().expect("names");
    assert!(SERVICE.iter().all(|(name, _)| variables.contains(name)), "{variables}");
    daemon.signal("TERM");
    daemon.ends();

    let checked = with(place.ssfd(&["check"]), &SERVICE);
    assert!(checked.status.success(), "{}", checked.stderr);
    for (name, _) in SERVICE {
        let line = checked.stdout.lines().find(|line| line.contains(&format!("{name}:")));
        assert!(line.is_some_and(|line| line.starts_with("warning")), "{}", checked.stdout);
    }
}

/// Every kind of mistake, in a variable and in the file.
#[test]
fn an_error_names_where_the_key_was_set() {
    let place = Workplace::new();
    for (variable, value, words) in [
        ("SSFD_PUBLIC__LISTENS", "127.0.0.1:1", &["listens", "expected one of", "listen"][..]),
        ("SSFD_PUBLIC__LISTEN", "nowhere", &["`public.listen`"]),
        ("SSFD_POLL__WAIT", "10m", &["`poll.wait` must be at most 300s"]),
        ("SSFD_LOG__LEVEL", "warning", &["`log.level` \"warning\"", "error, warn, info"]),
        (
            "SSFD_DELIVERY__SWEEP_INTERVAL",
            "0s",
            &["`delivery.sweep_interval` must be longer than 0"],
        ),
        ("SSFD_PUBLIK__LISTEN", "127.0.0.1:1", &["no section `publik`", "public"]),
        ("SSFD_PUBLIC__LISTEN__PORT", "1", &["public.listen"]),
        (
            "SSFD_STORE__REDIS__PASSWORD_FILE",
            "credential:redis",
            &["credential `redis`", "LoadCredential="],
        ),
    ] {
        let ended = with(place.ssfd(&["serve"]), &[(variable, value)]);
        assert_eq!(ended.status.code(), Some(1), "{variable}");
        assert!(ended.stderr.contains(&format!("the variable {variable}: ")), "{}", ended.stderr);
        assert!(words.iter().all(|word| ended.stderr.contains(word)), "{}", ended.stderr);
    }
    for (line, words) in [
        ("public.listens = \"x\"", &["listens"][..]),
        ("delivery.window_max = \"many\"", &["`delivery.window_max`"]),
        ("poll.wait = \"10m\"", &["`poll.wait` must be at most 300s"]),
        ("log.level = \"warning\"", &["`log.level` \"warning\""]),
        ("push.connect_timeout = \"0s\"", &["`push.connect_timeout` must be longer than 0"]),
        ("public.tls_key = \"credential:../x\"", &["`public.tls_key`", "without a slash"]),
    ] {
        // The two lines with the ports come first.
        place.configure(&format!("{line}\n"));
        place.fails(&["serve"], &[&["ssfd.toml, line 3: "][..], words].concat());
    }
}

#[test]
fn a_credential_is_read_from_the_folder_of_systemd_whichever_key_names_it() {
    let place = Workplace::new();
    fs::create_dir(place.path("credentials")).expect("a folder");
    fs::rename(place.path("keys/default.pem"), place.path("credentials/signing")).expect("moved");
    place.configure(
        "store.backend = \"redis\"\nstore.redis.password_file = \"credential:redis\"\n\
         store.redis.tls_ca = \"credential:ca\"\n\
         store.redis.tls_certificate = \"credential:cert\"\nstore.redis.tls_key = \"credential:key\"\n\
         store.redis.sentinel_password_file = \"credential:sentinel\"\n\
         ingest.redis.url = \"rediss://redis.example\"\n\
         ingest.redis.password_file = \"credential:in-redis\"\n\
         ingest.redis.tls_ca = \"credential:in-ca\"\n\
         ingest.redis.tls_certificate = \"credential:in-cert\"\n\
         ingest.redis.tls_key = \"credential:in-key\"\n\
         push.trusted_roots = \"credential:roots\"\n\
         [providers.default]\nsigning_keys = [\"credential:signing\"]\n\
         [providers.default.oauth]\nissuer = \"https://as.example\"\n\
         trusted_roots = \"credential:as-roots\"\n\
         [providers.default.oauth.introspection]\nendpoint = \"https://as.example/i\"\n\
         client_id = \"ssfd\"\nclient_secret = \"credential:secret\"\n",
    );
    place.fails(&["serve"], &["systemd credential", "LoadCredential="]);
    let inside = [("CREDENTIALS_DIRECTORY", "credentials")];
    let checked = with(place.ssfd(&["check"]), &inside).stdout;
    assert!(checked.contains("signs ES256"), "{checked}");
    for (key, file) in [
        ("push.trusted_roots", "credentials/roots"),
        ("store.redis.password_file", "credentials/redis"),
        ("store.redis.tls_ca", "credentials/ca"),
        ("store.redis.tls_certificate", "credentials/cert"),
        ("store.redis.tls_key", "credentials/key"),
    ] {
        let line = checked.lines().find(|line| line.contains(&format!(" {key}: ")));
        assert!(line.is_some_and(|line| line.contains(file)), "{key}: {checked}");
    }
}

/// Every command that asks a daemon finds it by the configuration.
#[test]
fn commands_ask_the_daemon_of_their_configuration() {
    let place = Workplace::new();
    place.configure("");
    let config = "public.listen = \"127.0.0.1:0\"\ninternal.listen = \"127.0.0.1:1\"\n";
    fs::write(place.path("other.toml"), config).expect("written");
    for args in [
        &["streams", "list"][..],
        &["streams", "show", "st_1"],
        &["streams", "pause", "st_1"],
        &["jobs"],
        &["dead", "list"],
        &["dead", "show", "j1"],
        &["dead", "purge", "--all"],
        &["replay", "st_1", "--since", "1h"],
        &["explain", "--jti", "j1"],
        &["explain", "--event-id", "e1"],
        &["publish", "--type", "caep:session-revoked", "--email", "kim@example.com"],
    ] {
        let command = |more: &[&str]| place.ssfd(&[args, more].concat());
        let token = [("SSFD_TOKEN", "t")];
        let found = |ended: Ended| {
            assert_eq!(ended.status.code(), Some(1), "{args:?}: {}", ended.stdout);
            ended.stderr
        };
        let asked = found(with(command(&["--config", "other.toml"]), &token));
        assert!(asked.contains("http://127.0.0.1:1/"), "{args:?}: {asked}");
        // Variables count as well, and a listener on all addresses is asked on this machine.
        let variables = [token[0], ("SSFD_INTERNAL__LISTEN", "0.0.0.0:1")];
        let asked = found(with(command(&[]), &variables));
        assert!(asked.contains("http://127.0.0.1:1/"), "{args:?}: {asked}");
        let asked = found(with(command(&["--url", "http://127.0.0.1:2"]), &variables));
        assert!(asked.contains("http://127.0.0.1:2/"), "{args:?}: {asked}");
        let asked = found(with(command(&[]), &token));
        assert!(asked.contains("give the daemon's address with --url"), "{args:?}: {asked}");
    }
}
