//! The status of a stream (SSF §8.1.2).

use std::{collections::BTreeSet, fs, path::Path};

use serde_json::{Value, json};
use ssfd::config::Config;

use crate::{
    harness::{
        daemon::Daemon,
        events::about_with,
        receiver::{Receiver, claims, subject},
        receiver_client::{ReceiverClient, UNKNOWN, assert_refused},
        setup::Setup,
        streams::{by_poll, push_to},
    },
    scripted_server::Seen,
};

const ALL: [&str; 3] = ["enabled", "paused", "disabled"];

async fn change(client: &ReceiverClient<'_>, members: &Value) -> Value {
    client.send("POST", "/ssf/status", members).await.expect(200).json()
}

/// Starts a daemon with a push stream to `/in` and another to `/other`. Once a SET has arrived at
/// `/other`, a SET of the first stream would have arrived too.
async fn with_another(receiver: &Receiver) -> Setup {
    let setup = Setup::pushing_to(receiver).await;
    setup.daemon.create_stream(&setup.token, push_to(&receiver.url("/other"))).await;
    setup
}

/// Returns the next requests. Asserts that all are for this path.
async fn next_at(receiver: &mut Receiver, path: &str, count: usize) -> Vec<Seen> {
    let few = receiver.next_few(count).await;
    assert!(few.iter().all(|set| set.target == path), "{few:?}");
    few
}

#[actix_web::test]
async fn stat_01_the_status_is_read_with_its_reason() {
    let daemon = Daemon::start().await;
    let client = daemon.client("rx").await;
    let id = client.new_stream().await;
    assert_eq!(client.status(&id).await, json!({"stream_id": id, "status": "enabled"}));
    let said = json!({"stream_id": id, "status": "paused", "reason": "upgrade"});
    change(&client, &said).await;
    assert_eq!(client.status(&id).await, said);
}

/// The conformance suite repeats the `stream_id` in the query. The one in the body counts.
#[actix_web::test]
async fn stat_02_each_status_can_be_set_from_each_and_is_echoed() {
    let daemon = Daemon::start().await;
    let client = daemon.client("rx").await;
    let id = client.new_stream().await;
    for (from, to) in ALL.into_iter().flat_map(|from| ALL.map(|to| (from, to))) {
        change(&client, &json!({"stream_id": id, "status": from})).await;
        let said = json!({"stream_id": id, "status": to, "reason": format!("not {from}")});
        let answer = client.send("POST", "/ssf/status?stream_id=another", &said).await.expect(200);
        assert_eq!(answer.json(), said);
        assert_eq!(client.status(&id).await, said);
    }
}

/// The refusal names the rule, and the status does not change.
#[actix_web::test]
async fn stat_03_an_unknown_status_and_a_missing_member_are_refused() {
    let daemon = Daemon::start().await;
    let (client, other) = (daemon.client("rx").await, daemon.client("other").await);
    let id = client.new_stream().await;
    for (body, detail) in [
        (json!({"stream_id": id, "status": "Paused"}), "`status` must be `enabled`, `paused` or"),
        (json!({"stream_id": id, "status": ""}), "`status` must be"),
        (json!({"stream_id": id, "status": null}), "`status` is required"),
        (json!({"stream_id": id, "status": 1}), "`status` must be a string"),
        (json!({"stream_id": id}), "`status` is required"),
        (json!({"status": "paused"}), "`stream_id` is required"),
        (json!({"stream_id": 1, "status": "paused"}), "`stream_id` must be a string"),
        (json!({"stream_id": null, "status": "paused"}), "`stream_id` is required"),
        (json!({"stream_id": id, "status": "paused", "reason": 7}), "`reason` must be a string"),
    ] {
        let path = format!("/ssf/status?stream_id={id}");
        assert_refused(&client.send("POST", &path, &body).await, 400, detail);
    }
    assert_refused(&client.get("/ssf/status").await, 400, "`stream_id` is required");
    let twice = client.get(&format!("/ssf/status?stream_id={id}&stream_id={id}")).await;
    assert_refused(&twice, 400, "`stream_id` must be given once");
    for id in [&id[..], UNKNOWN, "a%20b", ""] {
        let answer = other.get(&format!("/ssf/status?stream_id={id}")).await;
        assert_refused(&answer, 404, "no such stream");
        let body = json!({"stream_id": id, "status": "disabled"});
        assert_refused(&other.send("POST", "/ssf/status", &body).await, 404, "no such stream");
    }
    assert_eq!(client.status(&id).await["status"], "enabled");
}

#[actix_web::test]
async fn stat_04_nothing_is_delivered_while_a_stream_is_paused_or_disabled() {
    let mut receiver = Receiver::accepting().await;
    let setup = with_another(&receiver).await;
    let polled = setup.daemon.create_stream(&setup.token, by_poll()).await;
    for status in ["paused", "disabled"] {
        for stream in [&setup.stream, &polled] {
            setup.daemon.change_status(&setup.token, stream, status).await.expect(200);
        }
        setup.publish(&["s-1", "s-2"]).await;
        next_at(&mut receiver, "/other", 2).await;
        assert!(receiver.rest().is_empty());
        assert!(setup.client().polled(&polled).await.is_empty());
    }
}

#[actix_web::test]
async fn stat_05_events_of_a_paused_stream_are_delivered_once_it_is_enabled() {
    let mut receiver = Receiver::accepting().await;
    let mut setup = Setup::pushing_to(&receiver).await;
    setup.change_status("paused").await;
    setup.publish(&["s-1", "s-2"]).await;
    // The stream stays paused over a restart.
    setup.daemon.restart().await;
    setup.publish(&["s-3"]).await;
    setup.change_status("enabled").await;
    let mut arrived: Vec<_> = receiver.next_few(3).await.iter().map(Seen::subject).collect();
    arrived.sort();
    assert_eq!(arrived, ["s-1", "s-2", "s-3"]);
    setup.settled().await;
    assert!(receiver.rest().is_empty());
}

#[actix_web::test]
async fn stat_06_held_sets_about_one_subject_arrive_in_order() {
    const EACH: usize = 8;
    let mut receiver = Receiver::accepting().await;
    let setup = Setup::pushing_to(&receiver).await;
    setup.change_status("paused").await;
    let subjects = ["kim", "lee", "sam"];
    for n in 0..EACH {
        for subject in subjects {
            let event = about_with(subject, json!({"event": {"n": n}}));
            setup.daemon.publish(&setup.publisher, &event).await.expect(202);
        }
    }
    setup.change_status("enabled").await;
    let arrived = receiver.next_few(EACH * subjects.len()).await;
    for subject in subjects {
        let of_subject = arrived.iter().filter(|set| set.subject() == subject);
        let order: Vec<_> = of_subject.map(|set| set.payload()["n"].clone()).collect();
        assert_eq!(order, (0..EACH).map(Value::from).collect::<Vec<_>>(), "{subject}");
    }
}

#[actix_web::test]
async fn stat_07_events_of_a_disabled_stream_are_never_delivered() {
    let mut receiver = Receiver::accepting().await;
    let setup = with_another(&receiver).await;
    // Disabling discards the held SETs as well as the events that are published while the stream is
    // disabled.
    setup.change_status("paused").await;
    setup.publish(&["s-1"]).await;
    setup.change_status("disabled").await;
    setup.publish(&["s-2"]).await;
    // Pausing the stream does not bring them back.
    setup.change_status("paused").await;
    setup.change_status("enabled").await;
    next_at(&mut receiver, "/other", 2).await;
    setup.publish(&["s-3"]).await;
    let arrived = receiver.next_few(2).await;
    assert!(arrived.iter().all(|set| set.subject() == "s-3"), "{arrived:?}");
    setup.settled().await;
    assert!(receiver.rest().is_empty());
}

/// The limits are documented in `docs/receive` for Receivers and in the shipped configuration for
/// operators. The documented numbers are the defaults.
#[test]
fn stat_10_the_limits_of_a_paused_stream_are_documented() {
    let store = Config::default().store;
    let days = store.held_for.as_secs() / (24 * 60 * 60);
    let thousands = store.held_max / 1000;
    let read = |name: &str| {
        let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name));
        text.expect("it is in the tree").split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let page = read("docs/receive/subjects-and-status.md");
    let said = format!(
        "holds its SETs until it is enabled, up to {thousands},000 of them and for {days} days"
    );
    assert!(page.contains(&said), "`{said}` is not in docs/receive");
    let said = format!("held_max = {} held_for = \"{days}d\"", store.held_max);
    assert!(read("config/ssfd.toml").contains(&said), "`{said}` is not in the configuration");
}

#[actix_web::test]
async fn stat_11_a_change_that_the_receiver_asked_for_is_not_announced() {
    let setup = Setup::polling().await;
    for status in ["paused", "enabled", "disabled", "enabled", "disabled", "paused", "enabled"] {
        setup.change_status(status).await;
        assert!(setup.waiting().await.is_empty(), "{status}");
        assert!(setup.client().polled(&setup.stream).await.is_empty(), "{status}");
    }
}

/// A stream that an operator stops sends the announcement and then nothing more, until it is
/// enabled again.
#[actix_web::test]
async fn stat_08_the_announcement_of_a_stop_is_the_last_set_that_is_sent() {
    let mut receiver = Receiver::accepting().await;
    let setup = Setup::pushing_to(&receiver).await;
    setup.publish(&["s-1"]).await;
    next_at(&mut receiver, "/in", 1).await;
    setup.daemon.create_stream(&setup.token, push_to(&receiver.url("/other"))).await;
    for status in ["paused", "disabled"] {
        setup.set_status(status, "moving").await;
        setup.assert_announced(&receiver.next().await.claims(), status, "moving");
        setup.publish(&["s-1", "s-2"]).await;
        next_at(&mut receiver, "/other", 2).await;
        assert!(receiver.rest().is_empty());

        setup.set_status("enabled", "").await;
        let held = if status == "paused" { 2 } else { 0 };
        next_at(&mut receiver, "/in", 1 + held).await;
        setup.settled().await;
    }
}

/// The announcement comes before the held SETs, by poll and over a restart.
#[actix_web::test]
async fn stat_09_the_announcement_of_a_resumption_is_sent_first() {
    let mut setup = Setup::polling().await;
    setup.publish(&["s-1", "s-2"]).await;
    setup.set_status("paused", "moving").await;
    setup.publish(&["s-3"]).await;
    let client = setup.client();
    let said = client.polled(&setup.stream).await;
    assert_eq!(said.len(), 1);
    setup.assert_announced(&said[0], "paused", "moving");

    setup.set_status("enabled", "moved").await;
    setup.daemon.restart().await;
    let first = setup.poll(json!({"maxEvents": 1})).await.expect(200).json();
    let first = first["sets"].as_object().expect("an object").values().next().cloned();
    let first = claims(first.expect("one").as_str().expect("a compact JWS"));
    setup.assert_announced(&first, "enabled", "moved");
    let held: BTreeSet<_> =
        setup.client().polled(&setup.stream).await.iter().map(subject).collect();
    assert_eq!(held, ["s-1", "s-2", "s-3"].map(str::to_owned).into());
}
