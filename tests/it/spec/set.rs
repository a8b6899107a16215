//! Security Event Tokens (RFC 8417, SSF §4).

use std::{collections::BTreeSet, time::Duration};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use ssfd::domain::{grant::Scope, subject::SubjectId};

use crate::{
    harness::{
        daemon::{Daemon, ISSUER, provider, with_provider},
        events::{ACCOUNT_PURGED, SESSION_REVOKED, VERIFICATION, about, about_with},
        http_client::get,
        receiver::Receiver,
        sample::Sample,
        setup::Setup,
        streams::{by_poll, push_to},
    },
    scripted_server::Seen,
};

#[actix_web::test]
async fn set_01_typ_is_secevent_jwt_and_the_header_has_no_unneeded_member() {
    for set in Sample::take().await.sets {
        let header = set.header();
        assert_eq!(header["typ"], "secevent+jwt");
        let members: Vec<_> = header.as_object().expect("an object").keys().collect();
        assert_eq!(members, ["alg", "kid", "typ"], "{header}");
    }
}

/// A provider that follows the profile does not start with another kind of key.
#[actix_web::test]
async fn set_02_the_profile_signs_all_sets_by_rs256_with_2048_bits_at_least() {
    let sample = Sample::take().await;
    let profiled = sample.sets.iter().filter(|set| set.provider == "RS256");
    assert!(profiled.clone().count() > 0);
    for set in profiled {
        assert_eq!(set.header()["alg"], "RS256");
    }
    let [key] = published_keys(&sample.daemon, "RS256").await.try_into().expect("one key");
    let modulus = URL_SAFE_NO_PAD.decode(key["n"].as_str().expect("a modulus")).expect("base64url");
    assert!(modulus.len() >= 2048 / 8 && modulus[0] & 0x80 != 0);

    let started = Daemon::try_with(|config| {
        let mut profile = provider("https://tx.example/profile");
        profile.interop = true;
        config.providers.insert("profile".parse().expect("a name"), profile);
    });
    let error = started.await.err().expect("the key is one for ES256").to_string();
    for part in
        ["`providers.profile.signing_keys`", "ES256", "`providers.profile.interop`", "RS256"]
    {
        assert!(error.contains(part), "{error}");
    }
}

async fn published_keys(daemon: &Daemon, provider: &str) -> Vec<Value> {
    let found = get(&daemon.provider_url(provider, "/jwks.json")).send().await.expect(200).json();
    found["keys"].as_array().expect("an array").clone()
}

#[actix_web::test]
async fn set_03_kid_names_one_published_key_which_verifies_the_signature() {
    let sample = Sample::take().await;
    for set in &sample.sets {
        let keys = published_keys(&sample.daemon, set.provider).await;
        let kid = set.header()["kid"].clone();
        assert_eq!(keys.iter().filter(|key| key["kid"] == kid).count(), 1);
        let verified = sample.daemon.verifier(set.provider).await.verify(&set.jws);
        let verified = verified.unwrap_or_else(|error| panic!("{}: {error}", set.provider));
        assert_eq!((json!(verified.kid), verified.algorithm.as_str()), (kid, set.provider));
    }
}

#[actix_web::test]
async fn set_04_iss_equals_that_of_the_stream_and_of_the_metadata() {
    let sample = Sample::take().await;
    for set in &sample.sets {
        let url = sample.daemon.provider_url(set.provider, "/.well-known/ssf-configuration");
        let metadata = get(&url).send().await.expect(200).json();
        let claims = set.claims();
        assert_eq!(claims["iss"], format!("https://tx.example/t/{}", set.provider));
        assert_eq!((&claims["iss"], &claims["iss"]), (&set.stream["iss"], &metadata["issuer"]));
    }
}

#[actix_web::test]
async fn set_05_iat_is_whole_seconds_and_never_in_the_future() {
    for set in Sample::take().await.sets {
        let issued_at = set.claims()["iat"].as_i64().expect("whole seconds");
        assert!((set.made.0..=set.made.1).contains(&issued_at), "{issued_at} {:?}", set.made);
    }
}

/// The test compares many SETs of every kind. A SET that is sent again keeps its `jti`.
#[actix_web::test]
async fn set_06_jti_is_unique_and_stays_with_the_set() {
    const EVENTS: usize = 200;
    const REFUSED: usize = 3;
    let sample = Sample::take().await;
    let jtis: BTreeSet<_> = sample.sets.iter().map(|set| set.claims()["jti"].to_string()).collect();
    assert_eq!(jtis.len(), sample.sets.len());

    let mut receiver = Receiver::answering([503; REFUSED]).await;
    let setup = Setup::pushing_with(&receiver, |config| {
        config.poll.redelivery_interval = Duration::ZERO;
    })
    .await;
    let polled = setup.daemon.create_stream(&setup.token, by_poll()).await;
    let subjects: Vec<_> = (0..EVENTS).map(|n| format!("s-{n}")).collect();
    setup.publish(&subjects.iter().map(String::as_str).collect::<Vec<_>>()).await;

    let pushed = receiver.next_few(EVENTS + REFUSED).await;
    let claims: BTreeSet<_> = pushed.iter().map(|set| set.claims().to_string()).collect();
    assert_eq!(claims.len(), EVENTS, "a retry has the same claims");
    let mut jtis: BTreeSet<_> = pushed.iter().map(Seen::jti).collect();
    assert_eq!(jtis.len(), EVENTS);
    let now = json!({"returnImmediately": true, "maxEvents": EVENTS});
    for _ in 0..2 {
        let sets = setup.daemon.poll(&setup.token, &polled, &now).await.expect(200).json();
        jtis.extend(sets["sets"].as_object().expect("an object of SETs").keys().cloned());
        assert_eq!(jtis.len(), 2 * EVENTS, "the other stream has other jtis, which stay the same");
    }
}

#[actix_web::test]
async fn set_07_aud_is_that_of_the_stream_as_a_string_or_an_array() {
    let mut shapes = BTreeSet::new();
    for set in Sample::take().await.sets {
        let claims = set.claims();
        assert_eq!(claims["aud"], set.stream["aud"]);
        shapes.insert(claims["aud"].to_string());
    }
    let (one, two) =
        (json!("https://one.example"), ["https://two.example/a", "https://two.example/b"]);
    assert_eq!(shapes, [one.to_string(), json!(two).to_string()].into());
}

/// Without a `txn` from the publisher, each event has its own.
#[actix_web::test]
async fn set_08_txn_is_shared_by_the_sets_of_one_cause_and_no_others() {
    let mut receiver = Receiver::accepting().await;
    let setup = Setup::pushing_to(&receiver).await;
    let both = json!({"events_requested": [SESSION_REVOKED, ACCOUNT_PURGED],
        "delivery": push_to(&receiver.url("/in"))});
    setup.client().create(&both).await;
    let chosen = json!({"txn": "c-991"});
    let mut txns = Vec::new();
    for event in [about("s-1"), about("s-1"), about_with("s-1", chosen.clone())] {
        setup.daemon.publish(&setup.publisher, &event).await.expect(202);
        let sets = receiver.next_few(2).await;
        assert_eq!(txn(&sets[0]), txn(&sets[1]));
        txns.push(txn(&sets[0]));
    }
    assert_eq!(txns.iter().collect::<BTreeSet<_>>().len(), 3);

    let mut purged = about_with("s-1", chosen);
    purged["type"] = ACCOUNT_PURGED.into();
    setup.daemon.publish(&setup.publisher, &purged).await.expect(202);
    assert_eq!((txn(&receiver.next().await), &*txns[2]), ("c-991".to_owned(), "c-991"));
}

fn txn(set: &Seen) -> String {
    set.claims()["txn"].as_str().expect("a string").to_owned()
}

/// An event without a valid `sub_id` does not become a SET.
#[actix_web::test]
async fn set_09_sub_id_is_present_and_valid() {
    let sample = Sample::take().await;
    let mut formats = BTreeSet::new();
    for set in sample.sets {
        let subject = SubjectId::try_from(set.claims()["sub_id"].clone()).expect("valid");
        formats.insert(subject.format().to_owned());
    }
    assert_eq!(formats, ["complex".to_owned(), "opaque".to_owned()].into());

    let setup = Setup::polling().await;
    for subject in [Value::Null, json!("s-88"), json!({"id": "s-88"}), json!({"format": "email"})] {
        let event = about_with("", json!({"sub_id": subject}));
        setup.daemon.publish(&setup.publisher, &event).await.expect(400);
    }
    let within = json!({"sub_id": {"format": "opaque", "id": "s-88"}});
    let without = json!({"type": "caep:session-revoked", "event": within});
    setup.daemon.publish(&setup.publisher, &without).await.expect(400);
    assert_eq!(setup.daemon.backlog().await, 0);
}

#[actix_web::test]
async fn set_10_events_has_one_member() {
    let mut types = BTreeSet::new();
    for set in Sample::take().await.sets {
        let claims = set.claims();
        let events = claims["events"].as_object().expect("an object");
        assert_eq!(events.len(), 1, "{claims}");
        types.extend(events.keys().cloned());
    }
    assert_eq!(types.len(), 4, "three that were asked for, and verification: {types:?}");
}

#[actix_web::test]
async fn set_11_an_event_is_an_object_and_an_empty_one_without_members() {
    let mut empty = BTreeSet::new();
    for set in Sample::take().await.sets {
        for (event_type, event) in set.claims()["events"].as_object().expect("an object") {
            if event.as_object().expect("an object").is_empty() {
                empty.insert(event_type.clone());
            }
        }
    }
    assert_eq!(empty, [ACCOUNT_PURGED.to_owned(), VERIFICATION.to_owned()].into());

    let setup = Setup::polling().await;
    for event in [json!([]), json!("x"), json!(1)] {
        let event = about_with("s-88", json!({"event": event}));
        setup.daemon.publish(&setup.publisher, &event).await.expect(400);
    }
}

#[actix_web::test]
async fn set_12_sub_is_absent() {
    for set in Sample::take().await.sets {
        assert_eq!(set.claims().get("sub"), None);
    }
}

#[actix_web::test]
async fn set_13_exp_is_absent() {
    for set in Sample::take().await.sets {
        assert_eq!(set.claims().get("exp"), None);
    }
}

/// For types of CAEP and RISC the member is only discouraged (SSF §3.1.1).
#[actix_web::test]
async fn set_14_subject_in_the_event_is_refused_for_types_beyond_caep_and_risc() {
    let setup =
        Setup::polling_with(with_provider(|provider| provider.custom_event_types = true)).await;
    let subject = json!({"format": "opaque", "id": "s-88"});
    for (event_type, status) in [
        ("caep:session-revoked", 202),
        ("risc:account-purged", 202),
        ("oauth:token-revoked", 400),
        ("scim:prov:delete", 400),
        ("urn:example:badge-lost", 400),
    ] {
        let mut event = json!({"type": event_type, "sub_id": subject, "event": {}});
        setup.daemon.publish(&setup.publisher, &event).await.expect(202);
        event["event"]["subject"] = subject.clone();
        setup.daemon.publish(&setup.publisher, &event).await.expect(status);
    }
}

/// Two streams with the same endpoint get two SETs.
#[actix_web::test]
async fn set_15_each_receiver_gets_a_set_of_its_own() {
    let mut receiver = Receiver::accepting().await;
    let setup = Setup::pushing_to(&receiver).await;
    let other = setup.daemon.receiver_token("other", &[Scope::Manage]).await;
    setup.daemon.create_stream(&other, push_to(&receiver.url("/in"))).await;

    setup.publish(&["s-88"]).await;

    let sets = receiver.next_few(2).await;
    let audiences: BTreeSet<_> = sets.iter().map(|set| set.claims()["aud"].to_string()).collect();
    let expected = ["rx", "other"].map(|name| json!(format!("https://{name}.example")).to_string());
    assert_eq!(audiences, expected.into());
    assert_ne!(sets[0].jti(), sets[1].jti());
}

#[actix_web::test]
async fn set_16_unknown_members_of_an_event_are_sent_but_claims_of_the_set_cannot_be_forged() {
    let setup = Setup::polling().await;
    let claims = json!({
        "iss": "https://evil.example", "aud": "https://evil.example", "jti": "chosen", "iat": 1,
        "sub": "chosen", "exp": 1, "toe": 1, "events": {"urn:evil": {}},
    });
    let mut payload = claims.clone();
    payload["x_ours"] = json!([1, {"deep": null}]);
    payload["größe"] = "1e400 ist kein float".into();
    payload["number"] = 12_345_678_901_234_567_890_u64.into();
    payload["fraction"] = (-5.623_703_702_616_602e-42).into();
    let mut event = about_with("s-1", claims);
    event["event"] = payload.clone();
    setup.daemon.publish(&setup.publisher, &event).await.expect(202);

    let found = setup.take(1).await.remove(0);

    assert_eq!(found["events"], json!({SESSION_REVOKED: payload}), "within the event");
    assert_eq!((&found["iss"], &found["aud"]), (&json!(ISSUER), &json!("https://rx.example")));
    assert_ne!(found["jti"], "chosen");
    assert_ne!(found["iat"], 1);
    let members: Vec<_> = found.as_object().expect("an object").keys().collect();
    assert_eq!(members, ["aud", "events", "iat", "iss", "jti", "sub_id", "txn"]);
}
