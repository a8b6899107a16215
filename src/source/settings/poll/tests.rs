use serde_json::json;

use super::*;

fn table(members: Value) -> Map<String, Value> {
    let Value::Object(members) = members else { panic!("not a table") };
    members
}

fn read(preset: Value, own: Value) -> Result<PollConfig, SourceMistake> {
    let var = |name: &str| (name == "base").then(|| "https://kc.example".to_owned());
    PollSettings::read(Some(&table(preset)), &table(own), var)
}

/// Returns a valid table with these members besides. `null` removes one.
fn with(members: Value) -> Value {
    let mut table =
        json!({"urls": "https://kc.example/e?since={since}&first={first}", "paging": "time"});
    for (key, value) in members.as_object().expect("members") {
        table[key] = value.clone();
    }
    table.as_object_mut().expect("a table").retain(|_, value| !value.is_null());
    table
}

#[test]
fn a_poll_has_defaults() {
    let config = read(json!({}), with(json!({}))).expect("valid");
    let PollSettings { interval, timeout, page_size, pages_max, page_bytes_max, start, .. } =
        config.settings;
    assert_eq!((interval, timeout), (Duration::from_secs(30), Duration::from_secs(10)));
    assert_eq!((page_size, pages_max, page_bytes_max), (100, 100, 8 << 20));
    assert_eq!((start, config.auth), (Start(Duration::ZERO), PollAuth::None));
    assert_eq!(config.urls[0].name, "https://kc.example/e");
}

#[test]
fn a_source_overrides_its_preset_key_by_key() {
    let preset = json!({
        "urls": ["{var:base}/e?since={since}"], "paging": "time", "interval": "1m",
        "auth": {"token_url": "{var:base}/token", "audience": "{var:base}/api"},
    });
    let client = json!({"client_id": "c", "client_secret_file": "/s"});
    let config = read(preset.clone(), json!({"interval": "2m", "auth": client})).expect("valid");
    assert_eq!(config.settings.interval, Duration::from_mins(2));
    assert_eq!(config.urls[0].name, "https://kc.example/e");
    let expected = PollAuth::Client {
        token_url: "https://kc.example/token".parse().expect("a URL"),
        client_id: "c".into(),
        secret_file: "/s".into(),
        scope: None,
        audience: Some("https://kc.example/api".into()),
        client_auth: ClientAuth::Basic,
    };
    assert_eq!(config.auth, expected);
    // The other way takes the place of the preset's.
    let header = json!({"header": "X-Key", "secret_file": "/s"});
    let config = read(preset, json!({"auth": header})).expect("valid");
    let (name, secret_file) = ("X-Key".into(), "/s".into());
    assert_eq!(config.auth, PollAuth::Header { name, prefix: String::new(), secret_file });
}

#[test]
fn values_may_be_written_as_texts() {
    let own = json!({
        "urls": "https://a.example/1?s={since}, https://a.example/2?s={since}", "paging": "time",
        "page_size": "7", "start": "24h",
    });
    let config = read(json!({}), own).expect("valid");
    assert_eq!((config.urls.len(), config.settings.page_size), (2, 7));
    assert_eq!(config.settings.start, Start(Duration::from_hours(24)));
}

#[test]
fn a_mistake_names_its_key_and_the_remedy() {
    let by_cursor = |members: Value| {
        let mut own = json!({
            "urls": "https://a.example/?c={cursor}", "start_urls": "https://a.example/?s={since}",
            "paging": "cursor", "cursor": "/next",
        });
        for (key, value) in members.as_object().expect("members") {
            own[key] = value.clone();
        }
        own
    };
    let client = |members: Value| {
        let mut auth = json!({
            "token_url": "https://kc.example/t", "client_id": "c", "client_secret_file": "/s",
        });
        for (key, value) in members.as_object().expect("members") {
            auth[key] = value.clone();
        }
        with(json!({"auth": auth}))
    };
    for (own, key, rule) in [
        (with(json!({"urls": null})), "urls", "is required"),
        (with(json!({"paging": null})), "paging", "is required"),
        (with(json!({"paging": "random"})), "paging", "unknown variant"),
        (with(json!({"colour": 1})), "colour", "unknown field"),
        (with(json!({"urls": []})), "urls", "1 to 8"),
        (with(json!({"urls": vec!["https://a.example/?{since}"; 9]})), "urls", "1 to 8"),
        (with(json!({"urls": "http://kc.example/?a={since}"})), "urls", "https URL"),
        (with(json!({"urls": "{var:other}/?a={since}"})), "urls", "set `vars.other`"),
        (with(json!({"urls": "https://a.example/?a=1"})), "urls", "must have {since}"),
        (with(json!({"urls": "https://a.example/?{since}{cursor}"})), "urls", "never fills in"),
        (
            with(json!({"urls": ["https://a.example/?{since}", "https://A.example/?x={since}"]})),
            "urls",
            "a source of its own",
        ),
        (with(json!({"paging": "link"})), "urls", "never fills in"),
        (with(json!({"start_urls": "https://a.example/"})), "start_urls", "remove it"),
        (with(json!({"cursor": "/a"})), "cursor", "remove it"),
        (with(json!({"records": "a"})), "records", "JSON Pointer"),
        (with(json!({"wrap": ""})), "wrap", "name of a member"),
        (with(json!({"interval": "10ms"})), "interval", "between 100ms and 1day"),
        (with(json!({"timeout": "5m"})), "timeout", "between"),
        (with(json!({"backoff_max": "0s"})), "backoff_max", "between"),
        (with(json!({"overlap": "48h"})), "overlap", "between"),
        (with(json!({"start": "yesterday"})), "start", "neither `now` nor an age"),
        (with(json!({"page_size": 0})), "page_size", "between 1 and"),
        (with(json!({"pages_max": 1_000_000})), "pages_max", "between 1 and"),
        (with(json!({"page_bytes_max": 1_u64 << 40})), "page_bytes_max", "between 1 and"),
        (by_cursor(json!({"start_urls": []})), "start_urls", "for each of"),
        (
            by_cursor(json!({"start_urls": "https://a.example/?{cursor}"})),
            "start_urls",
            "not known",
        ),
        (by_cursor(json!({"start_urls": "https://b.example/"})), "start_urls", "the host"),
        (by_cursor(json!({"cursor": "next"})), "cursor", "JSON Pointer"),
        (by_cursor(json!({"cursor": ""})), "cursor", "must be the place"),
        (by_cursor(json!({"urls": "https://a.example/"})), "urls", "must have {cursor}"),
        (with(json!({"auth": 1})), "auth", "is not valid"),
        (with(json!({"auth": {"header": "X"}})), "auth.secret_file", "must name a file"),
        (with(json!({"auth": {"header": "a b", "secret_file": "/s"}})), "auth.header", "no name"),
        (with(json!({"auth": {"prefix": "ü", "secret_file": "/s"}})), "auth.prefix", "printable"),
        (client(json!({"secret_file": "/s"})), "auth", "two ways"),
        (client(json!({"token_url": "http://kc.example/t"})), "auth.token_url", "https URL"),
        (client(json!({"token_url": ""})), "auth.token_url", "must be the URL"),
        (client(json!({"client_id": ""})), "auth.client_id", "must be the id"),
        (client(json!({"client_secret_file": null})), "auth.client_secret_file", "must name"),
        (client(json!({"client_auth": "jwt"})), "auth.client_auth", "unknown variant"),
    ] {
        let found = read(json!({}), own.clone()).expect_err("refused");
        assert_eq!(found.key, format!("poll.{key}"), "{own}: {found:?}");
        assert!(found.rule.contains(rule), "{own}: {found:?}");
    }
    assert!(read(json!({}), by_cursor(json!({}))).is_ok());
    assert!(read(json!({}), client(json!({}))).is_ok());
}
