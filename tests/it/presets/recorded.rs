//! Records of a real Keycloak and a real Ory Kratos, as they were sent. `table.md` in each folder
//! says how they were made and what each must give, and `results.json` has that as data.
//!
//! A result is `drop`, `reject`, or an event. `enabled` is the result if the rules for it are
//! enabled, and `scoped` the one if the source says `scope = "user"`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
};

use aws_lc_rs::hmac;
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use serde::Deserialize;
use serde_json::{Value, json};
use ssfd::domain::{
    mapping::{Gate, Mapped, MappedResult, Mapping, MappingSettings, Preset, RequestFacts},
    time::Timestamp,
};

const KEYCLOAK_ISSUER: &str = "https://localhost:13443/realms/main";
const KRATOS_ISSUER: &str = "https://login.corp.example";

/// The files beside the records.
const NO_RECORDS: [&str; 6] =
    ["results", "rest-events", "rest-admin-events", "table", "ssf-keycloak-metadata", "signatures"];

/// Sessions of Keycloak whose first sign-in was not recorded.
const EARLIER_SESSIONS: [&str; 1] = ["9Qc5K04aRFXgbDnVg_F_K0hS"];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    records: Vec<String>,
    result: Value,
    enabled: Option<Value>,
    scoped: Option<Value>,
    gate: Option<String>,
    /// The session is known already, so the event repeats the key of an earlier one.
    #[serde(default)]
    known: bool,
}

/// The choices of an operator.
#[derive(Clone, Copy, Debug)]
struct Choice {
    enabled: bool,
    scoped: bool,
}

const CHOICES: [Choice; 4] = [
    Choice { enabled: false, scoped: false },
    Choice { enabled: true, scoped: false },
    Choice { enabled: false, scoped: true },
    Choice { enabled: true, scoped: true },
];

fn folder(sender: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/it/sources/payloads").join(sender)
}

fn read(sender: &str, file: &str) -> Vec<u8> {
    fs::read(folder(sender).join(file)).expect("a recorded file")
}

fn record(sender: &str, name: &str) -> Value {
    let body = read(sender, &format!("{name}.json"));
    serde_json::from_slice(&body).expect("a record is JSON")
}

fn rows(sender: &str) -> Vec<Row> {
    serde_json::from_slice(&read(sender, "results.json")).expect("the table as data")
}

/// The recorded bodies whose names begin with one of these texts.
fn recorded(sender: &str, prefixes: &[&str]) -> BTreeSet<String> {
    let entries = fs::read_dir(folder(sender)).expect("a folder of records");
    let names = entries.map(|entry| entry.expect("an entry of it").file_name());
    let names = names.map(|name| name.into_string().expect("named in ASCII"));
    let bodies = names.filter_map(|name| name.strip_suffix(".json").map(str::to_owned));
    let is_record = |name: &String| {
        !NO_RECORDS.contains(&name.as_str())
            && prefixes.iter().any(|prefix| name.starts_with(prefix))
    };
    bodies.filter(is_record).collect()
}

/// Compiles a preset. Those without an issuer take it from the record.
fn mapping(preset: &str, issuer: &str, enable: &[&str], choice: Choice) -> Mapping {
    let preset = Preset::find(preset).expect("a preset");
    let mut settings = json!({});
    if preset.vars.contains_key("issuer") {
        settings["vars"] = json!({"issuer": issuer});
    }
    if choice.enabled {
        settings["enable"] = json!(enable);
    }
    if choice.scoped {
        settings["scope"] = json!("user");
    }
    let settings: MappingSettings = serde_json::from_value(settings).expect("settings");
    Mapping::compile(Some(preset), &settings, "login", &[]).expect("a preset compiles")
}

fn apply(mapping: &Mapping, record: &Value, request: &RequestFacts) -> Mapped {
    // One hour after the last record.
    mapping.apply(record, request, Timestamp::from_millis(1_795_964_000_000))
}

fn no_request() -> RequestFacts {
    RequestFacts::new(BTreeMap::new(), BTreeMap::new())
}

/// Returns the result that a row expects.
fn expected(row: &Row, choice: Choice) -> &Value {
    let scoped = row.scoped.as_ref().filter(|_| choice.scoped);
    let enabled = row.enabled.as_ref().filter(|_| choice.enabled);
    scoped.or(enabled).unwrap_or(&row.result)
}

/// Compares a result with that of the table, and returns the event and its gate.
#[track_caller]
fn check<'a>(
    name: &str,
    mapped: &'a Mapped,
    expected: &Value,
) -> Option<(&'a Value, Option<&'a Gate>)> {
    let [result] = mapped.results.as_slice() else { panic!("{name}: {:?}", mapped.results) };
    let kind = match result {
        MappedResult::Dropped { .. } => "drop",
        MappedResult::Rejected { alarm: false, .. } => "reject",
        MappedResult::Rejected { alarm: true, .. } => "alarm",
        MappedResult::Emit { event, gate, .. } => {
            assert!(expected.is_object(), "{name}: {expected} expected, found {event}");
            for (member, value) in expected.as_object().expect("an object") {
                assert_eq!(&event[member], value, "{name}: `{member}`");
            }
            assert!(event.get("subject_identifiers").is_none(), "{name}: {event}");
            return Some((event, gate.as_ref()));
        }
    };
    assert_eq!(*expected, kind, "{name}: {result:?}");
    None
}

/// Checks that the gate of an event does what the table says, for an account that was never seen, is
/// known to be enabled, and is known to be disabled.
#[track_caller]
fn check_gate(name: &str, gate: Option<&Gate>, expected: Option<&str>) {
    let admitted = match expected {
        None => {
            assert_eq!(gate, None, "{name}");
            return;
        }
        Some("unless-disabled") => [true, true, false],
        Some("if-disabled") => [false, false, true],
        Some(other) => panic!("{name}: no such gate as {other}"),
    };
    let gate = gate.unwrap_or_else(|| panic!("{name} has no gate"));
    let found = [None, Some(true), Some(false)].map(|enabled| match enabled {
        None => gate.first.admits(&gate.value),
        Some(enabled) => gate.value != enabled,
    });
    assert_eq!(found, admitted, "{name}: {gate:?}");
}

/// The presets of Keycloak with the prefix of the records of each.
const KEYCLOAK: [(&str, &str); 2] = [("http-", "keycloak-http"), ("webhook-", "keycloak-webhook")];

#[test]
fn each_record_of_keycloak_gives_the_result_of_its_table() {
    let rows = rows("keycloak");
    let listed: BTreeSet<_> = rows.iter().flat_map(|row| row.records.clone()).collect();
    assert_eq!(listed, recorded("keycloak", &["http-", "webhook-"]));
    for choice in CHOICES {
        for (prefix, preset) in KEYCLOAK {
            let opt_in = ["login", "refresh-token-revoked"];
            let mapping = mapping(preset, KEYCLOAK_ISSUER, &opt_in, choice);
            for row in &rows {
                for name in row.records.iter().filter(|name| name.starts_with(prefix)) {
                    let mapped = apply(&mapping, &record("keycloak", name), &no_request());
                    let name = format!("{name}, {choice:?}");
                    if let Some((_, gate)) = check(&name, &mapped, expected(row, choice)) {
                        check_gate(&name, gate, row.gate.as_deref());
                    }
                }
            }
        }
    }
}

/// A second sign-in of a session repeats the key of the first, so that it gives no second SET.
#[test]
fn only_the_first_sign_in_of_a_session_has_a_new_key() {
    let choice = Choice { enabled: true, scoped: false };
    for (prefix, preset) in KEYCLOAK {
        let mapping = mapping(preset, KEYCLOAK_ISSUER, &["login"], choice);
        let mut sign_ins = Vec::new();
        for row in rows("keycloak") {
            for name in row.records.iter().filter(|name| name.starts_with(prefix)) {
                let record = record("keycloak", name);
                let mapped = apply(&mapping, &record, &no_request());
                if let [MappedResult::Emit { event, .. }] = mapped.results.as_slice()
                    && event["type"] == "caep:session-established"
                {
                    sign_ins.push((
                        record["time"].as_i64(),
                        row.known,
                        name.clone(),
                        event["id"].clone(),
                    ));
                }
            }
        }
        sign_ins.sort_by_key(|(time, ..)| *time);
        let key = |session: &str| json!(format!("session-established/{KEYCLOAK_ISSUER}/{session}"));
        let mut seen: Vec<_> = EARLIER_SESSIONS.map(key).into();
        assert!(8 < sign_ins.len(), "{sign_ins:?}");
        for (_, known, name, key) in sign_ins {
            assert_eq!(seen.contains(&key), known, "{name}: {key}");
            seen.push(key);
        }
    }
}

/// A source with each of the two senders, or with one of them and polling, sends each event once.
#[test]
fn all_ways_of_keycloak_give_an_act_one_key() {
    let choice = Choice { enabled: false, scoped: true };
    let [http, webhook, rest] = ["keycloak-http", "keycloak-webhook", "keycloak-rest"]
        .map(|preset| mapping(preset, KEYCLOAK_ISSUER, &[], choice));
    let id = |mapping: &Mapping, record: &Value| {
        let mapped = apply(mapping, record, &no_request());
        match mapped.results.as_slice() {
            [MappedResult::Emit { event, .. }] => Some(event["id"].clone()),
            _ => None,
        }
    };
    let mut compared = 0;
    for name in recorded("keycloak", &["http-"]) {
        let record_of_http = record("keycloak", &name);
        let of_http = id(&http, &record_of_http);
        assert_eq!(id(&rest, &record_of_http), of_http, "{name}");
        let other = name.replacen("http-", "webhook-", 1);
        // The one record in which the webhook cannot name the session.
        if folder("keycloak").join(format!("{other}.json")).exists()
            && name != "http-update-password-and-sign-out-others-LOGOUT"
        {
            assert_eq!(id(&webhook, &record("keycloak", &other)), of_http, "{name}");
            compared += usize::from(of_http.is_some());
        }
    }
    assert!(20 < compared, "{compared} events of both");
}

#[test]
fn the_answers_of_the_rest_api_are_mapped() {
    for (choice, sign_in) in [(CHOICES[0], false), (CHOICES[1], true)] {
        let mapping = mapping("keycloak-rest", KEYCLOAK_ISSUER, &["login"], choice);
        let answer = record("keycloak", "rest-events");
        let mapped: Vec<_> = mapping.split(&answer);
        let mapped: Vec<_> =
            mapped.into_iter().map(|record| apply(&mapping, record, &no_request())).collect();
        let [token, login, client] = mapped.as_slice() else { panic!("{mapped:?}") };
        check("CODE_TO_TOKEN", token, &json!("drop"));
        check("CLIENT_LOGIN", client, &json!("drop"));
        let (user, session) = ("8edf9283-99e9-4135-a72b-fc0402eefcbe", "j-02-aasRsYqd3uhHfJzTyAc");
        let established = json!({
            "type": "caep:session-established",
            "id": format!("session-established/{KEYCLOAK_ISSUER}/{session}"),
            "sub_id": {
                "format": "complex",
                "user": {"format": "iss_sub", "iss": KEYCLOAK_ISSUER, "sub": user},
                "session": {"format": "opaque", "id": session},
            },
            "event": {"event_timestamp": 1_795_955_907, "reason_admin": {"en": "Keycloak event LOGIN"}},
        });
        check("LOGIN", login, &if sign_in { established } else { json!("drop") });
        let answer = record("keycloak", "rest-admin-events");
        let [record] = mapping.split(&answer)[..] else { panic!("one record was answered") };
        check("USER-UPDATE", &apply(&mapping, record, &no_request()), &json!("drop"));
    }
}

/// Returns the claims of a recorded logout token.
fn claims(file: &str) -> Value {
    let form = String::from_utf8(read("keycloak", file)).expect("ASCII");
    let token = form.trim().strip_prefix("logout_token=").expect("the field of the form");
    let payload = token.split('.').nth(1).expect("a JWS has three parts");
    let payload = BASE64_URL_SAFE_NO_PAD.decode(payload).expect("base64url");
    serde_json::from_slice(&payload).expect("claims")
}

#[test]
fn logout_tokens_of_keycloak_name_user_and_session() {
    let mapping = mapping("logout-token", "", &[], CHOICES[0]);
    let user = "8edf9283-99e9-4135-a72b-fc0402eefcbe";
    for (file, session, time) in [
        ("bcl-logout-browser.txt", "abop0tUfkPNri8mvyq4EjQbm", 1_795_955_418),
        ("bcl-admin-logout-all-sessions.txt", "oVZwSLpHPH5NEDjqZBMTdu6j", 1_795_955_485),
    ] {
        let mapped = apply(&mapping, &claims(file), &no_request());
        let expected = json!({
            "type": "caep:session-revoked",
            "id": format!("session-revoked/{KEYCLOAK_ISSUER}/{user}/{session}"),
            "sub_id": {
                "format": "complex",
                "user": {"format": "iss_sub", "iss": KEYCLOAK_ISSUER, "sub": user},
                "session": {"format": "opaque", "id": session},
            },
            "event": {"event_timestamp": time, "reason_admin": {"en": "back-channel logout"}},
        });
        check(file, &mapped, &expected);
    }
}

/// The token and the records of one sign-out share a key, so that they give one SET.
#[test]
fn a_logout_token_and_a_webhook_of_one_sign_out_share_their_key() {
    let id = |mapping: &Mapping, record: &Value| {
        let mapped = apply(mapping, record, &no_request());
        match mapped.results.as_slice() {
            [MappedResult::Emit { event, .. }] => event["id"].clone(),
            other => panic!("{other:?}"),
        }
    };
    let of_token =
        id(&mapping("logout-token", "", &[], CHOICES[0]), &claims("bcl-logout-browser.txt"));
    for (prefix, preset) in KEYCLOAK {
        let record = record("keycloak", &format!("{prefix}logout-browser-LOGOUT"));
        let of_record = id(&mapping(preset, KEYCLOAK_ISSUER, &[], CHOICES[0]), &record);
        assert_eq!(of_record, of_token, "{preset}");
    }
}

#[test]
fn sets_of_keycloak_are_relayed() {
    let mapping = mapping("set-relay", "", &[], CHOICES[0]);
    let names = recorded("keycloak", &["ssf-"]);
    assert_eq!(names.len(), 8, "{names:?}");
    for name in names {
        let claims = record("keycloak", &name);
        let mapped = apply(&mapping, &claims, &no_request());
        let (uri, event) = claims["events"].as_object().and_then(|e| e.iter().next()).expect("one");
        let expected = if uri.contains("/ssf/") {
            json!("drop")
        } else {
            let short = uri.rsplit('/').next().map(|name| format!("caep:{name}"));
            json!({"type": short, "sub_id": claims["sub_id"], "event": event, "txn": claims["txn"]})
        };
        check(&name, &mapped, &expected);
    }
}

/// The request that brought a recorded body of Kratos: its query and its headers.
fn request(name: &str) -> RequestFacts {
    let head = String::from_utf8(read("kratos", &format!("{name}.headers"))).expect("ASCII");
    let mut lines = head.lines();
    let target = lines.next().and_then(|line| line.split(' ').nth(1)).expect("a request line");
    let query = target.split_once('?').map_or("", |(_, query)| query);
    let pair = |text: &str, mark: &str| {
        let (name, value) = text.split_once(mark)?;
        Some((name.to_owned(), value.trim().to_owned()))
    };
    let headers: BTreeMap<_, _> = lines.filter_map(|line| pair(line, ":")).collect();
    let query: BTreeMap<_, _> = query.split('&').filter_map(|part| pair(part, "=")).collect();
    RequestFacts::new(headers, query)
}

#[test]
fn each_record_of_kratos_gives_the_result_of_its_table() {
    let rows = rows("kratos");
    let listed: BTreeSet<_> = rows.iter().flat_map(|row| row.records.clone()).collect();
    let mut bodies = recorded("kratos", &[""]);
    // Records of each form of authentication, with another body.
    bodies.retain(|name| !name.starts_with("auth--"));
    assert_eq!(listed, bodies);
    for choice in CHOICES {
        let enable = ["email", "step-up", "login", "login-without-session"];
        let mapping = mapping("kratos", KRATOS_ISSUER, &enable, choice);
        for row in &rows {
            for name in &row.records {
                let mapped = apply(&mapping, &record("kratos", name), &request(name));
                assert!(mapped.native_id.is_some(), "{name} has no trigger id");
                check(&format!("{name}, {choice:?}"), &mapped, expected(row, choice));
            }
        }
    }
}

/// The copies are byte for byte what was sent.
#[test]
fn recorded_bodies_still_have_their_signatures() {
    let list = String::from_utf8(read("keycloak", "signatures.tsv")).expect("ASCII");
    let mut verified = 0;
    for (file, signature) in list.lines().filter_map(|line| line.split_once('\t')) {
        let secret = if file.starts_with("http-") { "kc-http-secret" } else { "kc-hook-secret" };
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        let found = hmac::sign(&key, &read("keycloak", file));
        let found =
            found.as_ref().iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
        assert_eq!(found, signature, "{file}");
        verified += 1;
    }
    assert_eq!(verified, recorded("keycloak", &["http-", "webhook-"]).len());
}
