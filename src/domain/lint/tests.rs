use proptest::{collection::vec, prelude::*};
use serde_json::json;

use super::*;

/// Returns findings such as `MUST member` for an event about an e-mail address.
fn found(event_type: &str, payload: Value, provider: &Provider) -> Vec<String> {
    let subject = json!({"format": "email", "email": "kim@example.com"});
    found_about(subject, event_type, payload, provider)
}

fn found_about(
    subject: Value,
    event_type: &str,
    payload: Value,
    provider: &Provider,
) -> Vec<String> {
    let findings = lint(&event(subject, event_type, payload), provider);
    let short = |f: &Finding| format!("{} {}", f.severity.as_str().to_uppercase(), f.member);
    findings.iter().map(short).collect()
}

fn event(subject: Value, event_type: &str, payload: Value) -> Event {
    let json = json!({"type": event_type, "sub_id": subject, "event": payload});
    let anything = Provider { custom_event_types: true, ..Provider::example() };
    Event::from_json(json, &anything).expect("a valid envelope")
}

/// Checks that the payload is valid, and that each change of it has the expected findings.
#[track_caller]
fn check(event_type: &str, valid: Value, changes: &[(Value, &[&str])]) {
    let provider = Provider::example();
    assert_eq!(found(event_type, valid.clone(), &provider), [""; 0], "{event_type} {valid}");
    for (change, findings) in changes {
        let mut payload = valid.clone();
        for (name, value) in change.as_object().expect("members") {
            let members = payload.as_object_mut().expect("members");
            // This value stands for absence, because a required member may be null.
            if value == "(absent)" {
                members.remove(name);
            } else {
                members.insert(name.clone(), value.clone());
            }
        }
        assert_eq!(found(event_type, payload, &provider), *findings, "{event_type} {change}");
    }
}

/// CAEP-02, CAEP-03, CAEP-04 (CAEP §2).
#[test]
fn the_common_members_of_caep_are_checked() {
    check("caep:session-revoked", json!({}), &[]);
    let all = json!({
        "event_timestamp": 1_775_000_099, "initiating_entity": "policy",
        "reason_admin": {"en": "rule 12"}, "reason_user": {"en": "Signed out", "de-CH": "Abgemeldet"},
    });
    check(
        "caep:session-revoked",
        all,
        &[
            (json!({"event_timestamp": 1_775_000_099_000_i64}), &["MUST event_timestamp"]),
            (json!({"event_timestamp": "1775000099"}), &["MUST event_timestamp"]),
            (json!({"initiating_entity": "User"}), &["MUST initiating_entity"]),
            (json!({"initiating_entity": null}), &[]),
            (json!({"reason_admin": "rule 12"}), &["MUST reason_admin"]),
            (json!({"reason_admin": {}}), &["MUST reason_admin"]),
            (json!({"reason_user": {"en": 12}}), &["MUST reason_user"]),
            (json!({"reason_user": {"en_US": "x"}}), &["MUST reason_user"]),
        ],
    );
}

/// CAEP-05 (CAEP §3.2).
#[test]
fn a_token_claims_change_names_its_claims() {
    check(
        "caep:token-claims-change",
        json!({"claims": {"role": "viewer"}}),
        &[
            (json!({"claims": {}}), &["MUST claims"]),
            (json!({"claims": ["role"]}), &["MUST claims"]),
            (json!({"claims": "(absent)"}), &["MUST claims"]),
        ],
    );
}

/// CAEP-06 (CAEP §3.3).
#[test]
fn a_changed_credential_says_which_and_how() {
    check(
        "caep:credential-change",
        json!({
            "credential_type": "fido2-roaming", "change_type": "revoke",
            "friendly_name": "blue key", "x509_issuer": "CN=x", "x509_serial": "02",
            "fido2_aaguid": "accced6a",
        }),
        &[
            (json!({"credential_type": null}), &["MUST credential_type"]),
            (json!({"credential_type": "(absent)"}), &["MUST credential_type"]),
            // The list is open, so parties that agreed on another value may send it.
            (json!({"credential_type": "palm"}), &["SHOULD credential_type"]),
            (json!({"change_type": "deleted"}), &["MUST change_type"]),
            (json!({"change_type": "(absent)"}), &["MUST change_type"]),
            (json!({"friendly_name": ""}), &["SHOULD friendly_name"]),
            (json!({"x509_issuer": 1}), &["MUST x509_issuer"]),
            (json!({"x509_serial": 2}), &["MUST x509_serial"]),
            (json!({"fido2_aaguid": null}), &[]),
        ],
    );
}

/// CAEP-07 (CAEP §3.4).
#[test]
fn a_changed_assurance_level_has_its_scale_and_direction() {
    check(
        "caep:assurance-level-change",
        json!({
            "namespace": "NIST-AAL", "current_level": "nist-aal1", "previous_level": "nist-aal2",
            "change_direction": "decrease",
        }),
        &[
            (json!({"namespace": "(absent)"}), &["MUST namespace"]),
            (json!({"namespace": "ours"}), &["SHOULD namespace"]),
            (json!({"current_level": "(absent)"}), &["MUST current_level"]),
            (json!({"current_level": 1}), &["MUST current_level"]),
            (json!({"previous_level": 2}), &["MUST previous_level"]),
            (json!({"change_direction": "down"}), &["MUST change_direction"]),
            (json!({"change_direction": "(absent)"}), &["SHOULD change_direction"]),
            (json!({"change_direction": "(absent)", "previous_level": "(absent)"}), &[]),
        ],
    );
}

/// CAEP-08 (CAEP §3.5).
#[test]
fn changed_compliance_has_both_sides() {
    check(
        "caep:device-compliance-change",
        json!({"previous_status": "compliant", "current_status": "not-compliant"}),
        &[
            (json!({"previous_status": "(absent)"}), &["MUST previous_status"]),
            (json!({"current_status": "(absent)"}), &["MUST current_status"]),
            (json!({"previous_status": "Compliant"}), &["MUST previous_status"]),
            (json!({"current_status": "noncompliant"}), &["MUST current_status"]),
        ],
    );
}

/// CAEP-09 (CAEP §3.6, §3.7).
#[test]
fn a_session_has_its_methods_in_an_array() {
    check(
        "caep:session-established",
        json!({"fp_ua": "9ac3", "acr": "AAL2", "amr": ["pwd", "otp"], "ext_id": "x1"}),
        &[
            (json!({"amr": "pwd"}), &["MUST amr"]),
            (json!({"amr": ["pwd", null]}), &["MUST amr"]),
            (json!({"fp_ua": {"hash": "9ac3"}}), &["MUST fp_ua"]),
            (json!({"acr": 2}), &["MUST acr"]),
            (json!({"ext_id": 1}), &["MUST ext_id"]),
        ],
    );
    check(
        "caep:session-presented",
        json!({"fp_ua": "9ac3", "ext_id": "x1"}),
        &[(json!({"fp_ua": 1, "ext_id": 1}), &["MUST fp_ua", "MUST ext_id"])],
    );
}

/// CAEP-10 (CAEP §3.8).
#[test]
fn a_risk_level_is_upper_case_and_has_a_principal() {
    check(
        "caep:risk-level-change",
        json!({
            "principal": "USER", "current_level": "HIGH", "previous_level": "LOW",
            "risk_reason": "impossible travel",
        }),
        &[
            (json!({"principal": "(absent)"}), &["MUST principal"]),
            (json!({"principal": "user"}), &["SHOULD principal"]),
            (json!({"current_level": "(absent)"}), &["MUST current_level"]),
            (json!({"current_level": "high"}), &["MUST current_level"]),
            (json!({"previous_level": "NONE"}), &["MUST previous_level"]),
            (json!({"risk_reason": "(absent)"}), &["SHOULD risk_reason"]),
            (json!({"risk_reason": {"en": "x"}}), &["MUST risk_reason"]),
        ],
    );
}

/// RISC-01 (RISC §2).
#[test]
fn most_risc_types_have_no_members_and_accept_any() {
    for schema in FAMILIES.iter().find(|f| f.prefix == "risc:").expect("RISC").types {
        if schema.replaced_by.is_none() && schema.name != "credential-compromise" {
            let extended = json!({"x_ours": [null], "reason_admin": "ours, too"});
            check(&format!("risc:{}", schema.name), json!({}), &[(extended, &[])]);
        }
    }
    check(
        "risc:account-disabled",
        json!({"reason": "hijacking"}),
        &[
            (json!({"reason": "bored"}), &["SHOULD reason"]),
            (json!({"reason": {"en": "x"}}), &["MUST reason"]),
        ],
    );
}

/// RISC-02 (RISC §2.5, §2.6).
#[test]
fn an_identifier_is_an_address_or_a_number() {
    let provider = Provider::example();
    let phone = json!({"format": "phone_number", "phone_number": "+12065550100"});
    let opaque = json!({"format": "opaque", "id": "u-1"});
    let complex = json!({"format": "complex", "user": phone.clone()});
    for event_type in ["risc:identifier-changed", "risc:identifier-recycled"] {
        check(event_type, json!({}), &[]);
        assert_eq!(found_about(phone.clone(), event_type, json!({}), &provider), [""; 0]);
        for other in [&opaque, &complex] {
            let found = found_about(other.clone(), event_type, json!({}), &provider);
            assert_eq!(found, ["MUST sub_id"], "{event_type} {other}");
        }
    }
    check(
        "risc:identifier-changed",
        json!({"new-value": "kim.new@example.com"}),
        &[
            (json!({"new-value": null}), &[]),
            (json!({"new-value": "(absent)", "new_value": "k@x.y"}), &["SHOULD new-value"]),
            (json!({"new-value": "(absent)", "newValue": "k@x.y"}), &["SHOULD new-value"]),
        ],
    );
}

/// RISC-03 (RISC §2.7).
#[test]
fn a_compromised_credential_says_which() {
    check(
        "risc:credential-compromise",
        json!({"credential_type": "password", "event_timestamp": 1, "reason_admin": {"en": "x"}}),
        &[
            (json!({"credential_type": "(absent)"}), &["MUST credential_type"]),
            (json!({"credential_type": "palm"}), &["SHOULD credential_type"]),
            (json!({"event_timestamp": 1_775_000_099_000_i64}), &["MUST event_timestamp"]),
            (json!({"reason_admin": "x"}), &["SHOULD reason_admin"]),
            (json!({"reason_user": "x"}), &["SHOULD reason_user"]),
        ],
    );
}

/// RISC-04 (RISC §2.11).
#[test]
fn the_deprecated_type_is_for_providers_that_list_it() {
    let provider = Provider::example();
    assert_eq!(found("risc:sessions-revoked", json!({}), &provider), ["MUST type"]);
    let listed = vec!["risc:sessions-revoked".parse().expect("it is known")];
    let provider = Provider { events_supported: listed, ..provider };
    assert_eq!(found("risc:sessions-revoked", json!({}), &provider), ["SHOULD type"]);
}

/// OET-01, SET-14 (OET §3, SSF §3.1.2).
#[test]
fn rules_for_oauth_events_are_advice_except_for_the_subject() {
    let token = json!({"format": "opaque", "id": "t-1"});
    check(
        "oauth:token-revoked",
        json!({"token_subject": token, "reason": "user"}),
        &[
            (json!({"subject": token}), &["MUST subject"]),
            (json!({"token_subject": {"subject_type": "email"}}), &["SHOULD token_subject"]),
            (json!({"reason": "gone"}), &["SHOULD reason"]),
        ],
    );
    check("oauth:tokens-revoked", json!({}), &[(json!({"reason": "api"}), &["SHOULD reason"])]);
}

/// SET-14 (SSF §3.1.1, §3.1.2), SET-16 (SSF §4.2.3).
#[test]
fn a_subject_in_the_event_is_a_finding_and_an_unknown_member_is_not() {
    let subject = json!({"subject": {"format": "opaque", "id": "u-1"}});
    check("caep:session-revoked", json!({"x": 1}), &[(subject.clone(), &["SHOULD subject"])]);
    check("risc:account-enabled", json!({"x": 1}), &[(subject.clone(), &["SHOULD subject"])]);
    check("scim:prov:delete", json!({"x": 1}), &[(subject.clone(), &["MUST subject"])]);
    let custom = json!({"event_timestamp": "noon", "reason_admin": ""});
    check("urn:example:badge-lost", custom, &[(subject, &["MUST subject"])]);
}

#[test]
fn a_nested_events_claim_and_a_misspelt_member_are_found() {
    let nested = json!({"https://schemas.openid.net/secevent/caep/event-type/session-revoked": {}});
    check(
        "caep:session-revoked",
        json!({}),
        &[
            (nested, &["SHOULD event"]),
            (json!({"reasonAdmin": {"en": "x"}}), &["SHOULD reason_admin"]),
            (json!({"Event-Timestamp": 1}), &["SHOULD event_timestamp"]),
            // Beside the right spelling, the other one is an extension.
            (json!({"event_timestamp": 1, "eventTimestamp": 1}), &[]),
        ],
    );
}

/// CAEP-11, IOP-04 (CAEP Interop §3).
#[test]
fn use_cases_of_the_profile_have_a_reason() {
    let credential = json!({"credential_type": "pin", "change_type": "create"});
    let compliance = json!({"previous_status": "compliant", "current_status": "compliant"});
    let profile = Provider { interop: true, ..Provider::example() };
    for (event_type, mut payload) in [
        ("caep:session-revoked", json!({})),
        ("caep:credential-change", credential),
        ("caep:device-compliance-change", compliance),
    ] {
        check(event_type, payload.clone(), &[]);
        assert_eq!(found(event_type, payload.clone(), &profile), ["MUST reason_admin"]);
        for (reason, findings) in [
            (json!({"en": "  "}), 1),
            // There is one finding, although the value breaks two rules.
            (json!("rule 12"), 1),
            (json!({"en": "", "de": "Regel 12"}), 0),
        ] {
            payload["reason_admin"] = reason;
            assert_eq!(found(event_type, payload.clone(), &profile).len(), findings, "{payload}");
        }
    }
    assert_eq!(found("caep:session-presented", json!({}), &profile), [""; 0]);
}

#[test]
fn a_provider_chooses_how_findings_are_treated() {
    let finding = |severity, member| Finding {
        severity,
        member,
        rule: "must be otherwise".into(),
        section: "CAEP §2",
    };
    let doubtful = vec![finding(Severity::Should, "a")];
    let broken = vec![finding(Severity::Should, "a"), finding(Severity::Must, "b")];
    for checks in [EventChecks::Strict, EventChecks::Lint, EventChecks::Off] {
        assert_eq!(checks.judge(&doubtful), Ok(()));
        assert_eq!(checks.judge(&broken).is_err(), checks == EventChecks::Strict);
    }
    let error = EventChecks::Strict.judge(&broken).expect_err("it breaks a MUST");
    assert_eq!(
        (error.reason(), error.to_string()),
        ("schema", "`b` must be otherwise (CAEP §2)".into())
    );
}

/// RFC 9493 §3.2.8
#[test]
fn aliases_name_each_identifier_once() {
    let (kim, u_1) = (
        json!({"format": "email", "email": "kim@example.com"}),
        json!({"format": "opaque", "id": "u-1"}),
    );
    let found = |identifiers: [&Value; 2]| {
        let aliases = json!({"format": "aliases", "identifiers": identifiers});
        let within = json!({"format": "complex", "user": aliases});
        [aliases, within].map(|subject| {
            found_about(subject, "caep:session-revoked", json!({}), &Provider::example())
        })
    };
    assert_eq!(found([&kim, &u_1]), [[""; 0]; 2]);
    assert_eq!(found([&kim, &kim]), [["SHOULD sub_id"]; 2]);
}

#[test]
fn a_finding_names_member_rule_and_section() {
    let subject = json!({"format": "opaque", "id": "u-1"});
    let event = event(subject, "caep:credential-change", json!({"change_type": "Create"}));
    let texts = list(&lint(&event, &Provider::example()));
    assert!(
        texts.contains("`credential_type` is required (CAEP §3.3); `change_type` must"),
        "{texts}"
    );
    assert!(
        texts.ends_with("must be one of `create`, `revoke`, `update`, `delete` (CAEP §3.3)"),
        "{texts}"
    );
}

/// Any known type, and one unknown type.
fn any_type() -> impl Strategy<Value = String> {
    let known = FAMILIES.iter().filter(|family| family.origin != FamilyOrigin::Control);
    let known = known.flat_map(|family| {
        family.types.iter().map(|schema| format!("{}{}", family.prefix, schema.name))
    });
    prop::sample::select(known.chain(["urn:example:badge-lost".to_owned()]).collect::<Vec<_>>())
}

/// A text that no rule contains. It shows up if a finding repeats content of the event.
const SECRET: &str = "kim-s-secret";

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[a-z]{0,6}".prop_map(|text| Value::from(format!("{text}{SECRET}"))),
        Just(json!("")),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        let name = prop_oneof!["[a-z]{0,4}", Just(SECRET.to_owned())];
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            vec((name, inner), 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

fn any_member() -> impl Strategy<Value = String> {
    let tables = FAMILIES.iter().flat_map(|family| {
        let own = family.types.iter().flat_map(|schema| schema.members);
        family.common.iter().chain(own).map(|member| member.name.to_owned())
    });
    let names: Vec<_> = tables.chain(["subject".to_owned()]).collect();
    prop_oneof![prop::sample::select(names), "\\PC{0,8}"]
}

#[test]
fn a_type_that_its_specification_does_not_define_is_probably_another() {
    let subject = json!({"format": "opaque", "id": "u-1"});
    let uri = "https://schemas.openid.net/secevent/caep/event-type/token-claims-changed";
    let findings = lint(&event(subject.clone(), uri, json!({})), &Provider::example());
    let text = list(&findings);
    assert!(text.contains("the nearest one is `caep:token-claims-change` (CAEP §3.2)"), "{text}");
    assert_eq!(findings[0].severity, Severity::Should);
    let own = event(subject, "urn:example:badge-lost", json!({}));
    assert_eq!(lint(&own, &Provider::example()), []);
}

proptest! {
    #[test]
    fn any_event_is_judged_and_its_content_is_not_repeated(
        event_type in any_type(),
        members in vec((any_member(), any_json()), 0..6),
        interop in any::<bool>(),
    ) {
        let payload = Value::Object(members.into_iter().collect());
        let subject = json!({"format": "opaque", "id": SECRET});
        let event = event(subject, &event_type, payload);
        let provider = Provider { interop, ..Provider::example() };
        let findings = lint(&event, &provider);
        prop_assert!(!list(&findings).contains(SECRET));
        prop_assert_eq!(findings, lint(&event, &provider), "the same each time");
    }
}
