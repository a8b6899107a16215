//! A replay sends the SETs of a stream again.

use serde_json::{Value, json};

use crate::{
    harness::{receiver::Receiver, setup::Setup},
    scripted_server::Seen,
};

/// Returns a push stream that has been sent one SET about each of `s-1`, `s-2`, `s-1`.
async fn delivered(receiver: &mut Receiver) -> (Setup, Vec<Seen>) {
    let setup = Setup::pushing_to(receiver).await;
    setup.publish(&["s-1", "s-2", "s-1"]).await;
    let mut sets = receiver.next_few(3).await;
    setup.settled().await;
    // SETs about different subjects may overtake each other.
    sets.sort_by_key(Seen::subject);
    (setup, sets)
}

async fn next(receiver: &mut Receiver, count: usize) -> Vec<Seen> {
    let mut sets = receiver.next_few(count).await;
    sets.sort_by_key(Seen::subject);
    sets
}

fn claims(sets: &[Seen]) -> Vec<Value> {
    sets.iter().map(Seen::claims).collect()
}

#[actix_web::test]
async fn a_replay_sends_the_same_sets_in_the_same_order() {
    let mut receiver = Receiver::accepting().await;
    let (setup, first) = delivered(&mut receiver).await;
    let replay = ["replay", &setup.stream, "--since", "1h"];

    let counted = setup.daemon.ssfd_says(&[&replay[..], &["--dry-run"]].concat()).await;
    assert_eq!(counted, format!("3 would be replayed to {}\n", setup.stream));
    assert!(receiver.rest().is_empty());
    // A replay can be repeated. The second one takes two pages.
    for rate in ["100", "2"] {
        let replayed = setup.daemon.ssfd_json(&[&replay[..], &["--rate", rate]].concat()).await;
        assert_eq!(replayed, json!({"dry_run": false, "sets": 3, "left": 0}));
        assert_eq!(claims(&next(&mut receiver, 3).await), claims(&first));
        setup.settled().await;
    }
    let since = "2100-01-01T00:00:00Z";
    let replayed = setup.daemon.ssfd_says(&["replay", &setup.stream, "--since", since]).await;
    assert!(replayed.starts_with("0 replayed"), "{replayed}");
}

/// A new `jti` makes a new SET with a new `iat` (RFC 8417 §2.2). Its `txn` stays, because the cause
/// is the same.
#[actix_web::test]
async fn a_replay_with_new_jtis_sends_the_same_claims() {
    let mut receiver = Receiver::accepting().await;
    let (setup, first) = delivered(&mut receiver).await;
    let mut seen: Vec<_> = first.iter().map(Seen::jti).collect();
    for _ in 0..2 {
        let replay = ["replay", &setup.stream, "--since", "1h", "--new-jti"];
        let replayed = setup.daemon.ssfd_says(&replay).await;
        // The second replay does not copy the copies of the first.
        assert_eq!(replayed, format!("3 replayed to {}\n", setup.stream));
        let again = next(&mut receiver, 3).await;
        for (again, first) in again.iter().zip(&first) {
            let (mut again, mut first) = (again.claims(), first.claims());
            let issued = [&again, &first].map(|claims| claims["iat"].as_i64().expect("a number"));
            assert!(issued[1] <= issued[0], "{issued:?}");
            seen.push(again["jti"].as_str().expect("a jti").to_owned());
            for claims in [&mut again, &mut first] {
                let claims = claims.as_object_mut().expect("claims");
                claims.remove("jti").and(claims.remove("iat")).expect("both are there");
            }
            assert_eq!(again, first);
        }
        setup.settled().await;
    }
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 9);
}

#[actix_web::test]
async fn a_polling_receiver_gets_replayed_sets_with_its_next_poll() {
    let setup = Setup::polling().await;
    setup.publish(&["s-1", "s-2"]).await;
    let first = setup.take_by_poll().await;
    assert_eq!(first.len(), 2);
    for (flag, kept) in [(&[][..], true), (&["--new-jti"], false)] {
        let replay = ["replay", &setup.stream, "--since", "1h"];
        setup.daemon.ssfd_says(&[&replay[..], flag].concat()).await;
        let again = setup.take_by_poll().await;
        assert_eq!(again.len(), 2);
        assert!(again.keys().all(|jti| first.contains_key(jti) == kept), "{again:?}");
    }
}

#[actix_web::test]
async fn a_replay_begins_at_a_jti_or_a_position() {
    let mut receiver = Receiver::accepting().await;
    let setup = Setup::pushing_to(&receiver).await;
    setup.publish(&["s-1", "s-1", "s-1"]).await;
    let first = receiver.next_few(3).await;
    setup.settled().await;
    let second = first[1].jti();
    let trace = setup.daemon.ssfd_json(&["explain", "--jti", &second]).await;
    let place = trace["streams"][0]["sets"][0]["position"].to_string();

    // The position is tried first, because a replay under the same `jti` moves a SET to the end.
    for from in [["--from-position", &place], ["--from-jti", &second]] {
        let replay = ["replay", &setup.stream, from[0], from[1], "--dry-run"];
        assert!(setup.daemon.ssfd_says(&replay).await.starts_with("2 "), "{from:?}");
    }
    setup.daemon.ssfd_says(&["replay", &setup.stream, "--from-jti", &second]).await;
    assert_eq!(claims(&receiver.next_few(2).await), claims(&first[1..]));
}

/// A client that lost an answer requests the same page again.
#[actix_web::test]
async fn a_replay_page_that_is_requested_twice_replays_each_set_once() {
    let mut receiver = Receiver::accepting().await;
    let (setup, _) = delivered(&mut receiver).await;
    let path = format!("/streams/{}/replay", setup.stream);
    let mut body = json!({"since": 0, "jti": "new", "limit": 1});
    let page = setup.post_as_operator(&path, &body).await.expect(200).json();
    assert_eq!((&page["sets"], &page["left"]), (&json!(1), &json!(0)));
    body["after"] = page["next"].clone();
    for expected in [(1, 0), (0, 1)] {
        let page = setup.post_as_operator(&path, &body).await.expect(200).json();
        assert_eq!((&page["sets"], &page["left"]), (&json!(expected.0), &json!(expected.1)));
    }
    setup.settled().await;
    assert_eq!(receiver.next_few(2).await.len(), 2);
    assert!(receiver.rest().is_empty());
}

#[actix_web::test]
async fn a_disabled_stream_gets_no_replay() {
    let mut receiver = Receiver::accepting().await;
    let (setup, first) = delivered(&mut receiver).await;
    let replay = ["replay", &setup.stream, "--since", "1h"];
    setup.change_status("disabled").await;
    let refused = setup.daemon.ssfd_fails(&replay).await;
    assert!(refused.contains("409") && refused.contains("disabled"), "{refused}");
    setup.change_status("paused").await;
    setup.daemon.ssfd_says(&replay).await;
    assert_eq!(setup.daemon.backlog().await, 3);
    assert!(receiver.rest().is_empty());
    setup.change_status("enabled").await;
    assert_eq!(claims(&next(&mut receiver, 3).await), claims(&first));

    let unknown = setup.daemon.ssfd_fails(&["replay", "st_x", "--since", "1h"]).await;
    assert!(unknown.contains("404"), "{unknown}");
    let jti = ["replay", &setup.stream, "--from-jti", "never-was"];
    let unknown = setup.daemon.ssfd_fails(&jti).await;
    assert!(unknown.contains("nothing of this name is kept"), "{unknown}");
}
