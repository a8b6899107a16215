//! Subject identifiers (RFC 9493, SSF §3) and the rules by which they match (SSF §8.1.3.1).

use serde_json::{Value, json};

use crate::harness::{
    events::about_with,
    receiver::Receiver,
    setup::Setup,
    streams::push_to,
    subjects::{complex, none_by_default, opaque},
};

/// Returns an identifier of each registered format.
fn registered() -> [Value; 8] {
    [
        json!({"format": "account", "uri": "acct:kim@example.com"}),
        json!({"format": "email", "email": "kim@example.com"}),
        json!({"format": "iss_sub", "iss": "https://idp.example", "sub": "u-1"}),
        json!({"format": "opaque", "id": "u-1"}),
        json!({"format": "phone_number", "phone_number": "+12065550100"}),
        json!({"format": "did", "url": "did:example:123456/did/url/path?versionId=1"}),
        json!({"format": "uri", "uri": "urn:uuid:4e851e98-83c4-4743-a5da-150ecb53042f"}),
        json!({"format": "aliases", "identifiers": [
            {"format": "email", "email": "kim@example.com"}, {"format": "opaque", "id": "u-1"}]}),
    ]
}

impl Setup {
    /// Returns whether both publishers and Receivers may use this identifier.
    async fn knows(&self, subject: &Value) -> bool {
        let event = about_with("", json!({"sub_id": subject}));
        let published = self.daemon.publish(&self.publisher, &event).await.status.as_u16();
        let body = json!({"stream_id": self.stream, "subject": subject});
        let added = self.subject_request("add", &body).await.status.as_u16();
        match (published, added) {
            (202, 200) => true,
            (400, 400) => false,
            other => panic!("{subject}: {other:?}"),
        }
    }

    /// Asserts that the identifier is valid and is sent unchanged.
    async fn sends(&self, subject: &Value) {
        assert!(self.knows(subject).await, "{subject}");
        assert_eq!(&self.take(1).await[0]["sub_id"], subject);
    }

    async fn refuses(&self, subject: &Value) {
        assert!(!self.knows(subject).await, "{subject}");
        assert_eq!(self.daemon.backlog().await, 0);
    }
}

/// Returns the subject with another value of a member.
fn with(subject: &Value, member: &str, value: Value) -> Value {
    let mut subject = subject.clone();
    subject[member] = value;
    subject
}

/// Returns the subject without a member.
fn without(subject: &Value, member: &str) -> Value {
    let mut subject = subject.clone();
    subject.as_object_mut().expect("an identifier is an object").remove(member);
    subject
}

/// Returns the names of all members except `format`.
fn members(subject: &Value) -> Vec<String> {
    let names = subject.as_object().expect("an identifier is an object").keys();
    names.filter(|name| *name != "format").cloned().collect()
}

/// Asserts that a subject is valid, and invalid without one of its members or with one that is null
/// or empty.
async fn check_format(setup: &Setup, subject: &Value) {
    setup.sends(subject).await;
    setup.refuses(&without(subject, "format")).await;
    for member in members(subject) {
        setup.refuses(&without(subject, &member)).await;
        for value in [json!(null), json!(""), json!(7), json!([]), json!({})] {
            setup.refuses(&with(subject, &member, value)).await;
        }
    }
}

#[actix_web::test]
async fn sid_01_each_registered_format_is_accepted_with_exactly_its_members() {
    let setup = Setup::polling().await;
    for subject in registered() {
        check_format(&setup, &subject).await;
    }
    for (subject, member, value) in [
        (0, "uri", "kim@example.com"),
        (1, "email", "kim"),
        (4, "phone_number", "12065550100"),
        (4, "phone_number", "+1 206 555 0100"),
        (5, "url", "https://example.com"),
        (6, "uri", "/relative"),
    ] {
        setup.refuses(&with(&registered()[subject], member, value.into())).await;
    }
}

#[actix_web::test]
async fn sid_02_an_unknown_member_is_refused() {
    let setup = Setup::polling().await;
    for subject in registered() {
        let stray = with(&subject, "name", "Kim".into());
        setup.refuses(&stray).await;
        setup.refuses(&json!({"format": "aliases", "identifiers": [stray]})).await;
        setup.refuses(&json!({"format": "complex", "user": stray})).await;
    }
}

#[actix_web::test]
async fn sid_03_the_formats_of_ssf_are_accepted_under_their_exact_names() {
    let setup = Setup::polling().await;
    let jwt = json!({"format": "jwt_id", "iss": "https://idp.example", "jti": "B70BA622"});
    let saml = json!({"format": "saml_assertion_id", "issuer": "https://idp.example",
        "assertion_id": "_8e8dc5f6"});
    let addresses =
        json!({"format": "ip-addresses", "ip-addresses": ["10.29.37.75", "2001:db8::1"]});
    for subject in [&jwt, &saml, &addresses] {
        check_format(&setup, subject).await;
        for member in members(subject) {
            let renamed =
                with(&without(subject, &member), &turned(&member), subject[&member].clone());
            setup.refuses(&renamed).await;
        }
        let format = subject["format"].as_str().expect("a format");
        setup.refuses(&with(subject, "format", turned(format).into())).await;
    }
    setup.refuses(&with(&addresses, "ip-addresses", json!(["10.29.37"]))).await;
}

/// Swaps hyphens and underscores in a name. A name without either gets another first letter.
fn turned(name: &str) -> String {
    let turned = name.chars().map(|c| match c {
        '-' => '_',
        '_' => '-',
        other => other,
    });
    let turned: String = turned.collect();
    if turned == name { format!("x{name}") } else { turned }
}

#[actix_web::test]
async fn sid_04_aliases_hold_identifiers_that_are_no_aliases_and_one_at_least() {
    let setup = Setup::polling().await;
    let aliases = |identifiers: &[Value]| json!({"format": "aliases", "identifiers": identifiers});
    let kim = &registered()[1];
    setup.sends(&aliases(std::slice::from_ref(kim))).await;
    setup.refuses(&aliases(&[])).await;
    setup.refuses(&aliases(&[aliases(std::slice::from_ref(kim))])).await;
    setup.refuses(&aliases(&[kim.clone(), aliases(std::slice::from_ref(kim))])).await;
    setup.refuses(&aliases(&["kim@example.com".into()])).await;
    setup.refuses(&json!({"format": "aliases", "identifiers": kim})).await;
}

#[actix_web::test]
async fn sid_05_a_complex_subject_has_simple_members_and_one_at_least() {
    let setup = Setup::polling().await;
    let names =
        ["user", "device", "session", "application", "tenant", "org_unit", "group", "x_ours"];
    let all: Vec<_> = names.iter().map(|name| (*name, *name)).collect();
    setup.sends(&complex(&all)).await;
    for name in names {
        setup.sends(&complex(&[(name, "x-1")])).await;
    }
    setup.refuses(&complex(&[])).await;
    setup.refuses(&json!({"format": "complex", "user": null})).await;
    for part in [complex(&[("user", "u-1")]), json!("u-1"), json!({"id": "u-1"})] {
        setup.refuses(&json!({"format": "complex", "user": part})).await;
        let mut more = complex(&[("tenant", "t-1")]);
        more["user"] = part;
        setup.refuses(&more).await;
    }
}

/// The subjects are delivered by push and by poll.
#[actix_web::test]
async fn sid_06_email_and_iss_sub_can_be_sent() {
    let mut receiver = Receiver::accepting().await;
    let setup = Setup::polling().await;
    setup.daemon.create_stream(&setup.token, push_to(&receiver.url("/in"))).await;
    for subject in [&registered()[1], &registered()[2]] {
        let event = about_with("", json!({"sub_id": subject}));
        setup.daemon.publish(&setup.publisher, &event).await.expect(202);
        assert_eq!(&setup.take(1).await[0]["sub_id"], subject);
        assert_eq!(&receiver.next().await.claims()["sub_id"], subject);
    }
}

#[actix_web::test]
async fn sid_07_simple_subjects_match_if_their_members_are_equal_in_any_order() {
    let setup = Setup::polling_with(none_by_default).await;
    let parse = |text: &str| serde_json::from_str::<Value>(text).expect("JSON");
    let added = r#"{"format": "iss_sub", "iss": "https://idp.example", "sub": "u-1"}"#;
    let turned = r#"{"sub": "u-1", "iss": "https://idp.example", "format": "iss_sub"}"#;
    setup.add(&parse(added)).await;
    assert!(setup.reaches(&parse(turned)).await);
    for other in ["U-1", "u-1 ", "u-10"] {
        assert!(!setup.reaches(&parse(&added.replace("u-1", other))).await);
    }
    assert!(!setup.reaches(&opaque("u-1")).await);
    // The loop tries each kind of value. An `aliases` subject matches if any of its identifiers is
    // on the stream.
    for subject in registered() {
        let known = ["iss_sub", "aliases"].contains(&subject["format"].as_str().expect("a format"));
        assert_eq!(setup.reaches(&subject).await, known, "{subject}");
        setup.add(&subject).await;
        assert!(setup.reaches(&subject).await, "{subject}");
    }
    // The order of an array matters.
    let addresses = |list: [&str; 2]| json!({"format": "ip-addresses", "ip-addresses": list});
    setup.add(&addresses(["10.29.37.75", "2001:db8::1"])).await;
    assert!(!setup.reaches(&addresses(["2001:db8::1", "10.29.37.75"])).await);
}

/// Asserts whether a subject of the stream matches a subject of an event.
async fn check_match(
    setup: &Setup,
    added: &[(&str, &str)],
    event: &[(&str, &str)],
    expected: bool,
) {
    // The result is the same if the two subjects change places.
    for (added, event) in [(complex(added), complex(event)), (complex(event), complex(added))] {
        assert!(!setup.reaches(&event).await, "nothing is on the stream");
        setup.add(&added).await;
        assert_eq!(setup.reaches(&event).await, expected, "{added} {event}");
        setup.remove(&added).await;
    }
}

#[actix_web::test]
async fn sid_08_a_member_that_one_of_two_complex_subjects_lacks_does_not_matter() {
    let setup = Setup::polling_with(none_by_default).await;
    let (tenant, user, group) = (("tenant", "t"), ("user", "u"), ("group", "g"));
    check_match(&setup, &[tenant], &[tenant, user], true).await;
    check_match(&setup, &[user, ("device", "d")], &[user], true).await;
    check_match(&setup, &[tenant, user, group], &[tenant, user, ("session", "s")], true).await;
    // The subjects have no member in common, so by the rule no member differs.
    check_match(&setup, &[user], &[("device", "d")], true).await;
}

#[actix_web::test]
async fn sid_09_complex_subjects_that_differ_in_a_common_member_do_not_match() {
    let setup = Setup::polling_with(none_by_default).await;
    let (tenant, user, group) = (("tenant", "t"), ("user", "u"), ("group", "g"));
    check_match(&setup, &[user], &[("user", "v")], false).await;
    check_match(&setup, &[user, group], &[user, ("group", "h")], false).await;
    let other = [tenant, ("user", "v"), ("session", "s")];
    check_match(&setup, &[tenant, user, group], &other, false).await;
}

/// The default subjects of the stream do not matter.
#[actix_web::test]
async fn sid_10_a_stream_always_has_its_own_subject() {
    for setup in [Setup::polling().await, Setup::polling_with(none_by_default).await] {
        let own = opaque(&setup.stream);
        setup.remove(&own).await;
        assert!(setup.reaches(&own).await);
        setup.daemon.verify_stream(&setup.token, &setup.stream, "n-4411").await.expect(204);
        for claims in setup.take(2).await {
            assert_eq!(claims["sub_id"], own);
        }
    }
}

#[actix_web::test]
async fn sid_11_simple_never_matches_complex_and_former_names_are_refused() {
    let setup = Setup::polling_with(none_by_default).await;
    setup.add(&opaque("u-1")).await;
    assert!(!setup.reaches(&complex(&[("user", "u-1")])).await);
    setup.remove(&opaque("u-1")).await;
    setup.add(&complex(&[("user", "u-1")])).await;
    assert!(!setup.reaches(&opaque("u-1")).await);

    setup.refuses(&json!({"format": "phone", "phone_number": "+12065550100"})).await;
    setup.refuses(&json!({"format": "phone", "phone": "+12065550100"})).await;
    setup.refuses(&json!({"subject_type": "email", "email": "kim@example.com"})).await;
    let both = json!({"format": "email", "subject_type": "email", "email": "kim@example.com"});
    setup.refuses(&both).await;
}
