//! Settled SETs, as operators look at them: dead letters, what was sent, and how either goes out
//! again.

use std::collections::BTreeMap;

use ssfd::{
    domain::{reason::StoredReason, set_error::SetError},
    store::{
        Acknowledgement, StoreError,
        archive::{DeadCount, DeadFilter, KeptSet, Page, Requeue, SetState, Since},
    },
};

use super::*;

const TYPE: &str = "https://schemas.openid.net/secevent/caep/event-type/session-revoked";

/// A SET with claims that tell of its event, about the opaque subject `subject`.
fn about(stream: &str, name: &str, subject: &str) -> NewSet {
    let claims = serde_json::json!({
        "jti": name, "txn": "t-1", "sub_id": {"format": "opaque", "id": subject},
        "events": {TYPE: {}},
    });
    NewSet { claims: claims.to_string().into(), ..set(stream, name) }
}

async fn end(store: &dyn Store, stream: &str, name: &str, disposition: Disposition, at: Timestamp) {
    let seq = seq(store, stream, name).await;
    let settlements = vec![judged_now(store, stream, seq, disposition).await];
    store.settle(&id(stream), settlements, at).await.expect("settled");
}

async fn kill(store: &dyn Store, stream: &str, name: &str, reason: &str, at: Timestamp) {
    let StoredReason::Known(reason) = reason.into() else { panic!("no such reason: {reason}") };
    let detail = "the head of the answer".into();
    end(store, stream, name, Disposition::Dead { reason, detail }, at).await;
}

fn jtis(sets: &[KeptSet]) -> String {
    sets.iter().map(|set| set.jti.as_str()).collect::<Vec<_>>().join(" ")
}

/// The `jti`s of all dead letters that are meant.
async fn dead_of(store: &dyn Store, filter: DeadFilter) -> String {
    let page = store.dead_letters(filter, None, 1000).await.expect("readable");
    assert_eq!(page.next, None);
    jtis(&page.sets)
}

async fn all_dead(store: &dyn Store) -> Vec<KeptSet> {
    store.dead_letters(DeadFilter::default(), None, 1000).await.expect("readable").sets
}

async fn retained(store: &dyn Store, stream: &str, since: Since) -> Vec<KeptSet> {
    let page = store.retained(&id(stream), since, None, 1000).await.expect("readable");
    assert_eq!(page.next, None);
    page.sets
}

async fn requeue(store: &dyn Store, stream: &str, sets: Vec<Requeue>) -> usize {
    store.requeue(&id(stream), sets, later(100)).await.expect("requeued")
}

async fn state_of(store: &dyn Store, stream: &str, name: &str) -> SetState {
    let kept = store.kept_sets(vec![(id(stream), jti(name))]).await.expect("readable");
    kept.into_iter().next().expect("it is there").state
}

pub(super) async fn a_dead_letter_keeps_what_became_of_it(backend: impl Backend) {
    let store = backend.open().await;
    create(&*store, vec![push_stream("st_1"), poll_stream("st_2")]).await;
    append_sets(&*store, vec![set("st_1", "j1"), set("st_2", "j2")]).await;
    end(&*store, "st_1", "j1", retry_at(NOW), later(1)).await;
    kill(&*store, "st_1", "j1", "expired", later(2)).await;
    let refused = vec![(jti("j2"), SetError::new("invalid_key", "which one?"))];
    let refused = Acknowledgement { acked: vec![], refused };
    store.acknowledge(&id("st_2"), refused, later(3)).await.expect("acknowledged");
    // Without a further attempt.
    append_sets(&*store, vec![set("st_1", "j3")]).await;
    end(&*store, "st_1", "j3", retry_at(NOW), NOW).await;
    let (reason, detail) = (Reason::Expired, "out of reach".to_owned());
    end(&*store, "st_1", "j3", Disposition::GivenUp { reason, detail }, later(4)).await;
    drop(store);

    let store = backend.open().await;
    let found = all_dead(&*store).await;
    let dead = |at, reason: &str, detail: &str| SetState::Dead {
        at,
        reason: reason.into(),
        detail: detail.into(),
    };
    let expected = KeptSet {
        provider: "acme".parse().expect("valid"),
        stream: id("st_1"),
        seq: found[0].seq,
        jti: jti("j1"),
        copy_of: None,
        claims: Some(set("st_1", "j1").claims),
        accepted_at: NOW,
        appended_at: NOW,
        kind: SetKind::Event,
        attempts: 2,
        state: dead(later(2), "expired", "the head of the answer"),
    };
    assert_eq!(found[0], expected);
    let given_up = dead(later(4), "expired", "out of reach");
    assert_eq!((found[1].attempts, &found[1].state), (1, &given_up));
    assert_eq!(found[2].state, dead(later(3), "invalid_key", "invalid_key: which one?"));
    assert_eq!(found.len(), 3);
}

pub(super) async fn dead_letters_are_found_by_what_is_asked_for(backend: impl Backend) {
    let store = backend.open().await;
    let other = "other".parse().expect("valid");
    let elsewhere = StreamConfig { provider: other, ..push_stream("st_3") };
    create(&*store, vec![push_stream("st_1"), push_stream("st_2"), elsewhere]).await;
    let of_other = Append {
        provider: "other".parse().expect("valid"),
        ..event(vec![about("st_3", "j5", "s-1")])
    };
    append_sets(
        &*store,
        vec![
            about("st_2", "j1", "s-1"),
            about("st_1", "j2", "s-2"),
            about("st_1", "j3", "s-1"),
            set("st_1", "j4"),
            about("st_1", "alive", "s-1"),
        ],
    )
    .await;
    append(&*store, vec![of_other], NOW).await;
    kill(&*store, "st_2", "j1", "expired", later(1)).await;
    kill(&*store, "st_1", "j2", "invalid_key", later(2)).await;
    kill(&*store, "st_1", "j3", "expired", later(3)).await;
    kill(&*store, "st_1", "j4", "expired", later(4)).await;
    kill(&*store, "st_3", "j5", "expired", later(5)).await;

    let any = DeadFilter::default;
    // Stream by stream, each in its order.
    assert_eq!(dead_of(&*store, any()).await, "j2 j3 j4 j1 j5");
    let provider = Some("acme".parse().expect("valid"));
    assert_eq!(dead_of(&*store, DeadFilter { provider, ..any() }).await, "j2 j3 j4 j1");
    let stream = Some(id("st_1"));
    let of_stream = DeadFilter { stream, ..any() };
    assert_eq!(dead_of(&*store, of_stream.clone()).await, "j2 j3 j4");
    let unknown = DeadFilter { stream: Some(id("st_x")), ..any() };
    assert_eq!(dead_of(&*store, unknown).await, "");
    let reason = Some(Reason::Expired.into());
    assert_eq!(
        dead_of(&*store, DeadFilter { reason: reason.clone(), ..of_stream.clone() }).await,
        "j3 j4"
    );
    let event_type = Some(TYPE.parse().expect("valid"));
    assert_eq!(dead_of(&*store, DeadFilter { event_type, ..of_stream }).await, "j2 j3");
    let subject = serde_json::json!({"format": "opaque", "id": "s-1"});
    let subject = Some(subject.try_into().expect("a subject"));
    assert_eq!(dead_of(&*store, DeadFilter { subject, reason, ..any() }).await, "j3 j1 j5");
    let (since, until) = (Some(later(2)), Some(later(4)));
    assert_eq!(dead_of(&*store, DeadFilter { since, until, ..any() }).await, "j2 j3");
    let of_jti = |name| DeadFilter { jti: Some(jti(name)), ..any() };
    assert_eq!(dead_of(&*store, of_jti("j5")).await, "j5");
    assert_eq!(dead_of(&*store, of_jti("alive")).await, "");

    let mut counts = store.dead_counts().await.expect("readable");
    counts.sort_by_key(|count| (count.provider.clone(), count.reason.label().to_owned()));
    let count = |provider: &str, reason: &str, sets| DeadCount {
        provider: provider.parse().expect("valid"),
        reason: reason.into(),
        sets,
    };
    let expected = [
        count("acme", "expired", 3),
        count("acme", "invalid_key", 1),
        count("other", "expired", 1),
    ];
    assert_eq!(counts, expected);
}

pub(super) async fn going_from_page_to_page_comes_to_an_end(backend: impl Backend) {
    let store = backend.open().await;
    create(&*store, vec![push_stream("st_1"), push_stream("st_2")]).await;
    let names = ["j1", "j2", "j3"];
    for name in names {
        append_sets(&*store, vec![set("st_1", name), set("st_2", name)]).await;
        kill(&*store, "st_1", name, "expired", NOW).await;
        kill(&*store, "st_2", name, "expired", NOW).await;
    }
    // Each that is sent again is refused again at once.
    let (mut seen, mut next) = (Vec::new(), None);
    loop {
        let page = store.dead_letters(DeadFilter::default(), next, 2).await;
        let Page { sets, next: more } = page.expect("readable");
        for set in sets {
            let stream = set.stream.as_str();
            assert_eq!(requeue(&*store, stream, vec![Requeue::Same(set.seq)]).await, 1);
            kill(&*store, stream, set.jti.as_str(), "expired", NOW).await;
            seen.push(format!("{stream} {}", set.jti));
        }
        next = more;
        if next.is_none() {
            break;
        }
    }
    let expected = ["st_1", "st_2"].map(|stream| names.map(|name| format!("{stream} {name}")));
    assert_eq!(seen, expected.concat());
    assert_eq!(all_dead(&*store).await.len(), 6);

    let made_up = store.dead_letters(DeadFilter::default(), Some("x".to_owned().into()), 2).await;
    assert!(matches!(made_up, Err(StoreError::NoSuchPage)), "{made_up:?}");
}

pub(super) async fn a_set_that_is_requeued_waits_behind_the_others(backend: impl Backend) {
    let store = backend.open().await;
    create(&*store, vec![push_stream("st_1")]).await;
    append_sets(&*store, ["j1", "j2", "j3", "j4"].map(|name| set("st_1", name)).to_vec()).await;
    end(&*store, "st_1", "j1", retry_at(later(9)), NOW).await;
    kill(&*store, "st_1", "j1", "expired", NOW).await;
    end(&*store, "st_1", "j3", Disposition::Delivered, NOW).await;
    let before = retained(&*store, "st_1", Since::default()).await;
    assert_eq!(jtis(&before), "j1 j3");

    let again = before.iter().map(|set| Requeue::Same(set.seq)).collect::<Vec<_>>();
    assert_eq!(requeue(&*store, "st_1", again.clone()).await, 2);
    let waiting = pending(&*store, "st_1").await;
    assert_eq!(names(&waiting), ["j2", "j4", "j1", "j3"]);
    let moved = &waiting[2];
    let original = set("st_1", "j1");
    assert_eq!((&moved.claims, moved.lane), (&original.claims, original.lane));
    // Its time begins anew, and it is known of old.
    let expected = (0, later(100), later(100));
    assert_eq!((moved.attempts, moved.appended_at, moved.due_at), expected);
    let kept = store.sets_of_jti(&jti("j1")).await.expect("readable");
    assert_eq!((kept.len(), kept[0].accepted_at), (1, NOW));

    // Once only, whoever asks again; and what comes next comes behind it.
    assert_eq!(requeue(&*store, "st_1", again).await, 0);
    append_sets(&*store, vec![set("st_1", "j1"), set("st_1", "j5")]).await;
    drop(store);
    let store = backend.open().await;
    append_sets(&*store, vec![set("st_1", "j6")]).await;
    assert_eq!(names(&pending(&*store, "st_1").await), ["j2", "j4", "j1", "j3", "j5", "j6"]);
}

/// The SET may be pushed once no earlier SET of its lane is unsettled.
pub(super) async fn what_is_requeued_takes_its_place_in_its_lane(backend: impl Backend) {
    let store = backend.open().await;
    create(&*store, vec![push_stream("st_1")]).await;
    let sets = [("a1", 1), ("b1", 2), ("c1", 3), ("a2", 1)];
    append_sets(&*store, sets.map(|(name, lane)| in_lane(lane, set("st_1", name))).to_vec()).await;
    let heads = async || {
        let due = store.read_due(&id("st_1"), up_to(9), later(100)).await.expect("readable");
        names(&due.sets).join(" ")
    };
    for name in ["a1", "b1", "c1"] {
        kill(&*store, "st_1", name, "expired", NOW).await;
    }
    assert_eq!(heads().await, "a2");
    let dead = all_dead(&*store).await;
    let again: Vec<_> = dead[..2].iter().map(|set| Requeue::Same(set.seq)).collect();
    assert_eq!(requeue(&*store, "st_1", again).await, 2);
    assert_eq!(heads().await, "a2 b1");
    let copies = [("k1", jti("k1")), ("k2", jti("k2"))].map(|(name, jti)| Requeue::Copy {
        of: dead[2].seq,
        jti,
        claims: name.into(),
    });
    assert_eq!(requeue(&*store, "st_1", copies.to_vec()).await, 2);
    assert_eq!(heads().await, "a2 b1 k1");
    for (settled, left) in [("a2", "a1 b1 k1"), ("k1", "a1 b1 k2"), ("b1", "a1 k2")] {
        end(&*store, "st_1", settled, Disposition::Delivered, NOW).await;
        assert_eq!(heads().await, left);
    }
}

pub(super) async fn what_cannot_go_out_is_not_requeued(backend: impl Backend) {
    let store = backend.open().await;
    create(&*store, vec![push_stream("st_1"), push_stream("st_2")]).await;
    append_sets(&*store, vec![control("st_1", "c1"), set("st_1", "j1"), set("st_1", "j2")]).await;
    for name in ["c1", "j1"] {
        kill(&*store, "st_1", name, "expired", NOW).await;
    }
    let waits = seq(&*store, "st_1", "j2").await;
    let dead: Vec<_> = all_dead(&*store).await.iter().map(|set| set.seq).collect();
    let [control, event] = dead[..] else { panic!("two are dead") };
    let same = |seq| vec![Requeue::Same(seq)];
    // A stale word on the stream itself; one that waits; one of another stream; of none.
    assert_eq!(requeue(&*store, "st_1", same(control)).await, 0);
    assert_eq!(requeue(&*store, "st_1", same(waits)).await, 0);
    assert_eq!(requeue(&*store, "st_2", same(event)).await, 0);
    assert_eq!(requeue(&*store, "st_x", same(event)).await, 0);

    let turn =
        async |stream: &StreamConfig, to| turn(&*store, stream, to, Announcement::None).await;
    let disabled = turn(&push_stream("st_1"), StreamStatus::Disabled).await;
    assert_eq!(requeue(&*store, "st_1", same(event)).await, 0);
    assert_eq!(jtis(&all_dead(&*store).await), "c1 j1");
    turn(&disabled, StreamStatus::Paused).await;
    assert_eq!(requeue(&*store, "st_1", same(event)).await, 1);
    assert_eq!(jtis(&all_dead(&*store).await), "c1");
}

pub(super) async fn a_copy_goes_out_once_and_leaves_the_original(backend: impl Backend) {
    let store = backend.open().await;
    create(&*store, vec![push_stream("st_1")]).await;
    append_sets(&*store, vec![set("st_1", "j1"), set("st_1", "j2")]).await;
    end(&*store, "st_1", "j1", Disposition::Delivered, NOW).await;
    let of = retained(&*store, "st_1", Since::default()).await[0].seq;
    let copy = || vec![Requeue::Copy { of, jti: jti("k1"), claims: r#"{"jti":"k1"}"#.into() }];
    assert_eq!(requeue(&*store, "st_1", copy()).await, 1);
    assert_eq!(requeue(&*store, "st_1", copy()).await, 0);

    let waiting = pending(&*store, "st_1").await;
    assert_eq!(names(&waiting), ["j2", "k1"]);
    let original = set("st_1", "j1");
    assert_eq!((&*waiting[1].claims, waiting[1].lane), (r#"{"jti":"k1"}"#, original.lane));
    let kept = store.kept_sets(vec![(id("st_1"), jti("j1"))]).await.expect("readable");
    assert_eq!(jtis(&kept), "j1 k1");
    assert_eq!((&kept[0].state, &kept[0].copy_of), (&SetState::Sent { at: NOW }, &None));
    assert_eq!((&kept[1].copy_of, kept[1].accepted_at), (&Some(jti("j1")), NOW));

    // A second replay from the same time finds the original alone.
    end(&*store, "st_1", "k1", Disposition::Delivered, NOW).await;
    assert_eq!(jtis(&retained(&*store, "st_1", Since::default()).await), "j1");
}

pub(super) async fn what_is_retained_is_read_from_a_time_or_a_place_on(backend: impl Backend) {
    let store = backend.open().await;
    create(&*store, vec![push_stream("st_1"), push_stream("st_2")]).await;
    // Hours apart.
    for n in 0..8_u64 {
        let sets = vec![set("st_1", &format!("j{n}")), control("st_1", &format!("c{n}"))];
        append(&*store, vec![event(sets), event(vec![set("st_2", "j9")])], later(n * 3600)).await;
        for name in [format!("j{n}"), format!("c{n}")] {
            if name != "j6" {
                let disposition = if n == 3 { dead() } else { Disposition::Delivered };
                end(&*store, "st_1", &name, disposition, later(n * 3600)).await;
            }
        }
    }
    let all = retained(&*store, "st_1", Since::default()).await;
    assert_eq!(jtis(&all), "j0 j1 j2 j3 j4 j5 j7", "neither what waits nor control events");
    for (n, expected) in [(4, "j4 j5 j7"), (6, "j7"), (8, "")] {
        let since = Since { accepted_at: later(n * 3600), ..Since::default() };
        assert_eq!(jtis(&retained(&*store, "st_1", since).await), expected);
    }
    let since = Since { seq: all[2].seq, ..Since::default() };
    assert_eq!(jtis(&retained(&*store, "st_1", since).await), "j2 j3 j4 j5 j7");
    assert!(retained(&*store, "st_x", Since::default()).await.is_empty());

    // Page by page, while what was read is put to the end.
    let (mut seen, mut next) = (Vec::new(), None);
    loop {
        let page = store.retained(&id("st_1"), Since::default(), next, 3).await.expect("readable");
        seen.push(jtis(&page.sets));
        let again: Vec<_> = page.sets.iter().map(|set| Requeue::Same(set.seq)).collect();
        requeue(&*store, "st_1", again).await;
        for set in page.sets {
            end(&*store, "st_1", set.jti.as_str(), Disposition::Delivered, later(200)).await;
        }
        next = page.next;
        if next.is_none() {
            break;
        }
    }
    assert_eq!(seen, ["j0 j1 j2", "j3 j4 j5", "j7"]);
    // A SET is as old as its event, wherever it stands.
    let since = Since { accepted_at: later(5 * 3600), ..Since::default() };
    assert_eq!(jtis(&retained(&*store, "st_1", since).await), "j5 j7");
}

pub(super) async fn times_of_other_streams_do_not_hide_what_is_retained(backend: impl Backend) {
    let store = backend.open().await;
    create(&*store, vec![push_stream("st_1"), push_stream("st_2")]).await;
    let at = later(5 * 3600);
    append(&*store, vec![event(vec![set("st_1", "j1")])], at).await;
    end(&*store, "st_1", "j1", Disposition::Delivered, at).await;
    // The times are those after a clock was set back.
    for n in 0..9 {
        append(&*store, vec![event(vec![set("st_2", &format!("k{n}"))])], NOW).await;
    }
    let since = Since { accepted_at: at, ..Since::default() };
    assert_eq!(jtis(&retained(&*store, "st_1", since).await), "j1");
}

pub(super) async fn only_dead_letters_are_purged(backend: impl Backend) {
    let store = backend.open().await;
    create(&*store, vec![push_stream("st_1"), push_stream("st_2")]).await;
    append_sets(&*store, ["j1", "j2", "j3", "j4"].map(|name| set("st_1", name)).to_vec()).await;
    let mut seqs = Vec::new();
    for name in ["j1", "j2", "j3", "j4"] {
        seqs.push(seq(&*store, "st_1", name).await);
    }
    kill(&*store, "st_1", "j1", "expired", NOW).await;
    kill(&*store, "st_1", "j2", "expired", NOW).await;
    end(&*store, "st_1", "j3", Disposition::Delivered, NOW).await;
    assert_eq!(store.purge(&id("st_2"), seqs.clone()).await.expect("purged"), 0);
    assert_eq!(store.purge(&id("st_1"), seqs.clone()).await.expect("purged"), 2);
    assert_eq!(store.purge(&id("st_1"), seqs).await.expect("purged"), 0);
    assert!(all_dead(&*store).await.is_empty());
    assert_eq!(jtis(&retained(&*store, "st_1", Since::default()).await), "j3");
    assert_eq!(names(&pending(&*store, "st_1").await), ["j4"]);
}

pub(super) async fn each_provider_has_a_retention_of_its_own(backend: impl Backend) {
    let store = backend.open().await;
    let at = |name: &str, provider: &str| StreamConfig {
        provider: provider.parse().expect("valid"),
        ..push_stream(name)
    };
    let streams = [("st_1", "acme"), ("st_2", "brief"), ("st_3", "long"), ("st_4", "acme")];
    create(&*store, streams.map(|(stream, provider)| at(stream, provider)).to_vec()).await;
    for (stream, provider) in streams {
        let event = event(vec![set(stream, "j1")]);
        let event = Append { provider: provider.parse().expect("valid"), ..event };
        append(&*store, vec![event], NOW).await;
    }
    for stream in ["st_1", "st_2", "st_3"] {
        end(&*store, stream, "j1", Disposition::Delivered, later(10)).await;
    }
    let left = async || {
        let sets = store.sets_of_jti(&jti("j1")).await.expect("readable");
        sets.iter().map(|set| set.stream.to_string()).collect::<Vec<_>>().join(" ")
    };
    let own = |brief, long| {
        let own = [("brief", brief), ("long", long)];
        let own = own.map(|(name, at)| (name.parse().expect("valid"), at));
        Expiry { settled_before_of: BTreeMap::from(own), ..Expiry::of_all(later(10), NOW) }
    };
    store.expire(own(later(10), NOW)).await.expect("expired");
    assert_eq!(left().await, "st_1 st_2 st_3 st_4");
    store.expire(own(later(11), NOW)).await.expect("expired");
    assert_eq!(left().await, "st_1 st_3 st_4");
    let expiry = Expiry { settled_before: later(11), ..own(later(11), NOW) };
    store.expire(expiry).await.expect("expired");
    assert_eq!(left().await, "st_3 st_4");
}

/// A SET about a subject that a Receiver removed must not come back, and its claims need not be
/// kept.
pub(super) async fn what_is_discarded_leaves_its_reason_alone(backend: impl Backend) {
    let store = backend.open().await;
    let chooses = StreamConfig { default_subjects: DefaultSubjects::None, ..push_stream("st_1") };
    create(&*store, vec![chooses]).await;
    append_sets(&*store, vec![about("st_1", "j1", "s-1")]).await;
    // Nobody has added its subject.
    let read = store.read_due(&id("st_1"), up_to(9), later(5)).await;
    assert_eq!(read.expect("readable").discarded, 1);

    let kept = store.sets_of_jti(&jti("j1")).await.expect("readable");
    let discarded = SetState::Discarded { at: later(5), reason: Reason::Subject.into() };
    assert_eq!((&kept[0].state, &kept[0].claims), (&discarded, &None));
    assert!(all_dead(&*store).await.is_empty());
    assert!(store.dead_counts().await.expect("readable").is_empty());
    assert!(retained(&*store, "st_1", Since::default()).await.is_empty());
    assert_eq!(requeue(&*store, "st_1", vec![Requeue::Same(kept[0].seq)]).await, 0);
    assert_eq!(store.purge(&id("st_1"), vec![kept[0].seq]).await.expect("purged"), 0);
    append_sets(&*store, vec![about("st_1", "j1", "s-1")]).await;
    assert_eq!(state_of(&*store, "st_1", "j1").await, discarded);
    store.expire(Expiry::of_all(later(6), NOW)).await.expect("expired");
    assert!(store.sets_of_jti(&jti("j1")).await.expect("readable").is_empty());

    create(&*store, vec![push_stream("st_2")]).await;
    append_sets(&*store, vec![about("st_2", "j2", "s-1")]).await;
    turn(&*store, &push_stream("st_2"), StreamStatus::Disabled, Announcement::None).await;
    let discarded = SetState::Discarded { at: NOW, reason: Reason::Disabled.into() };
    assert_eq!(state_of(&*store, "st_2", "j2").await, discarded);
}
