//! The CAEP Interoperability Profile, for a provider that follows it.

use serde_json::{Value, json};
use ssfd::domain::grant::Scope;

use super::events::{EventChecker, profiled};
use crate::harness::{
    daemon::{Daemon, PROVIDER, with_provider},
    events::{about_with, key},
    eventually,
    receiver::Receiver,
    redis::Redis,
    setup::Setup,
    streams::{by_poll, id_of, push_to},
};

/// Returns an event of each use case of the profile.
fn use_cases() -> [Value; 3] {
    let reason = json!({"en": "rule 12"});
    [
        json!({"type": "caep:session-revoked", "event": {"reason_admin": reason}}),
        json!({"type": "caep:credential-change", "event": {"reason_admin": reason,
            "credential_type": "fido2-roaming", "change_type": "revoke"}}),
        json!({"type": "caep:device-compliance-change", "event": {"reason_admin": reason,
            "previous_status": "compliant", "current_status": "not-compliant"}}),
    ]
}

/// The subjects are delivered by push and by poll.
#[actix_web::test]
async fn iop_01_a_new_stream_gets_events_about_every_subject() {
    let mut receiver = Receiver::accepting().await;
    let setup = Setup::polling_with(with_provider(profiled)).await;
    setup.daemon.create_stream(&setup.token, push_to(&receiver.url("/in"))).await;
    for subject in [
        json!({"format": "email", "email": "kim@example.com"}),
        json!({"format": "iss_sub", "iss": "https://idp.example", "sub": "u-1"}),
        json!({"format": "complex", "user": {"format": "opaque", "id": "u-1"}}),
    ] {
        let [revoked, ..] = use_cases();
        let event = about_with("", json!({"sub_id": subject, "event": revoked["event"]}));
        setup.daemon.publish(&setup.publisher, &event).await.expect(202);
        assert_eq!(setup.take(1).await[0]["sub_id"], subject);
        assert_eq!(receiver.next().await.claims()["sub_id"], subject);
    }
}

/// Reading requires `ssf.read`, everything else `ssf.manage`.
#[actix_web::test]
async fn iop_02_a_stream_is_created_read_verified_and_deleted_with_valid_tokens() {
    let daemon = Daemon::with(with_provider(profiled)).await;
    let manager = daemon.client("rx").await;
    let reader = daemon.receiver_token("rx", &[Scope::Read]).await;
    let reader = daemon.client_with(PROVIDER, &reader);
    for delivery in [by_poll(), push_to("https://rx.example/in")] {
        let stream = manager.create(&json!({"delivery": delivery})).await;
        let id = id_of(&stream);
        assert_eq!(reader.read(id).await, stream);
        assert_eq!(reader.list().await, json!([stream]));
        assert_eq!(reader.status(id).await, json!({"stream_id": id, "status": "enabled"}));
        manager.send("POST", "/ssf/verify", &json!({"stream_id": id})).await.expect(204);
        if delivery == by_poll() {
            assert_eq!(manager.polled(id).await.len(), 1);
        }
        let one = format!("/ssf/streams?stream_id={id}");
        manager.delete(&one).await.expect(204);
        reader.get(&one).await.expect(404);
    }
}

/// The events go from a Redis stream to a Receiver with TLS and to a Receiver that polls.
#[actix_web::test]
async fn iop_03_the_use_cases_are_delivered_from_end_to_end() {
    let redis = Redis::start().await;
    let mut receiver = Receiver::accepting_over_tls().await;
    let roots = receiver.roots();
    let setup = Setup::polling_with(|config| {
        config.ingest.redis.url = Some(redis.url());
        config.push.trusted_roots = Some(roots);
        with_provider(profiled)(config);
    })
    .await;
    let supported = setup.update(json!({})).await.json()["events_supported"].clone();
    setup.update(json!({"events_requested": supported})).await;
    let pushing = json!({"events_requested": supported, "delivery": push_to(&receiver.url("/in"))});
    let pushing = setup.client().create(&pushing).await;
    let url = pushing["delivery"]["endpoint_url"].as_str().expect("a URL");
    assert!(url.starts_with("https://"), "{url}");
    let verifier = setup.daemon.verifier(PROVIDER).await;
    for case in use_cases() {
        redis.publish(&key(), &about_with("s-88", case.clone())).await;
        let pushed = receiver.next().await.jws().to_owned();
        let polled = setup.client().sets(&setup.stream).await.remove(0);
        for set in [pushed, polled] {
            let set = verifier.verify(&set).expect("a SET of ours");
            assert_eq!(set.algorithm.as_str(), "RS256");
            let name = case["type"].as_str().and_then(|name| name.strip_prefix("caep:"));
            let uri = format!(
                "https://schemas.openid.net/secevent/caep/event-type/{}",
                name.expect("of CAEP")
            );
            assert_eq!(set.claims["events"], json!({uri: case["event"]}));
        }
    }
    eventually("every SET is settled", async || setup.daemon.backlog().await == 0).await;
    assert!(receiver.rest().is_empty());
}

#[actix_web::test]
async fn iop_04_a_compliance_change_has_a_reason_like_the_other_use_cases() {
    let checker = EventChecker::new(profiled).await;
    checker.check_reason("device-compliance-change").await;
}
