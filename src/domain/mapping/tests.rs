//! Whole mappings: what comes of records, and what does not load.

mod load;
mod totality;

use serde_json::{Value, json};

use super::*;
use crate::domain::time::Timestamp;

/// 2026-04-02T08:00:00Z
const RECEIVED: Timestamp = Timestamp::from_millis(1_775_116_800_000);

#[track_caller]
fn settings(toml: &str) -> MappingSettings {
    toml::from_str(toml).unwrap_or_else(|error| panic!("{error}: {toml}"))
}

#[track_caller]
fn mapping(toml: &str) -> Mapping {
    let mapping = Mapping::compile(None, &settings(toml), "kc", &[]);
    mapping.unwrap_or_else(|error| panic!("{error}"))
}

fn apply(mapping: &Mapping, record: &Value) -> Vec<MappedResult> {
    mapping.apply(record, &RequestFacts::default(), RECEIVED).results
}

/// Returns the events of a record, which gives nothing else.
#[track_caller]
fn events(mapping: &Mapping, record: &Value) -> Vec<Value> {
    let event = |result| match result {
        MappedResult::Emit { event, .. } => event,
        other => panic!("{other:?}"),
    };
    apply(mapping, record).into_iter().map(event).collect()
}

/// Checks a record that gives one result without an event.
#[track_caller]
fn gives(mapping: &Mapping, record: &Value, kind: &str, rule: Option<&str>, why: &str) {
    let results = apply(mapping, record);
    let found = match results.as_slice() {
        [MappedResult::Dropped { rule, why }] => ("dropped", rule, why),
        [MappedResult::Rejected { rule, why, alarm: false, .. }] => ("rejected", rule, why),
        [MappedResult::Rejected { rule, why, alarm: true, .. }] => ("alarm", rule, why),
        other => panic!("{record}: {other:?}"),
    };
    assert_eq!(found.0, kind, "{record}: {found:?}");
    assert_eq!(found.1.as_ref().map(RuleName::as_str), rule, "{record}");
    assert!(found.2.contains(why), "{record}: {}", found.2);
}

/// The rules of a webhook with the traits of Keycloak's.
const KEYCLOAK: &str = r#"
type = "/type"
id = "{/id}"
time = { from = "/time", unit = "ms" }
decode = [ { at = "/representation", as = "json", optional = true } ]
vars = { iss = "https://login.example/realms/staff" }

[maps.credential]
values = { password = "password", otp = "app", webauthn = "fido2-roaming" }

[[guards]]
name = "errors"
when = { "/error" = { exists = true } }
drop = "failed"

[[rules]]
name = "logout"
when = { "/type" = "access.LOGOUT" }
unless = { "/details/reason" = "user_session_expired" }
emit = "caep:session-revoked"
id = "session-revoked/{/userId}/{/sessionId}"
event = { initiating_entity = "user", reason_admin = { en = "signed out" } }
[rules.subject]
user = { iss_sub = { iss = "{var:iss}", sub = "{/userId}" } }
session = { opaque = "{/sessionId|not_uuid}", optional = true }

[[rules]]
name = "reset-password"
when = { "/type" = "admin.USER-ACTION", "/resourcePath" = { regex = "^users/(?<user>[0-9a-z-]+)/reset-password$" } }
emit = "caep:credential-change"
subject = { iss_sub = { iss = "{var:iss}", sub = "{capture:user}" } }
event = { credential_type = "password", change_type = "update", initiating_entity = "admin" }

[[rules]]
name = "realm-logout"
when = { "/type" = "admin.REALM-ACTION", "/resourcePath" = "logout-all" }
alarm = "every session of the realm was ended, and no subject is named"

[[rules]]
name = "credential"
when = { "/type" = ["access.UPDATE_CREDENTIAL", "access.REMOVE_CREDENTIAL"] }
emit = "caep:credential-change"
subject = { iss_sub = { iss = "{var:iss}", sub = "{/userId}" } }
[rules.event]
credential_type = { from = "/details/credential_type", map = "credential" }
change_type = { from = "/type", map = { values = { "access.REMOVE_CREDENTIAL" = "delete" }, default = "update" } }
friendly_name = { from = "/details/label", optional = true }
initiating_entity = "user"

[[rules]]
name = "enabled"
when = { "/type" = "admin.USER-UPDATE", "/representation/enabled" = { exists = true } }
on_change = { key = "{/resourcePath|segment:-1}", value = "{/representation/enabled}", first = [false] }
emit = { from = "/representation/enabled", map = { values = { true = "risc:account-enabled", false = "risc:account-disabled" } } }
subject = { iss_sub = { iss = "{var:iss}", sub = "{/resourcePath|segment:-1}" } }
"#;

fn user(sub: &str) -> Value {
    json!({"format": "iss_sub", "iss": "https://login.example/realms/staff", "sub": sub})
}

#[test]
fn a_record_gives_the_published_form_of_an_event() {
    let record = json!({"id": "e-1", "type": "access.LOGOUT", "time": 1_775_000_100_123_i64,
        "userId": "u-1", "sessionId": "s-88", "details": {}});
    let mapped = mapping(KEYCLOAK).apply(&record, &RequestFacts::default(), RECEIVED);
    assert_eq!(mapped.native_id.as_deref(), Some("e-1"));
    assert_eq!(mapped.native_type.as_deref(), Some("access.LOGOUT"));
    assert_eq!(mapped.time, Some(Timestamp::from_millis(1_775_000_100_123)));
    assert!(!mapped.time_was_ahead);
    let event = json!({
        "id": "session-revoked/u-1/s-88", "type": "caep:session-revoked",
        "sub_id": {"format": "complex", "user": user("u-1"),
            "session": {"format": "opaque", "id": "s-88"}},
        "event": {"initiating_entity": "user", "reason_admin": {"en": "signed out"},
            "event_timestamp": 1_775_000_100},
    });
    let rule = mapping(KEYCLOAK).rules().find(|rule| rule.as_str() == "logout").cloned();
    let rule = rule.expect("the rule is active");
    assert_eq!(mapped.results, [MappedResult::Emit { rule, event, gate: None }]);
}

#[test]
fn the_first_rule_that_matches_decides() {
    let kc = mapping(KEYCLOAK);
    let logout = |more: Value| {
        let mut record = json!({"id": "e-1", "type": "access.LOGOUT", "userId": "u-1",
            "sessionId": "s-88"});
        record.as_object_mut().expect("an object").extend(more.as_object().expect("more").clone());
        record
    };
    gives(&kc, &logout(json!({"error": "x"})), "dropped", Some("errors"), "failed");
    let expired = json!({"details": {"reason": "user_session_expired"}});
    gives(&kc, &logout(expired), "dropped", None, UNMATCHED);
    gives(&kc, &json!({"type": "access.LOGIN"}), "dropped", None, UNMATCHED);
    gives(&kc, &json!({"type": 7}), "dropped", None, UNMATCHED);
    gives(&kc, &json!([]), "dropped", None, UNMATCHED);
    let realm = json!({"type": "admin.REALM-ACTION", "resourcePath": "logout-all"});
    gives(&kc, &realm, "alarm", Some("realm-logout"), "no subject is named");

    let reset = json!({"id": "e", "type": "admin.USER-ACTION",
        "resourcePath": "users/8edf-9283/reset-password"});
    let event = &events(&kc, &reset)[0];
    assert_eq!(event["sub_id"], user("8edf-9283"));
    assert_eq!(event["id"], "kc/e/reset-password");
    assert_eq!(event["event"]["event_timestamp"], 1_775_116_800);
}

#[test]
fn a_missing_value_rejects_with_the_rule_and_the_path() {
    let kc = mapping(KEYCLOAK);
    let record = json!({"id": "e", "type": "access.UPDATE_CREDENTIAL",
        "details": {"credential_type": "otp"}});
    assert_eq!(
        apply(&kc, &record),
        [MappedResult::Rejected {
            rule: kc.rules().find(|rule| rule.as_str() == "credential").cloned(),
            path: Some("/userId".to_owned()),
            why: "`/userId` is missing".to_owned(),
            alarm: false,
        }]
    );
    let unknown = json!({"id": "e", "type": "access.UPDATE_CREDENTIAL", "userId": "u-1",
        "details": {"credential_type": "palm"}});
    gives(&kc, &unknown, "rejected", Some("credential"), "the map `credential` has no entry");
    let event = json!({"id": "e", "type": "access.REMOVE_CREDENTIAL", "userId": "u-1",
        "details": {"credential_type": "otp"}});
    let members = &events(&kc, &event)[0]["event"];
    assert_eq!(members["credential_type"], "app");
    assert_eq!(members["change_type"], "delete");
    assert_eq!(members.get("friendly_name"), None);
}

#[test]
fn a_session_that_is_not_named_makes_no_event_for_all_sessions() {
    let record = json!({"id": "e", "type": "access.LOGOUT", "userId": "u-1",
        "sessionId": "8edf9283-99e9-4135-a72b-fc0402eefcbe"});
    gives(&mapping(KEYCLOAK), &record, "rejected", Some("logout"), "names no session");
    let allowed = mapping(&format!("scope = \"user\"\n{KEYCLOAK}"));
    let event = &events(&allowed, &record)[0];
    assert_eq!(event["sub_id"], json!({"format": "complex", "user": user("u-1")}));
}

#[test]
fn a_gate_comes_with_its_state_and_key() {
    let kc = mapping(KEYCLOAK);
    let update = |representation: Value| {
        json!({"id": "e", "type": "admin.USER-UPDATE", "resourcePath": "users/u-7",
            "representation": representation})
    };
    for (text, event_type, value) in [
        (r#"{"enabled":false}"#, "risc:account-disabled", false),
        (r#"{"enabled":true,"email":"x"}"#, "risc:account-enabled", true),
    ] {
        let results = apply(&kc, &update(json!(text)));
        let [MappedResult::Emit { event, gate: Some(gate), .. }] = results.as_slice() else {
            panic!("{results:?}");
        };
        assert_eq!(event["type"], event_type);
        // RISC's types have no time of their own.
        assert_eq!(event["event"], json!({}));
        let expected = Gate {
            state: "enabled".to_owned(),
            key: "u-7".to_owned(),
            value: json!(value),
            first: First::Values(vec![json!(false)]),
        };
        assert_eq!(*gate, expected);
    }
    gives(&kc, &update(json!(r#"{"email":"x"}"#)), "dropped", None, UNMATCHED);
    gives(&kc, &update(json!("not JSON")), "dropped", None, UNMATCHED);
    gives(&kc, &update(json!(null)), "dropped", None, UNMATCHED);
}

#[test]
fn a_document_that_must_be_decoded_rejects_the_records_that_need_it() {
    let toml = KEYCLOAK.replace(", optional = true } ]", " } ]");
    let kc = mapping(&toml);
    let broken = json!({"type": "admin.USER-UPDATE", "representation": "{"});
    gives(&kc, &broken, "rejected", None, "`/representation` cannot be decoded as JSON");
    let absent = json!({"type": "admin.USER-UPDATE"});
    gives(&kc, &absent, "rejected", None, "`/representation` is missing");
    // A record whose rules do not look into the document does not need it.
    gives(&kc, &json!({"type": "access.LOGIN"}), "dropped", None, UNMATCHED);
}

/// The rules of an event hook with the traits of Okta's.
const OKTA: &str = r#"
records = "$.data.events[*]"
type = "/eventType"
id = "{/uuid}"
time = { from = "/published" }

[let]
by = { switch = [ { when = { "/actor/type" = "SystemPrincipal" }, const = "system" }, { when = { "let:user" = { same_as = "/actor/id" } }, const = "user" } ], default = "admin" }
user = { first = ["$.target[?@.type=='User'].id", "/actor/id"] }

[[guards]]
name = "not-done"
when = { "/outcome/result" = { not = ["SUCCESS"] } }
drop = "failed"

[[rules]]
name = "session-end"
when = { "/eventType" = "user.session.end" }
emit = "caep:session-revoked"
txn = { from = "/transaction/id", optional = true }
event = { initiating_entity = "{let:by}" }
[rules.subject]
user = { opaque = "{let:user}" }
session = { opaque = { from = "/authenticationContext/externalSessionId" } }

[[rules]]
name = "factor"
when = { "/eventType" = { prefix = "user.mfa.factor." } }
emit = "caep:credential-change"
subject = { opaque = "{let:user}" }
subject_identifiers = [ { email = "{/target/0/alternateId}", optional = true }, { opaque = "n-{/target/0/no}", optional = true } ]
[rules.event]
credential_type = { from = "/factor", map = { values = { FIDO_WEBAUTHN = "fido2-roaming" }, default = "app" } }
change_type = { from = "/eventType", fn = "suffix_after:.", map = { values = { activate = "create", deactivate = "delete" }, default = "update" } }
initiating_entity = "{let:by}"
"#;

#[test]
fn a_batch_is_split_and_named_values_are_shared() {
    let okta = mapping(OKTA);
    let body = json!({"data": {"events": [
        {"uuid": "e1", "published": "2026-04-02T07:00:00.000Z", "eventType": "user.session.end",
            "outcome": {"result": "SUCCESS"}, "actor": {"id": "00u41", "type": "User"},
            "authenticationContext": {"externalSessionId": "s88"}, "target": [],
            "transaction": {"id": "t-1"}},
        {"uuid": "e2", "published": "2026-04-02T07:00:01.000Z",
            "eventType": "user.mfa.factor.deactivate", "outcome": {"result": "SUCCESS"},
            "actor": {"id": "00uops", "type": "User"}, "factor": "FIDO_WEBAUTHN",
            "target": [{"id": "00u41", "type": "User", "alternateId": "kim@corp.example"}]},
        {"uuid": "e3", "eventType": "user.session.end", "outcome": {"result": "FAILURE"}},
    ]}});
    let records = okta.split(&body);
    assert_eq!(records.len(), 3);

    let end = &events(&okta, records[0])[0];
    assert_eq!(end["txn"], "t-1");
    assert_eq!(
        end["event"],
        json!({"initiating_entity": "user", "event_timestamp": 1_775_113_200})
    );
    assert_eq!(end["sub_id"]["user"], json!({"format": "opaque", "id": "00u41"}));

    let factor = &events(&okta, records[1])[0];
    assert_eq!(factor["id"], "kc/e2/factor");
    assert_eq!(factor.get("txn"), None);
    assert_eq!(
        factor["subject_identifiers"],
        json!([{"format": "email", "email": "kim@corp.example"}])
    );
    let members = json!({"credential_type": "fido2-roaming", "change_type": "delete",
        "initiating_entity": "admin", "event_timestamp": 1_775_113_201});
    assert_eq!(factor["event"], members);
    gives(&okta, records[2], "dropped", Some("not-done"), "failed");

    assert!(okta.split(&json!({"eventType": "com.okta.event_hook"})).is_empty());
    assert!(okta.split(&json!({"data": {"events": []}})).is_empty());
}

#[test]
fn a_body_is_one_record_or_an_array_of_them() {
    let plain = mapping("");
    let (one, two) = (json!({"a": 1}), json!([{"a": 1}, {"a": 2}]));
    assert_eq!(plain.split(&one), [&one]);
    assert_eq!(plain.split(&two), [&two[0], &two[1]]);
    let pointer = mapping("records = \"/value\"");
    assert_eq!(pointer.split(&json!({"value": [1, 2]})), [&json!(1), &json!(2)]);
    assert_eq!(pointer.split(&json!({"value": {"a": 1}})), [&json!({"a": 1})]);
    assert!(pointer.split(&json!({"other": 1})).is_empty());
}

#[test]
fn a_rule_with_each_is_applied_to_the_elements_that_pass() {
    let fleet = mapping(
        r#"
        id = "{/policy}-{/at}"
        [[rules]]
        name = "failing"
        each = "/hosts"
        when = { "each:/kind" = "mac", "/policy" = { exists = true } }
        also = true
        emit = "caep:device-compliance-change"
        subject = { device = { opaque = "{each:/id}" } }
        event = { previous_status = "compliant", current_status = "not-compliant" }
        [[rules]]
        name = "tagged"
        each = "$.hosts[?@.tag]"
        emit = "risc:account-disabled"
        subject = { opaque = "{each:$.tags[?@.n=='x'].v}" }
        "#,
    );
    let record = json!({"policy": 3, "at": "t", "hosts": [
        {"id": 9, "kind": "mac"}, {"id": 10, "kind": "win"},
        {"id": 11, "kind": "mac", "tag": true, "tags": [{"n": "x", "v": "xv"}]}]});
    let found: Vec<_> = events(&fleet, &record)
        .iter()
        .map(|event| format!("{} {}", event["id"], event["sub_id"]))
        .collect();
    let device =
        |id: &str| format!(r#"{{"device":{{"format":"opaque","id":"{id}"}},"format":"complex"}}"#);
    assert_eq!(
        found,
        [
            format!("\"kc/3-t/failing/0\" {}", device("9")),
            format!("\"kc/3-t/failing/2\" {}", device("11")),
            "\"kc/3-t/tagged/0\" {\"format\":\"opaque\",\"id\":\"xv\"}".to_owned(),
        ]
    );
    gives(&fleet, &json!({"policy": 3, "hosts": []}), "dropped", None, UNMATCHED);
    gives(&fleet, &json!({"policy": 3}), "dropped", None, UNMATCHED);
    let many = vec![json!({"id": 1, "kind": "mac"}); ELEMENTS_MAX + 1];
    let many = json!({"policy": 3, "hosts": many});
    gives(&fleet, &many, "rejected", Some("failing"), "more than 1000 elements");
}

#[test]
fn a_record_without_an_id_is_known_by_its_content() {
    let rule = r#"
        [[rules]]
        name = "gone"
        emit = "risc:account-purged"
        subject = { opaque = "{/u}" }
        "#;
    let map = mapping(&format!("id = \"{{/id}}\"\n{rule}"));
    let id = |record: Value, query: &str| {
        let query = [("hook".to_owned(), query.to_owned())];
        let request = RequestFacts::new([], query);
        let mapped = map.apply(&record, &request, RECEIVED);
        let MappedResult::Emit { event, .. } = &mapped.results[0] else { panic!("{mapped:?}") };
        event["id"].as_str().expect("a text").to_owned()
    };
    assert_eq!(id(json!({"u": "1", "id": "e"}), "a"), "kc/e/gone");
    assert_eq!(id(json!({"u": "1", "id": 41}), "a"), "kc/41/gone");
    let first = id(json!({"u": "1"}), "a");
    assert!(first.starts_with("kc/sha256-") && first.ends_with("/gone"), "{first}");
    assert_eq!(first, id(json!({"u": "1"}), "a"));
    assert_ne!(first, id(json!({"u": "1"}), "b"));
    assert_ne!(first, id(json!({"u": "1", "t": 1}), "a"));
    // A long id would be refused, so its hash stands for it.
    let long = id(json!({"u": "1", "id": "i".repeat(300)}), "a");
    assert_eq!(long.len(), "sha256-".len() + 64);
}

#[test]
fn a_time_ahead_is_told_and_not_believed() {
    let record = json!({"type": "access.LOGOUT", "time": 1_775_999_999_000_i64, "userId": "u",
        "sessionId": "s"});
    let mapped = mapping(KEYCLOAK).apply(&record, &RequestFacts::default(), RECEIVED);
    assert!(mapped.time_was_ahead);
    assert_eq!(mapped.time, Some(Timestamp::from_millis(1_775_999_999_000)));
    let MappedResult::Emit { event, .. } = &mapped.results[0] else { panic!("{mapped:?}") };
    assert_eq!(event["event"]["event_timestamp"], RECEIVED.as_secs());
}

#[test]
fn an_event_has_a_bounded_size() {
    let map = mapping(
        r#"
        [[rules]]
        name = "wide"
        each = "/list"
        emit = "caep:session-presented"
        subject = { opaque = "u" }
        event = { x_all = "{/big}" }
        "#,
    );
    let record = json!({"list": vec![1; 500], "big": "b".repeat(60_000)});
    let results = apply(&map, &record);
    let fits = |result: &&MappedResult| matches!(result, MappedResult::Emit { .. });
    let emitted = results.iter().filter(fits).count();
    assert!((1..=OUTPUT_BYTES_MAX / 60_000).contains(&emitted), "{emitted}");
    assert_eq!(results.len(), emitted + 1);
    let MappedResult::Rejected { why, .. } = &results[emitted] else { panic!("{results:?}") };
    assert!(why.contains("more than 2097152 bytes"), "{why}");
}

#[test]
fn unmatched_records_are_rejected_where_the_mapping_says_so() {
    let strict = mapping("unmatched = \"reject\"");
    gives(&strict, &json!({"type": "x"}), "rejected", None, UNMATCHED);
}

#[test]
fn a_trace_tells_why_each_rule_did_not_match() {
    let okta = mapping(OKTA);
    let record = json!({"eventType": "user.session.end", "outcome": {"result": "SUCCESS"},
        "actor": {"id": "u"}, "authenticationContext": {"externalSessionId": "s"}});
    let (mapped, trace) = okta.apply_traced(&record, &RequestFacts::default(), RECEIVED);
    assert_eq!(mapped, okta.apply(&record, &RequestFacts::default(), RECEIVED));
    let trace: Vec<_> = trace.iter().map(|one| json!(one)).collect();
    assert_eq!(
        trace,
        [
            json!({"rule": "not-done", "outcome": "failed", "path": "/outcome/result", "test": "not"}),
            json!({"rule": "session-end", "outcome": "matched"}),
            json!({"rule": "factor", "outcome": "not_reached"}),
        ]
    );
}

#[test]
fn a_subject_and_members_are_copied_from_a_relayed_event() {
    let relay = mapping(
        r#"
        id = "{/jti}"
        [[rules]]
        name = "revoked"
        when = { "/events/sr" = { exists = true } }
        emit = "caep:session-revoked"
        subject = { copy = "/sub_id" }
        event = { copy = "/events/sr", initiating_entity = { from = "/by", optional = true } }
        "#,
    );
    let session = json!({"format": "complex", "session": {"format": "opaque", "id": "s"}});
    let set = |subject: &Value, event: Value| json!({"jti": "j", "sub_id": subject, "events": {"sr": event}, "by": "admin"});
    let members = json!({"event_timestamp": 1_775_000_000, "initiating_entity": "user", "x": [1]});
    let event = &events(&relay, &set(&session, members))[0];
    assert_eq!(event["sub_id"], session);
    let expected =
        json!({"event_timestamp": 1_775_000_000, "initiating_entity": "admin", "x": [1]});
    assert_eq!(event["event"], expected);
    let alone = json!({"format": "opaque", "id": "u"});
    gives(&relay, &set(&alone, json!({})), "rejected", Some("revoked"), "names no session");
    gives(&relay, &set(&session, json!("x")), "rejected", Some("revoked"), "is no object");
    gives(&relay, &set(&json!("u"), json!({})), "rejected", Some("revoked"), "is no object");
    gives(&relay, &set(&session, json!(null)), "dropped", None, UNMATCHED);
}
