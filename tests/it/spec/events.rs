//! The event types and the required members of each (SSF §8.1.4, CAEP, RISC, OAuth event types).

use serde_json::{Map, Value, json};
use ssfd::config::ProviderSettings;

use crate::harness::{
    daemon::{Daemon, with_provider},
    events::{STREAM_UPDATED, VERIFICATION},
    receiver::Receiver,
    setup::Setup,
    streams::{by_poll, id_of, push_to},
    test_key,
};

const CAEP: &str = "https://schemas.openid.net/secevent/caep/event-type/";
const RISC: &str = "https://schemas.openid.net/secevent/risc/event-type/";
const OAUTH: &str = "https://schemas.openid.net/secevent/oauth/event-type/";

/// For each type of CAEP: its name, an event, and its required members.
fn caep() -> [(&'static str, Value, &'static [&'static str]); 8] {
    let credential = json!({"credential_type": "fido2-roaming", "change_type": "revoke",
        "friendly_name": "blue key", "fido2_aaguid": "accced6a", "x509_issuer": "CN=x"});
    let assurance = json!({"namespace": "NIST-AAL", "current_level": "nist-aal1",
        "previous_level": "nist-aal2", "change_direction": "decrease"});
    let risk = json!({"principal": "USER", "current_level": "HIGH", "previous_level": "LOW",
        "risk_reason": "impossible travel"});
    [
        ("session-revoked", json!({}), &[]),
        ("token-claims-change", json!({"claims": {"role": "viewer"}}), &["claims"]),
        ("credential-change", credential, &["credential_type", "change_type"]),
        ("assurance-level-change", assurance, &["namespace", "current_level"]),
        (
            "device-compliance-change",
            json!({"previous_status": "compliant", "current_status": "not-compliant"}),
            &["previous_status", "current_status"],
        ),
        ("session-established", json!({"acr": "AAL2", "amr": ["pwd", "otp"]}), &[]),
        ("session-presented", json!({"fp_ua": "9ac3", "ext_id": "x1"}), &[]),
        ("risk-level-change", risk, &["principal", "current_level"]),
    ]
}

/// The types of RISC for new Transmitters. Only one of them has a required member.
const RISC_TYPES: [&str; 13] = [
    "account-credential-change-required",
    "account-purged",
    "account-disabled",
    "account-enabled",
    "identifier-changed",
    "identifier-recycled",
    "credential-compromise",
    "opt-in",
    "opt-out-initiated",
    "opt-out-cancelled",
    "opt-out-effective",
    "recovery-activated",
    "recovery-information-changed",
];

/// A Receiver that requests all event types that its provider supports.
pub(super) struct EventChecker {
    setup: Setup,
    supported: Vec<Value>,
}

/// The claims of the SET of an event, or the reason why the event was rejected.
type Outcome = Result<Value, String>;

impl EventChecker {
    pub(super) async fn new(change: impl FnOnce(&mut ProviderSettings)) -> Self {
        let setup = Setup::polling_with(with_provider(change)).await;
        let supported = setup.update(json!({})).await.json()["events_supported"].clone();
        setup.update(json!({"events_requested": supported})).await;
        let supported = supported.as_array().expect("an array").clone();
        Self { setup, supported }
    }

    /// Publishes these events in one request.
    async fn publish(&self, events: impl IntoIterator<Item = Value>) -> Vec<Outcome> {
        // The `txn` identifies the SET of each event.
        let numbered = events.into_iter().enumerate().map(|(n, mut event)| {
            event["txn"] = n.to_string().into();
            event
        });
        let events = Value::Array(numbered.collect());
        let answer = self.setup.daemon.publish(&self.setup.publisher, &events).await.json();
        let answers = answer["events"].as_array().expect("an answer for each");
        let accepted = answers.iter().filter(|answer| answer["streams"] == 1).count();
        let sets = self.setup.take(accepted).await;
        let outcome = |(n, answer): (usize, &Value)| {
            let txn = json!(n.to_string());
            let set = sets.iter().find(|claims| claims["txn"] == txn);
            set.cloned().ok_or_else(|| answer["detail"].as_str().unwrap_or_default().to_owned())
        };
        answers.iter().enumerate().map(outcome).collect()
    }

    async fn publish_one(&self, event: Value) -> Outcome {
        self.publish([event]).await.remove(0)
    }

    /// Asserts that an event is delivered unchanged. It is rejected without a member of `required`,
    /// and with a member of `broken` added or replaced. The rejection names the member.
    async fn check(&self, uri: &str, event: Value, required: &[&str], broken: &[(&str, Value)]) {
        let members = event.as_object().expect("an event is an object").clone();
        let without = required.iter().map(|name| {
            let mut members = members.clone();
            members.remove(*name).expect("every required member is present");
            members
        });
        let with = broken.iter().map(|(name, value)| {
            let mut members = members.clone();
            members.insert((*name).to_owned(), value.clone());
            members
        });
        let changed = without.chain(with);
        let events = std::iter::once(members.clone()).chain(changed);
        let mut outcomes = self.publish(events.map(|members| of(uri, members))).await.into_iter();
        let sent = outcomes.next().expect("an outcome for each").expect("it is valid");
        assert_eq!(sent["events"], json!({uri: event}));
        let names = required.iter().chain(broken.iter().map(|(name, _)| name));
        for (name, outcome) in names.zip(outcomes) {
            let why = outcome.expect_err(name);
            assert!(why.contains(&format!("`{name}`")), "{uri}: no `{name}` in {why}");
        }
    }

    /// Asserts that the profile requires a reason in an event of this type.
    pub(super) async fn check_reason(&self, name: &str) {
        let all = caep();
        let (_, event, _) = all.iter().find(|(one, ..)| *one == name).expect("a type of CAEP");
        let mut event = event.clone();
        event["reason_admin"] = json!({"en": "rule 12"});
        let broken = [json!("rule 12"), json!({}), json!({"en": ""}), json!({"en": " "})];
        let broken = broken.map(|value| ("reason_admin", value));
        self.check(&format!("{CAEP}{name}"), event, &["reason_admin"], &broken).await;
    }
}

/// Returns an event about an e-mail address.
fn of(uri: &str, members: Map<String, Value>) -> Value {
    let subject = json!({"format": "email", "email": "kim@example.com"});
    json!({"type": uri, "sub_id": subject, "event": members})
}

#[actix_web::test]
async fn evt_01_a_control_event_is_about_its_stream() {
    let setup = Setup::polling().await;
    setup.daemon.verify_stream(&setup.token, &setup.stream, "n-4411").await.expect(204);
    let verified = setup.client().polled(&setup.stream).await;
    setup.set_status("paused", "moving").await;
    let announced = setup.client().polled(&setup.stream).await;
    for (claims, uri) in [(&announced[0], STREAM_UPDATED), (&verified[0], VERIFICATION)] {
        assert_eq!(claims["sub_id"], json!({"format": "opaque", "id": setup.stream}));
        assert_eq!(
            claims["events"].as_object().expect("an object").keys().collect::<Vec<_>>(),
            [uri]
        );
    }
}

/// The control event reaches push streams and poll streams.
#[actix_web::test]
async fn evt_02_a_control_event_reaches_a_stream_that_requests_no_events() {
    let mut receiver = Receiver::accepting().await;
    let daemon = Daemon::start().await;
    let client = daemon.client("rx").await;
    for delivery in [push_to(&receiver.url("/in")), by_poll()] {
        let stream = client.create(&json!({"delivery": delivery, "events_requested": []})).await;
        assert_eq!(stream["events_delivered"], json!([]));
        let supported = stream["events_supported"].as_array().expect("an array");
        assert!(!supported.contains(&json!(VERIFICATION)));

        daemon.verify_stream(&client.token, id_of(&stream), "n-4411").await.expect(204);
        let claims = if delivery == by_poll() {
            client.polled(id_of(&stream)).await.remove(0)
        } else {
            receiver.next().await.claims()
        };
        assert_eq!(claims["events"], json!({VERIFICATION: {"state": "n-4411"}}));
    }
}

#[actix_web::test]
async fn evt_03_a_change_by_the_transmitter_is_announced_with_the_status() {
    let setup = Setup::polling().await;
    for status in ["paused", "enabled", "disabled", "enabled"] {
        setup.set_status(status, "by hand").await;
        let sets = setup.client().polled(&setup.stream).await;
        assert_eq!(sets.len(), 1);
        let said = json!({"status": status, "reason": "by hand"});
        assert_eq!(sets[0]["events"], json!({STREAM_UPDATED: said}));
    }
}

/// A publisher may use the short name of a type, but the SET has the URI.
#[actix_web::test]
async fn caep_01_all_eight_types_are_sent_under_their_uris_with_what_they_require() {
    let checker = EventChecker::new(|_| {}).await;
    for (name, event, required) in caep() {
        let uri = format!("{CAEP}{name}");
        assert!(checker.supported.contains(&json!(uri)));
        checker.check(&uri, event.clone(), required, &[]).await;
        let short = of(&format!("caep:{name}"), event.as_object().expect("members").clone());
        let sent = checker.publish_one(short).await.expect("it is valid");
        assert_eq!(sent["events"], json!({uri: event}));
    }
    let others =
        checker.supported.iter().filter(|uri| uri.as_str().expect("a URI").contains("caep"));
    assert_eq!(others.count(), 8);
}

/// Checks a member that every event of CAEP may have, on an event of each type.
async fn check_common(member: &str, valid: &[Value], broken: &[Value]) {
    let checker = EventChecker::new(|_| {}).await;
    for (name, mut event, _) in caep() {
        let uri = format!("{CAEP}{name}");
        for value in valid {
            event[member] = value.clone();
            checker.check(&uri, event.clone(), &[], &[]).await;
        }
        let broken: Vec<_> = broken.iter().map(|value| (member, value.clone())).collect();
        checker.check(&uri, event, &[], &broken).await;
    }
}

#[actix_web::test]
async fn caep_02_initiating_entity_is_one_of_four() {
    let valid = ["admin", "user", "policy", "system"].map(Value::from);
    check_common("initiating_entity", &valid, &[json!("User"), json!("robot")]).await;
}

#[actix_web::test]
async fn caep_03_a_reason_is_an_object_of_texts_by_language() {
    let valid = [json!({"en": "rule 12"}), json!({"en": "Signed out", "de-CH": "Abgemeldet"})];
    let broken =
        [json!("rule 12"), json!({}), json!({"en": 12}), json!({"en_US": "x"}), json!(["en"])];
    for member in ["reason_admin", "reason_user"] {
        check_common(member, &valid, &broken).await;
    }
}

#[actix_web::test]
async fn caep_04_event_timestamp_is_a_number_of_seconds() {
    let valid = [json!(1_775_000_099), json!(1_775_000_099.5)];
    let broken = [json!("1775000099"), json!(1_775_000_099_000_i64)];
    check_common("event_timestamp", &valid, &broken).await;
}

/// Checks values of a member that an event of one type of CAEP must not have.
async fn check_caep(name: &str, broken: &[(&str, Value)]) {
    let all = caep();
    let (_, event, required) = all.iter().find(|(one, ..)| *one == name).expect("a type of CAEP");
    let checker = EventChecker::new(|_| {}).await;
    checker.check(&format!("{CAEP}{name}"), event.clone(), required, broken).await;
}

#[actix_web::test]
async fn caep_05_changed_claims_are_an_object_that_is_not_empty() {
    let broken = [json!({}), json!(["role"]), json!("role"), json!(null)];
    check_caep("token-claims-change", &broken.map(|value| ("claims", value))).await;
}

/// The list of credential types is open.
#[actix_web::test]
async fn caep_06_a_changed_credential_has_its_type_and_one_of_four_changes() {
    let broken = [
        ("credential_type", json!(null)),
        ("change_type", json!("deleted")),
        ("change_type", json!(null)),
    ];
    check_caep("credential-change", &broken).await;
    let checker = EventChecker::new(|_| {}).await;
    for change in ["create", "revoke", "update", "delete"] {
        let event = json!({"credential_type": "palm", "change_type": change});
        checker.check(&format!("{CAEP}credential-change"), event, &[], &[]).await;
    }
}

#[actix_web::test]
async fn caep_07_a_changed_assurance_has_scale_and_level_and_one_of_two_directions() {
    let broken = [
        ("namespace", json!(null)),
        ("current_level", json!(1)),
        ("previous_level", json!(2)),
        ("change_direction", json!("down")),
    ];
    check_caep("assurance-level-change", &broken).await;
}

#[actix_web::test]
async fn caep_08_changed_compliance_has_both_statuses_out_of_two() {
    let broken = ["previous_status", "current_status"]
        .into_iter()
        .flat_map(|name| [(name, json!("Compliant")), (name, json!(true))]);
    check_caep("device-compliance-change", &broken.collect::<Vec<_>>()).await;
}

#[actix_web::test]
async fn caep_09_the_methods_of_a_session_are_an_array_of_strings() {
    let broken = [json!("pwd"), json!(["pwd", null]), json!({"pwd": true})];
    check_caep("session-established", &broken.map(|value| ("amr", value))).await;
}

#[actix_web::test]
async fn caep_10_a_risk_has_its_principal_and_one_of_three_levels_in_upper_case() {
    let broken = [
        ("principal", json!(1)),
        ("current_level", json!("high")),
        ("current_level", json!("CRITICAL")),
        ("previous_level", json!("low")),
    ];
    check_caep("risk-level-change", &broken).await;
}

/// Makes a provider follow the interoperability profile.
pub(super) fn profiled(provider: &mut ProviderSettings) {
    provider.interop = true;
    provider.signing_keys = vec![test_key("test-rsa-2048-pkcs8.pem")];
}

#[actix_web::test]
async fn caep_11_by_the_profile_revocations_and_credential_changes_have_a_reason() {
    let checker = EventChecker::new(profiled).await;
    for name in ["session-revoked", "credential-change"] {
        checker.check_reason(name).await;
    }
    // The profile requires nothing of other types.
    checker.check(&format!("{CAEP}session-presented"), json!({}), &[], &[]).await;
}

/// The fourteenth type is deprecated and is for providers that list it.
#[actix_web::test]
async fn risc_01_all_fourteen_types_are_sent_under_their_uris_and_most_are_empty() {
    let all = RISC_TYPES.into_iter().chain(["sessions-revoked"]);
    let all: Vec<_> = all.map(|name| format!("{RISC}{name}")).collect();
    let checker = EventChecker::new(|provider| provider.events_supported.clone_from(&all)).await;
    assert_eq!(checker.supported, all);
    for uri in &all {
        let mut event = of(uri, Map::new());
        // Each type has an account of its own, because one of them opts its account out.
        let (_, name) = uri.rsplit_once('/').expect("a URI has a path");
        event["sub_id"] = json!({"format": "email", "email": format!("{name}@example.com")});
        if uri.ends_with("/credential-compromise") {
            event["event"] = json!({"credential_type": "password"});
        } else {
            event.as_object_mut().expect("an object").remove("event");
        }
        let expected = event.get("event").cloned().unwrap_or(json!({}));
        let sent = checker.publish_one(event).await.expect("it is valid");
        assert_eq!(sent["events"], json!({uri: expected}));
    }
    let disabled = format!("{RISC}account-disabled");
    checker.check(&disabled, json!({"reason": "hijacking"}), &[], &[("reason", json!(1))]).await;
}

#[actix_web::test]
async fn risc_02_an_identifier_that_changed_is_an_address_or_a_number() {
    let checker = EventChecker::new(|_| {}).await;
    let email = json!({"format": "email", "email": "kim@example.com"});
    let phone = json!({"format": "phone_number", "phone_number": "+12065550100"});
    for name in ["identifier-changed", "identifier-recycled"] {
        let uri = format!("{RISC}{name}");
        let about = |subject: &Value| json!({"type": uri, "sub_id": subject, "event": {}});
        for subject in [&email, &phone] {
            assert_eq!(
                &checker.publish_one(about(subject)).await.expect("valid")["sub_id"],
                subject
            );
        }
        for subject in [
            json!({"format": "opaque", "id": "u-1"}),
            json!({"format": "iss_sub", "iss": "https://idp.example", "sub": "u-1"}),
            json!({"format": "complex", "user": email}),
        ] {
            let why = checker.publish_one(about(&subject)).await.expect_err("another format");
            assert!(why.contains("`sub_id` must have the format `email` or `phone_number`"));
        }
    }
    let changed = format!("{RISC}identifier-changed");
    let new_value = json!({"new-value": "kim.new@example.com"});
    checker.check(&changed, new_value, &[], &[("new-value", json!(7))]).await;
}

#[actix_web::test]
async fn risc_03_a_compromised_credential_has_its_type() {
    let checker = EventChecker::new(|_| {}).await;
    let uri = format!("{RISC}credential-compromise");
    for credential_type in ["password", "pin", "x509", "fido2-platform", "app"] {
        let event = json!({"credential_type": credential_type, "event_timestamp": 1});
        let broken = [("credential_type", json!(null)), ("credential_type", json!(["password"]))];
        checker.check(&uri, event, &["credential_type"], &broken).await;
    }
}

#[actix_web::test]
async fn risc_04_the_deprecated_type_is_neither_offered_nor_sent() {
    let checker = EventChecker::new(|_| {}).await;
    let uri = format!("{RISC}sessions-revoked");
    assert!(!checker.supported.contains(&json!(uri)));
    let asked = checker.setup.update(json!({"events_requested": [uri]})).await.json();
    assert_eq!(asked["events_delivered"], json!([]));
    let why = checker.publish_one(of(&uri, Map::new())).await.expect_err("it is deprecated");
    assert!(why.contains("deprecated for `caep:session-revoked`"), "{why}");
}

/// Until the account opts in again, only events about the choice itself are sent.
#[actix_web::test]
async fn risc_05_no_event_is_sent_about_an_account_that_opted_out() {
    let checker = EventChecker::new(|_| {}).await;
    let email = json!({"format": "email", "email": "kim@example.com"});
    let account = json!({"format": "aliases", "identifiers": [
        email, {"format": "opaque", "id": "u-17"}]});
    let publish = async |name: &str, subject: &Value| {
        let event = json!({"type": format!("{RISC}{name}"), "sub_id": subject});
        checker.publish_one(event).await.is_ok()
    };
    assert!(publish("opt-out-initiated", &account).await);
    assert!(publish("account-disabled", &account).await, "the opt-out is not effective yet");
    assert!(publish("opt-out-effective", &account).await);
    for name in ["account-disabled", "account-purged", "recovery-activated"] {
        assert!(!publish(name, &email).await, "{name}");
        assert!(!publish(name, &json!({"format": "complex", "user": email})).await, "{name}");
        assert!(publish(name, &json!({"format": "email", "email": "lee@example.com"})).await);
    }
    assert!(publish("opt-out-cancelled", &email).await);
    assert!(!publish("account-disabled", &email).await, "the opt-out was already effective");
    let revoked = json!({"type": "caep:session-revoked", "sub_id": email});
    checker.publish_one(revoked).await.expect("the type is not one of RISC");
    assert!(publish("opt-in", &email).await);
    assert!(publish("account-disabled", &account).await);
}

#[actix_web::test]
async fn oet_01_events_of_oauth_are_for_providers_that_list_them_and_have_a_sub_id() {
    let uri = format!("{OAUTH}token-revoked");
    let subject = json!({"format": "opaque", "id": "t-1"});
    let event = json!({"type": uri, "sub_id": subject, "event": {"reason": "user"}});
    let checker = EventChecker::new(|_| {}).await;
    assert!(!checker.supported.contains(&json!(uri)));
    checker.publish_one(event.clone()).await.expect_err("the provider does not list the type");

    let checker = EventChecker::new(|provider| provider.events_supported = vec![uri.clone()]).await;
    assert_eq!(json!(checker.supported), json!([uri]));
    let sent = checker.publish_one(event).await.expect("it is listed");
    assert_eq!((&sent["sub_id"], &sent["events"]), (&subject, &json!({&uri: {"reason": "user"}})));
    // The subject uses a format of the OAuth event types, in the member `sub_id` of today.
    let token = json!({"format": "oauth_token", "token_type": "refresh_token",
        "token_identifier_alg": "plain", "token": "t-1"});
    let sent = checker.publish_one(json!({"type": uri, "sub_id": token})).await;
    assert_eq!(sent.expect("it is a format of OAuth")["sub_id"], token);
    for of_old in [
        json!({"type": uri, "event": {"subject": subject}}),
        json!({"type": uri, "sub_id": subject, "event": {"subject": subject}}),
        json!({"type": uri, "sub_id": {"subject_type": "opaque", "id": "t-1"}}),
    ] {
        checker.publish_one(of_old).await.expect_err("a subject as in 2018");
    }
}
