//! What becomes of an event's members in its SETs.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use ssfd::domain::grant::Scope;

use super::{waiting_claims, waiting_subjects};
use crate::harness::{
    daemon::ISSUER,
    events::{SESSION_REVOKED, about, about_with},
    receiver::claims,
    scene::Scene,
    streams::by_poll,
};

/// SET-16: what we do not know goes along.
#[actix_web::test]
async fn unknown_members_of_an_event_survive() {
    let scene = Scene::polling().await;
    let payload = json!({
        "x_ours": [1, {"deep": null}], "größe": "1e400 ist kein float",
        "number": 12_345_678_901_234_567_890_u64,
    });
    let event = about_with("s-1", json!({"event": payload}));
    scene.daemon.publish(&scene.upstream, &event).await.expect(202);
    assert_eq!(waiting_claims(&scene).await[0]["events"], json!({SESSION_REVOKED: payload}));
}

/// SET-04, SET-12, SET-13, SET-16: who speaks, and to whom, is not for upstream to say.
#[actix_web::test]
async fn upstream_cannot_override_the_claims_of_the_envelope() {
    let scene = Scene::polling().await;
    let claims = json!({
        "iss": "https://evil.example", "aud": "https://evil.example", "jti": "chosen", "iat": 1,
        "sub": "chosen", "exp": 1, "toe": 1, "events": {"urn:evil": {}},
    });
    let mut event = about_with("s-1", claims.clone());
    event["event"] = claims.clone();
    scene.daemon.publish(&scene.upstream, &event).await.expect(202);

    let found = waiting_claims(&scene).await.remove(0);

    assert_eq!((&found["iss"], &found["aud"]), (&json!(ISSUER), &json!("https://rx.example")));
    assert_ne!(found["jti"], "chosen");
    assert_ne!(found["iat"], 1);
    assert_eq!(found["events"], json!({SESSION_REVOKED: claims}), "but within the event");
    let members: BTreeSet<_> =
        found.as_object().expect("an object").keys().map(String::as_str).collect();
    assert_eq!(members, ["aud", "events", "iat", "iss", "jti", "sub_id", "txn"].into());
}

/// A scene with a second stream, of another Receiver; returns the two streams' ids and tokens.
async fn two_streams() -> (Scene, [(String, String); 2]) {
    let scene = Scene::polling().await;
    let token = scene.daemon.receiver_token("other", &[Scope::Manage]).await;
    let stream = scene.daemon.create_stream(&token, by_poll()).await;
    let streams = [(scene.stream.clone(), scene.token.clone()), (stream, token)];
    (scene, streams)
}

/// The claims of the SETs that each of the streams hands out.
async fn handed_out(scene: &Scene, streams: &[(String, String)]) -> Vec<Vec<Value>> {
    let mut all = Vec::new();
    for (stream, token) in streams {
        let body = json!({"returnImmediately": true});
        let answer = scene.daemon.poll(token, stream, &body).await.expect(200).json();
        let sets = answer["sets"].as_object().expect("an object of SETs").values();
        all.push(sets.map(|set| claims(set.as_str().expect("a compact JWS"))).collect());
    }
    all
}

/// SET-08 (SSF §4.1.9).
#[actix_web::test]
async fn the_sets_of_one_event_share_a_txn_which_the_publisher_may_choose() {
    let (scene, streams) = two_streams().await;
    let mut txns = BTreeSet::new();
    for event in [about("s-1"), about("s-1"), about_with("s-1", json!({"txn": "c-991"}))] {
        scene.daemon.publish(&scene.upstream, &event).await.expect(202);
        let sets = handed_out(&scene, &streams).await.concat();
        assert_eq!(sets.len(), 2);
        assert_eq!(sets[0]["txn"], sets[1]["txn"]);
        assert_ne!(sets[0]["jti"], sets[1]["jti"]);
        txns.insert(sets[0]["txn"].as_str().expect("a string").to_owned());
    }
    assert_eq!(txns.len(), 3, "each event has its own");
    assert!(txns.contains("c-991"));
}

#[actix_web::test]
async fn stream_ids_narrow_an_event_and_never_widen_it() {
    let (scene, streams) = two_streams().await;
    let [(one, _), (two, _)] = &streams;
    let named = |subject: &str, ids: Value| about_with(subject, json!({"stream_ids": ids}));
    let mut unwanted = named("unwanted", json!([one]));
    unwanted["type"] = "caep:credential-change".into();
    let events = json!([
        named("one", json!([one])),
        named("both", json!([one, two, "no-such-stream"])),
        named("none", json!([])),
        unwanted,
        named("not a stream", json!(["no such stream"])),
    ]);

    let answer = scene.daemon.publish(&scene.upstream, &events).await.expect(202).json();

    let streams_of = |n: usize| answer["events"][n]["streams"].as_u64();
    assert_eq!([0, 1, 2, 3].map(streams_of), [1, 2, 0, 0].map(Some));
    assert_eq!(answer["events"][4]["status"], "rejected", "it must not pass unseen");
    assert_eq!(waiting_subjects(&scene).await, ["one", "both"]);
    let other = handed_out(&scene, &streams[1..]).await.concat();
    assert_eq!(other.len(), 1);
    assert_eq!(other[0]["sub_id"]["id"], "both");
}
