//! A change made on one node takes effect on all of them (promise P5 of the design), and every node
//! takes requests.

use std::sync::Arc;

use serde_json::json;
use ssfd::{
    domain::id::StreamId,
    store::{
        Streams as _,
        redis::{Checks, Epochs, RedisSettings, RedisStore},
    },
};
use tokio::task::spawn_local;

use super::daemons::{Daemons, EVENTS_KEY};
use crate::harness::{
    events::{about, about_with},
    eventually,
    http_client::post,
    receiver::{Receiver, subject},
    streams::{by_poll, push_to},
};

/// Intervals so long that a change reaches the other nodes by the change feed alone.
const FEED_ONLY: &str = "cluster.compare_interval = \"1h\"\ndelivery.sweep_interval = \"1h\"\n\
                         poll.wait = \"5m\"\n";

#[actix_web::test]
async fn a_change_on_one_node_takes_effect_on_all() {
    let daemons = Daemons::start(3, FEED_ONLY).await;
    let id = daemons.create_stream(0, &by_poll()).await;
    for node in 0..3 {
        let made = async || daemons.stream(node, &id).await.status == 200;
        eventually("every node knows the stream", made).await;
    }

    let members = json!({"stream_id": id, "description": "of node 1"});
    daemons.call(1, "PATCH", "/ssf/streams", &members).await.expect(200);
    for node in 0..3 {
        let changed = async || daemons.stream(node, &id).await.json()["description"] == "of node 1";
        eventually("every node has the change", changed).await;
    }

    // A change may come before the last one has reached the node that takes it.
    for (node, description) in [(0, "a"), (2, "b"), (1, "c"), (0, "d")] {
        let members = json!({"stream_id": id, "description": description});
        daemons.call(node, "PATCH", "/ssf/streams", &members).await.expect(200);
    }
    let status = json!({"stream_id": id, "status": "disabled"});
    daemons.call(2, "POST", "/ssf/status", &status).await.expect(200);
    for node in 0..3 {
        let last = async || daemons.stream(node, &id).await.json()["description"] == "d";
        eventually("every node has the last change", last).await;
    }

    let path = format!("/ssf/streams?stream_id={id}");
    daemons.call(1, "DELETE", &path, &json!({})).await.expect(204);
    for node in 0..3 {
        let gone = async || daemons.stream(node, &id).await.status == 404;
        eventually("the stream is gone everywhere", gone).await;
    }
}

/// The node that serves the stream learns of changes and of events from the nodes that took them.
#[actix_web::test]
async fn a_push_stream_is_served_whichever_node_takes_requests_and_events() {
    let daemons = Daemons::start(3, FEED_ONLY).await;
    let (mut before, mut after) = (Receiver::accepting().await, Receiver::accepting().await);
    let id = daemons.create_stream(0, &push_to(&before.url("/in"))).await;
    for node in 0..3 {
        let made = async || daemons.stream(node, &id).await.status == 200;
        eventually("every node knows the stream", made).await;
    }
    for node in 0..3 {
        daemons.publish(node, &about(&format!("by-{node}"))).await;
        assert_eq!(before.next().await.subject(), format!("by-{node}"));
    }
    daemons.redis.publish(EVENTS_KEY, &about("by-redis")).await;
    assert_eq!(before.next().await.subject(), "by-redis");

    let owner = daemons.owner_of(&id).await;
    let elsewhere = (owner + 1) % 3;
    let pause = json!({"stream_id": id, "status": "paused"});
    daemons.call(elsewhere, "POST", "/ssf/status", &pause).await.expect(200);
    daemons.publish(owner, &about("held")).await;
    let moved = json!({"stream_id": id, "delivery": push_to(&after.url("/in"))});
    daemons.call(elsewhere, "PATCH", "/ssf/streams", &moved).await.expect(200);
    let enable = json!({"stream_id": id, "status": "enabled"});
    daemons.call((owner + 2) % 3, "POST", "/ssf/status", &enable).await.expect(200);
    assert_eq!(after.next().await.subject(), "held");
    assert!(before.rest().is_empty());
}

/// The command line writes into the store, and tells no node.
#[actix_web::test]
async fn a_long_poll_ends_on_each_node_when_its_token_is_revoked() {
    let daemons = Daemons::start(2, FEED_ONLY).await;
    let id = daemons.create_stream(0, &by_poll()).await;
    let made = async || daemons.stream(1, &id).await.status == 200;
    eventually("both nodes know the stream", made).await;
    let polls = [0, 1].map(|node| {
        let url = daemons.nodes[node].public_url(&format!("/ssf/poll/{id}"));
        spawn_local(post(&url).bearer(&daemons.receiver_token).json(&json!({})).send())
    });
    for node in &daemons.nodes {
        let waits = async || node.metric("ssfd_long_polls").await == 1;
        eventually("a poll waits on each node", waits).await;
    }
    daemons.revoke_receiver();
    for poll in polls {
        poll.await.expect("no panic").expect(401);
    }
}

#[actix_web::test]
async fn a_long_poll_wakes_for_an_event_that_another_node_took_in() {
    let daemons = Daemons::start(2, FEED_ONLY).await;
    let id = daemons.create_stream(0, &by_poll()).await;
    let made = async || daemons.stream(1, &id).await.status == 200;
    eventually("both nodes know the stream", made).await;
    for (polled, published) in [(1, 0), (0, 1)] {
        let url = daemons.nodes[polled].public_url(&format!("/ssf/poll/{id}"));
        let poll = post(&url).bearer(&daemons.receiver_token).json(&json!({}));
        let polling = spawn_local(async move { poll.send().await });
        let waits = async || daemons.nodes[polled].metric("ssfd_long_polls").await == 1;
        eventually("the poll waits", waits).await;
        daemons.publish(published, &about("s-1")).await;
        let answer = polling.await.expect("no panic").expect(200).json();
        let sets = answer["sets"].as_object().expect("`sets`").clone();
        let (jti, jws) = sets.iter().next().expect("one of them");
        let claims = crate::harness::receiver::claims(jws.as_str().expect("a JWS"));
        assert_eq!((sets.len(), subject(&claims)), (1, "s-1".to_owned()));
        // The other node settles it.
        let ack = json!({"ack": [jti], "returnImmediately": true});
        let path = format!("/ssf/poll/{id}");
        let answer = daemons.call(published, "POST", &path, &ack).await.expect(200);
        assert_eq!(answer.json()["sets"], json!({}));
    }
}

#[actix_web::test]
async fn a_subject_that_is_removed_on_one_node_is_sent_by_none() {
    let daemons = Daemons::start(2, FEED_ONLY).await;
    let mut receiver = Receiver::accepting().await;
    let id = daemons.create_stream(0, &push_to(&receiver.url("/in"))).await;
    let made = async || daemons.stream(1, &id).await.status == 200;
    eventually("both nodes know the stream", made).await;
    let subject = json!({"format": "opaque", "id": "kim"});
    let removal = json!({"stream_id": id, "subject": subject});
    daemons.call(0, "POST", "/ssf/subjects/remove", &removal).await.expect(204);
    for node in 0..2 {
        daemons.publish(node, &about_with("kim", json!({"id": format!("n-{node}")}))).await;
        daemons.publish(node, &about(&format!("last-{node}"))).await;
        assert_eq!(receiver.next().await.subject(), format!("last-{node}"));
    }
}

/// Such a change happens if a node crashes before it can notify the others. The test writes to the
/// store directly.
#[actix_web::test]
async fn a_change_without_a_notice_is_found_by_comparing() {
    let daemons = Daemons::start(2, "cluster.compare_interval = \"100ms\"\n").await;
    let id = daemons.create_stream(0, &by_poll()).await;
    let settings = RedisSettings {
        urls: vec![daemons.redis.url()],
        checks: Checks::Warn,
        ..RedisSettings::default()
    };
    let store = RedisStore::open(&settings, Arc::new(Epochs::default())).await.expect("it opens");
    let key: StreamId = id.parse().expect("an id");
    let stream = store.stream(&key).await.expect("readable").expect("it is there");
    let changed = ssfd::domain::stream::StreamConfig {
        description: Some("without a notice".into()),
        version: stream.version + 1,
        ..stream
    };
    store.update_stream(changed).await.expect("stored");
    for node in 0..2 {
        let found =
            async || daemons.stream(node, &id).await.json()["description"] == "without a notice";
        eventually("every node finds the change", found).await;
    }
    store.delete_stream(&key).await.expect("deleted");
    for node in 0..2 {
        let found = async || daemons.stream(node, &id).await.status == 404;
        eventually("every node finds that it is gone", found).await;
    }
}
