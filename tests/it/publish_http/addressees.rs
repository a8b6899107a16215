//! The streams that get an event.

use serde_json::{Value, json};
use ssfd::domain::grant::Scope;

use super::waiting_subjects;
use crate::harness::{events::about_with, receiver::claims, setup::Setup, streams::by_poll};

/// Returns a setup with a second stream, of another Receiver, and the ids and tokens of both
/// streams.
async fn two_streams() -> (Setup, [(String, String); 2]) {
    let setup = Setup::polling().await;
    let token = setup.daemon.receiver_token("other", &[Scope::Manage]).await;
    let stream = setup.daemon.create_stream(&token, by_poll()).await;
    let streams = [(setup.stream.clone(), setup.token.clone()), (stream, token)];
    (setup, streams)
}

/// Polls each stream. Returns the claims of its SETs.
async fn handed_out(setup: &Setup, streams: &[(String, String)]) -> Vec<Vec<Value>> {
    let mut all = Vec::new();
    for (stream, token) in streams {
        let body = json!({"returnImmediately": true});
        let answer = setup.daemon.poll(token, stream, &body).await.expect(200).json();
        let sets = answer["sets"].as_object().expect("an object of SETs").values();
        all.push(sets.map(|set| claims(set.as_str().expect("a compact JWS"))).collect());
    }
    all
}

#[actix_web::test]
async fn stream_ids_narrow_an_event_and_never_widen_it() {
    let (setup, streams) = two_streams().await;
    let [(one, _), (two, _)] = &streams;
    let named = |subject: &str, ids: Value| about_with(subject, json!({"stream_ids": ids}));
    let mut unwanted = named("unwanted", json!([one]));
    unwanted["type"] = "caep:session-presented".into();
    let events = json!([
        named("one", json!([one])),
        named("both", json!([one, two, "no-such-stream"])),
        named("none", json!([])),
        unwanted,
        named("not a stream", json!(["no such stream"])),
    ]);

    let answer = setup.daemon.publish(&setup.publisher, &events).await.expect(202).json();

    let streams_of = |n: usize| answer["events"][n]["streams"].as_u64();
    assert_eq!([0, 1, 2, 3].map(streams_of), [1, 2, 0, 0].map(Some));
    assert_eq!(answer["events"][4]["status"], "rejected", "it must not pass unseen");
    assert_eq!(waiting_subjects(&setup).await, ["one", "both"]);
    let other = handed_out(&setup, &streams[1..]).await.concat();
    assert_eq!(other.len(), 1);
    assert_eq!(other[0]["sub_id"]["id"], "both");
}
