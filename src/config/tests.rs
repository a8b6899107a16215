use std::{io::Write, path::Path};

use serde_json::Value;

use super::*;

fn from_file(text: &str, environment: &[(&str, &str)]) -> Result<Config, String> {
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    file.write_all(text.as_bytes()).expect("a few bytes");
    let environment = environment.iter().map(|(name, value)| ((*name).into(), (*value).into()));
    load(Some(file.path()), environment).map_err(|error| error.to_string())
}

fn json(config: &Config) -> Value {
    serde_json::to_value(config).expect("a configuration is plain data")
}

#[track_caller]
fn refuses(text: &str, error: &str) {
    let found = from_file(text, &[]).expect_err(text);
    assert!(found.contains(error), "{found}");
}

#[test]
fn keys_that_are_not_set_have_their_defaults() {
    let config = load(None, []).expect("the defaults are valid");
    assert_eq!(json(&config), json(&Config::default()));
    let providers = config.providers().expect("a default provider");
    assert_eq!(providers[0].name.as_str(), "default");
    assert_eq!(config.signing_keys()[0].1, [Path::new("keys/default.pem")]);
}

#[test]
fn a_variable_overrides_a_key_of_the_file() {
    let text = "[public]\nlisten = \"127.0.0.1:1\"\nbody_bytes_max = 7\n";
    let environment = [
        ("SSFD_PUBLIC__LISTEN", "127.0.0.1:2"),
        ("SSFD_PROVIDERS__ACME__ISSUER", "https://tx.example/acme"),
        ("SSFD_CONFIG", "elsewhere.toml"),
        ("UNRELATED", "x"),
    ];
    let config = from_file(text, &environment).expect("a valid configuration");
    assert_eq!(config.public.listen.to_string(), "127.0.0.1:2");
    assert_eq!(config.public.body_bytes_max, 7);
    assert_eq!(config.providers().expect("valid")[0].issuer.as_str(), "https://tx.example/acme");
}

#[test]
fn a_list_in_a_variable_is_separated_by_commas() {
    let environment = [
        ("SSFD_PUSH__ALLOW_NETWORKS", "10.0.0.0/8, fd00::/8"),
        ("SSFD_DELIVERY__RETRY__SCHEDULE", "1s,2m"),
        ("SSFD_PROVIDERS__ACME__EVENTS_SUPPORTED", "caep:session-revoked"),
        ("SSFD_PROVIDERS__ACME__SIGNING_KEYS", ""),
        ("UNRELATED__SCHEDULE", "daily"),
    ];
    let config = from_file("", &environment).expect("a valid configuration");
    assert_eq!(config.push.allow_networks.len(), 2);
    assert_eq!(config.delivery.retry.schedule, [1, 120].map(Duration::from_secs));
    assert_eq!(config.providers().expect("valid")[0].events_supported.len(), 1);
    assert_eq!(config.signing_keys()[0].1, [Path::new("keys/acme.pem")]);
}

#[test]
fn the_error_names_an_unknown_key() {
    refuses("[public]\nlisten_on = \"127.0.0.1:1\"\n", "listen_on");
    refuses("[publik]\n", "publik");
    refuses("[providers.acme]\nissuers = \"x\"\n", "issuers");
    let error = from_file("", &[("SSFD_PUBLIC__LISTEN_ON", "x")]).expect_err("an unknown variable");
    assert!(error.contains("listen_on"), "{error}");
}

#[test]
fn the_error_names_the_key_of_a_bad_value_and_its_rule() {
    refuses("[public]\nlisten = \"nowhere\"\n", "`public.listen`");
    refuses("[delivery]\nsweep_interval = \"soon\"\n", "`delivery.sweep_interval`");
    refuses("[delivery]\nin_flight_max = 0\n", "`delivery.in_flight_max` must be at least 1");
    refuses("[public]\ntls_key = \"k.pem\"\n", "must be set together");
    refuses("[providers.acme]\nissuer = \"http://tx.example\"\n", "`providers.acme.issuer`");
    refuses("[providers.acme]\nevents_supported = [\"caep:nope\"]\n", "caep:nope");
    refuses("[providers.acme]\nevents_supported = [\"ssf:verification\"]\n", "SSF §8.1.4");
    refuses(
        "[providers.acme]\ntoken_revoked = \"oauth-event-type\"\n",
        "`providers.acme.token_revoked` must not be `oauth-event-type`, because no stream can ask",
    );
    refuses(
        "[providers.acme]\ntoken_revoked = \"session-revoked\"\n\
         events_supported = [\"oauth:token-revoked\"]\n",
        "streams would ask in vain for `oauth:token-revoked`; remove that type from `events_supported`",
    );
    refuses("[providers.acme]\ntoken_revoked = \"both\"\n", "`providers.acme.token_revoked`");
    refuses("[providers.acme]\nevent_checks = \"loose\"\n", "`providers.acme.event_checks`");
    refuses(
        "[providers.acme]\nevent_checks = \"off\"\ninterop = true\n",
        "`providers.acme.interop` needs `event_checks`",
    );
    refuses("[providers.acme]\ndefault_subjects = \"SOME\"\n", "default_subjects");
    refuses("[providers.acme]\nsubject_format = \"phone\"\n", "subject_format");
    refuses("[providers.acme]\nsubject_changes_per_second_max = 0\n", "per_second_max");
    refuses("[public.connections]\nmax = 0\n", "`public.connections.max`");
    refuses(
        "[internal.connections]\nbody_timeout = \"0s\"\n",
        "`internal.connections.body_timeout`",
    );
    refuses("[providers.\"a b\"]\n", "provider name");
    refuses("[poll]\nwait = \"10m\"\n", "`poll.wait`");
    refuses("[store]\nbackend = \"postgres\"\n", "`store.backend`");
    refuses("[store.redis]\nurls = []\n", "`store.redis.urls` must have at least one");
    refuses("[store.redis]\ntopology = \"ring\"\n", "`store.redis.topology`");
    refuses("= 1", "TOML");
}

#[test]
fn two_providers_need_different_paths() {
    let one = "[providers.one]\nissuer = \"https://a.example\"\n";
    refuses(&format!("{one}[providers.two]\nissuer = \"https://b.example/\"\n"), "the same path");
    let two = format!("{one}[providers.two]\nissuer = \"https://a.example/two\"\n");
    assert_eq!(from_file(&two, &[]).expect("valid").providers().expect("valid").len(), 2);
}

#[test]
fn the_error_names_a_missing_file() {
    let error = load(Some(Path::new("nowhere/ssfd.toml")), []).expect_err("no such file");
    assert!(error.to_string().contains("cannot read nowhere/ssfd.toml"), "{error}");
}

/// The shipped file contains all keys, with no other values than the defaults.
#[test]
fn the_shipped_file_lists_every_key_with_its_default() {
    let text = include_str!("../../config/ssfd.toml");
    let shipped = from_file(text, &[]).expect("the shipped file is valid");
    let mut defaults = Config::default();
    defaults.providers = defaults.named_providers();
    assert_eq!(json(&shipped), json(&defaults));

    let mut missing = Vec::new();
    every_key(&json(&defaults), &mut |key, _| {
        // The file lists keys without a default in a comment.
        let lists_key =
            |line: &str| line.trim_start_matches("# ").starts_with(&format!("{key} = "));
        if !text.lines().any(lists_key) {
            missing.push(key.to_owned());
        }
    });
    assert!(missing.is_empty(), "not in config/ssfd.toml: {missing:?}");
}

fn every_key(value: &Value, see: &mut impl FnMut(&str, &Value)) {
    for (key, value) in value.as_object().into_iter().flatten() {
        match value {
            Value::Object(_) => every_key(value, see),
            _ => see(key, value),
        }
    }
}

/// Returns a configuration with these lines in the table of an external authorization server.
fn oauth(lines: &str) -> String {
    let issuer = "issuer = \"https://as.example\"";
    format!("[providers.acme.oauth]\n{issuer}\n{lines}\n")
}

#[test]
fn the_names_of_clients_are_kept_to_the_letter() {
    let text = oauth(
        "jwks = \"https://as.example/jwks\"
        [providers.acme.oauth.clients.0oaXyZ]
        receiver = \"rx\"
        audience = [\"https://rx.example\", \"b\"]
        [providers.acme.oauth.clients.\"https://rx.example/app\"]
        receiver = \"app\"
        audience = \"https://rx.example/app\"
        scopes = [\"ssf.read\"]",
    );
    let config = from_file(&text, &[]).expect("a valid configuration");
    let clients = &config.providers[&"acme".parse().expect("a name")].oauth.clients;
    let named: Vec<_> = clients.keys().map(String::as_str).collect();
    assert_eq!(named, ["0oaXyZ", "https://rx.example/app"], "to the letter");
    assert_eq!(
        json(&config)["providers"]["acme"]["oauth"]["clients"]["0oaXyZ"]["scopes"][0],
        "ssf.manage"
    );
}

#[test]
fn unsafe_settings_of_an_authorization_server_are_refused() {
    let jwks = "jwks = \"as.json\"";
    from_file(&oauth(jwks), &[]).expect("a valid configuration");
    refuses(&oauth(""), "`providers.acme.oauth.jwks` and `introspection.endpoint`");
    refuses("[providers.acme.oauth]\njwks = \"as.json\"\n", "`providers.acme.oauth.issuer`");
    refuses(&oauth("jwks = \"http://as.example/jwks\""), "must be an https URL");
    refuses(&oauth(&format!("{jwks}\nalgorithms = [\"HS256\"]")), "public keys");
    refuses(
        &oauth(&format!("{jwks}\nalgorithms = [\"none\"]")),
        "`providers.acme.oauth.algorithms",
    );
    refuses(&oauth(&format!("{jwks}\nalgorithms = []")), "at least one");
    refuses(&oauth(&format!("{jwks}\nleeway = \"1h\"")), "`providers.acme.oauth.leeway`");
    refuses(&oauth(&format!("{jwks}\njwks_keep = \"1s\"")), "jwks_refresh_interval_min");
    let introspection = "[providers.acme.oauth.introspection]\nendpoint =";
    refuses(
        &oauth(&format!("{jwks}\n{introspection} \"https://as.example/i\"")),
        "exclude each other",
    );
    refuses(
        &oauth(&format!("{introspection} \"https://as.example/i\"")),
        "introspection.client_id`",
    );
    refuses(&oauth(&format!("{introspection} \"http://as.example/i\"")), "must be an https URL");
    let client = "[providers.acme.oauth.clients.x]\nreceiver = \"rx\"\naudience =";
    refuses(&oauth(&format!("{jwks}\n{client} \"\"")), "`providers.acme.oauth.clients.x.audience`");
    refuses(&oauth(&format!("{jwks}\n{client} \"a\"\nscopes = []")), "must not be empty");
}

#[test]
fn the_limits_of_the_token_endpoint_are_checked() {
    let refuses = |line: &str| {
        refuses(&format!("[providers.acme.token_endpoint]\n{line}\n"), "token_endpoint");
    };
    refuses("token_lifetime = \"61m\"");
    refuses("token_lifetime = \"0s\"");
    refuses("tokens_per_client_max = 0");
    refuses("requests_per_second_max = 0");
}

/// Returns a configuration with these lines in a table of agents with one rule.
fn agents(lines: &str) -> String {
    format!(
        "[sources]\nlisten = \"127.0.0.1:8443\"\n[providers.acme.agents.laptops]\n{lines}\n\
         [[providers.acme.agents.laptops.rules]]\nname = \"disk\"\nfact = \"/disk/encrypted\"\n\
         equals = true\n"
    )
}

#[test]
fn a_table_of_agents_is_checked_with_its_key_and_the_remedy() {
    let config = from_file(&agents(""), &[]).expect("a valid configuration");
    let all = config.agents().expect("valid");
    assert_eq!(all[0].config.audience, "https://localhost/agents/laptops");
    for (lines, error) in [
        ("interval = \"0s\"", "`providers.acme.agents.laptops.interval` must be at least 1s"),
        ("lost_after = 1", "`providers.acme.agents.laptops.lost_after` must be from 2"),
        ("unknown_devices = \"accept\"", "enrolment_secret_files` must name a file"),
        ("intervall = \"1m\"", "intervall"),
    ] {
        refuses(&agents(lines), error);
    }
    let rule = "[[providers.acme.agents.laptops.rules]]\nname = \"os\"\nfact = \"/os\"\n";
    let table = agents("");
    refuses(
        &format!("{table}{rule}at_least = \"new\"\n"),
        "`providers.acme.agents.laptops.rules.os.at_least` must be a version",
    );
    refuses(
        &format!("{table}{rule}"),
        "`providers.acme.agents.laptops.rules.os` must have exactly",
    );
    refuses(&table.replace("listen = \"127.0.0.1:8443\"", ""), "`sources.listen` is not set");
    let types = "[providers.acme]\nevents_supported = [\"caep:session-revoked\"]\n";
    refuses(
        &format!("{types}{table}"),
        "`providers.acme.events_supported` does not list `caep:device-compliance-change`",
    );
}

/// The pages with examples of configurations, in blocks that say `toml`.
const PAGES: [&str; 5] = [
    include_str!("../../docs/publish/agents.md"),
    include_str!("../../docs/operate/configuration.md"),
    include_str!("../../docs/operate/stores.md"),
    include_str!("../../docs/receive/authorization-servers.md"),
    include_str!("../../docs/receive/testing.md"),
];

#[test]
fn the_examples_of_the_documentation_are_valid() {
    let blocks = |page: &'static str| {
        page.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next())
    };
    let examples: Vec<_> = PAGES.into_iter().flat_map(blocks).collect();
    assert!(examples.iter().any(|example| example.contains("oauth")), "{examples:?}");
    for example in examples {
        let environment = [("CREDENTIALS_DIRECTORY", "/run/credentials/ssfd.service")];
        from_file(example, &environment).unwrap_or_else(|error| panic!("{error} in {example}"));
    }
}
