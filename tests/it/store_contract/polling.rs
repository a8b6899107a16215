//! SETs out by poll (RFC 8936).

use std::time::Instant;

use super::*;
use ssfd::{
    clock,
    domain::set_error::{ErrCode, SetError},
    maintenance::ClockGuard,
    store::{Acknowledged, Acknowledgement},
};

/// Polls at `now`; what was taken is hidden for 30 seconds. The `jti`s, and a `+` if there is more.
async fn poll(store: &dyn Store, limit: usize, now: Timestamp) -> String {
    let hidden_until = now + Duration::from_secs(30);
    let polled = store
        .take_for_poll(&id("st_1"), PollLimit::of(limit), now, hidden_until)
        .await
        .expect("taken");
    let more = if polled.more { " +" } else { "" };
    format!("{}{more}", names(&polled.sets).join(" "))
}

async fn acknowledge(store: &dyn Store, acked: &[&str], refused: &[&str]) -> (usize, usize) {
    let error = || SetError::new("jwtAudience", "not for us");
    let acknowledgement = Acknowledgement {
        acked: acked.iter().map(|name| jti(name)).collect(),
        refused: refused.iter().map(|name| (jti(name), error())).collect(),
    };
    let done = store.acknowledge(&id("st_1"), acknowledgement, NOW).await;
    let Acknowledged { delivered, dead } = done.expect("acknowledged");
    // Each with the time of its event.
    assert!(delivered.iter().all(|appended_at| *appended_at == NOW), "{delivered:?}");
    // Each with the code; this one is not registered.
    assert!(dead.iter().all(|code| *code == ErrCode::Other), "{dead:?}");
    (delivered.len(), dead.len())
}

/// A store with a stream that has events about three subjects and, behind them, a control event.
async fn filled(backend: &impl Backend) -> Arc<dyn Store> {
    let store = backend.open().await;
    create(&*store, vec![poll_stream("st_1"), poll_stream("st_2")]).await;
    let events = [(1, "e1"), (2, "e2"), (3, "e3")];
    append_sets(&*store, events.map(|(lane, name)| in_lane(lane, set("st_1", name))).to_vec())
        .await;
    append_sets(&*store, vec![control("st_1", "c1"), set("st_2", "e1")]).await;
    store
}

pub(super) async fn a_poll_takes_what_is_due_control_events_first(backend: impl Backend) {
    let store = filled(&backend).await;
    let before = pending(&*store, "st_1").await;
    let polled =
        store.take_for_poll(&id("st_1"), PollLimit::of(2), NOW, later(30)).await.expect("taken");
    assert!(polled.more);
    for (taken, waiting) in polled.sets.iter().zip(&before) {
        assert_eq!(*taken, PendingSet { due_at: later(30), ..waiting.clone() });
    }
    assert_eq!(names(&polled.sets), ["c1", "e1"]);
    assert_eq!(poll(&*store, 2, NOW).await, "e2 e3");
    assert_eq!(poll(&*store, 2, NOW).await, "");
    // All of them wait still: only an acknowledgement settles.
    assert_eq!(pending(&*store, "st_1").await.len(), 4);
    let unknown =
        store.take_for_poll(&id("st_x"), PollLimit::of(2), NOW, later(30)).await.expect("asked");
    assert!(unknown.sets.is_empty() && !unknown.more);
}

pub(super) async fn what_was_taken_comes_again_when_its_time_is_up(backend: impl Backend) {
    let store = filled(&backend).await;
    assert_eq!(poll(&*store, 2, NOW).await, "c1 e1 +");
    assert_eq!(poll(&*store, 1, later(10)).await, "e2 +");
    drop(store);

    let store = backend.open().await;
    assert_eq!(poll(&*store, 9, later(29)).await, "e3");
    // Oldest first, whichever was hidden for longer.
    assert_eq!(poll(&*store, 9, later(40)).await, "c1 e1 e2");
    assert_eq!(poll(&*store, 9, later(58)).await, "");
    assert_eq!(poll(&*store, 9, later(59)).await, "e3");
}

pub(super) async fn a_poll_of_nothing_tells_whether_there_is_more(backend: impl Backend) {
    let store = filled(&backend).await;
    assert_eq!(poll(&*store, 0, NOW).await, " +");
    assert_eq!(poll(&*store, 4, NOW).await, "c1 e1 e2 e3");
    // Hidden ones could not be handed out now.
    assert_eq!(poll(&*store, 0, NOW).await, "");
}

pub(super) async fn a_poll_is_bounded_in_bytes_but_takes_one_set_of_any_size(
    backend: impl Backend,
) {
    let store = filled(&backend).await;
    let claims = pending(&*store, "st_1").await[0].claims.len();
    // More than two SETs with the overhead of each, and less than three.
    let two = (claims * 4 / 3 + PollLimit::SET_OVERHEAD) * 5 / 2;
    let take = async |bytes, now| {
        let limit = PollLimit { sets: 9, bytes };
        let hidden_until = now + Duration::from_secs(30);
        let polled = store.take_for_poll(&id("st_1"), limit, now, hidden_until).await;
        let polled = polled.expect("taken");
        (names(&polled.sets).join(" "), polled.more)
    };
    assert_eq!(take(two, NOW).await, ("c1 e1".into(), true));
    assert_eq!(take(1, NOW).await, ("e2".into(), true));
    assert_eq!(take(two, NOW).await, ("e3".into(), false));
    assert_eq!(take(two, NOW).await, (String::new(), false));
}

pub(super) async fn an_acknowledgement_settles_what_waits_and_ignores_the_rest(
    backend: impl Backend,
) {
    let store = filled(&backend).await;
    assert_eq!(poll(&*store, 3, NOW).await, "c1 e1 e2 +");
    // `e3` was not handed out to this Receiver yet, but waits: it has it from an earlier poll.
    assert_eq!(acknowledge(&*store, &["c1", "unknown", "e3"], &["e1", "other"]).await, (2, 1));
    assert_eq!(names(&pending(&*store, "st_1").await), ["e2"]);
    assert_eq!(acknowledge(&*store, &["c1", "e1"], &["e3"]).await, (0, 0));
    assert_eq!(acknowledge(&*store, &[], &[]).await, (0, 0));
    assert_eq!(acknowledge(&*store, &["e2", "e2"], &["e2"]).await, (1, 0));
    assert_eq!(poll(&*store, 9, later(99)).await, "");
}

pub(super) async fn an_acknowledgement_of_one_stream_leaves_the_others(backend: impl Backend) {
    let store = filled(&backend).await;
    assert_eq!(acknowledge(&*store, &["e1"], &[]).await, (1, 0));
    assert_eq!(names(&pending(&*store, "st_2").await), ["e1"]);
    let acknowledgement = Acknowledgement { acked: vec![jti("e1")], refused: vec![] };
    let unknown = store.acknowledge(&id("st_x"), acknowledgement, NOW).await.expect("asked");
    assert_eq!(unknown, Acknowledged::default());
}

pub(super) async fn the_next_due_time_is_the_earliest_to_come(backend: impl Backend) {
    let store = filled(&backend).await;
    let next = async |now| store.next_due(&id("st_1"), now).await.expect("readable");
    assert_eq!(next(NOW - Duration::from_secs(1)).await, Some(NOW));
    assert_eq!(next(NOW).await, None);
    poll(&*store, 1, NOW).await;
    assert_eq!(next(NOW).await, Some(later(30)));
    poll(&*store, 9, later(10)).await;
    assert_eq!(next(later(10)).await, Some(later(30)));
    acknowledge(&*store, &["c1"], &[]).await;
    assert_eq!(next(later(10)).await, Some(later(40)));
    acknowledge(&*store, &["e1", "e2", "e3"], &[]).await;
    assert_eq!(next(NOW).await, None);
}

/// Promise P3 of the design: what was handed out may come again, and what is behind it must not
/// have come before.
pub(super) async fn a_poll_stream_keeps_nothing_for_ever(backend: impl Backend) {
    let store = backend.open().await;
    create(&*store, vec![poll_stream("st_1"), poll_stream("st_2"), push_stream("st_3")]).await;
    let about = |stream: &'static str, names: &[&'static str]| {
        names.iter().map(|name| set(stream, name)).collect::<Vec<_>>()
    };
    append_sets(&*store, vec![control("st_1", "c1")]).await;
    append_sets(&*store, about("st_1", &["e1", "e2"])).await;
    append_sets(&*store, about("st_3", &["p1"])).await;
    let later_event = event(about("st_1", &["e3"]));
    append(&*store, vec![later_event], later(60)).await;
    // Whether a SET was handed out makes no difference.
    assert_eq!(poll(&*store, 2, NOW).await, "c1 e1 +");

    let give_up = async |before| {
        let given_up = store.give_up_polled(before, later(99)).await.expect("given up");
        given_up.into_iter().map(|(_, sets)| sets).sum::<usize>()
    };
    assert_eq!(give_up(NOW).await, 0);
    assert_eq!(give_up(later(1)).await, 3);
    assert_eq!(give_up(later(1)).await, 0);
    assert_eq!(names(&pending(&*store, "st_1").await), ["e3"]);
    assert_eq!(names(&pending(&*store, "st_3").await), ["p1"]);
    assert_eq!(give_up(later(61)).await, 1);
    assert_eq!(acknowledge(&*store, &["e1", "e3"], &[]).await, (0, 0));
}

pub(super) async fn a_lane_waits_for_what_was_handed_out_of_it(backend: impl Backend) {
    let store = backend.open().await;
    create(&*store, vec![poll_stream("st_1")]).await;
    let in_lane = |lane, name| in_lane(lane, set("st_1", name));
    append_sets(&*store, vec![in_lane(1, "a1"), in_lane(1, "a2"), in_lane(2, "b1")]).await;
    assert_eq!(poll(&*store, 1, NOW).await, "a1 +");
    assert_eq!(poll(&*store, 9, NOW).await, "b1");
    append_sets(&*store, vec![in_lane(1, "a3"), in_lane(2, "b2")]).await;
    acknowledge(&*store, &["b1"], &[]).await;
    assert_eq!(poll(&*store, 9, later(1)).await, "b2");
    // Handed out again together with what waited, in order; or acknowledged at last.
    assert_eq!(poll(&*store, 9, later(30)).await, "a1 a2 a3");
    acknowledge(&*store, &["a1", "a2"], &[]).await;
    append_sets(&*store, vec![in_lane(1, "a4")]).await;
    assert_eq!(poll(&*store, 9, later(30)).await, "");
    acknowledge(&*store, &[], &["a3"]).await;
    assert_eq!(poll(&*store, 9, later(30)).await, "a4");
}

/// Written by a clock that was ahead.
pub(super) async fn waits_for_a_time_ahead_can_be_forgotten(backend: impl Backend) {
    let store = filled(&backend).await;
    poll(&*store, 9, later(3600)).await;
    assert_eq!(poll(&*store, 9, later(1)).await, "");
    let forget = async |beyond| store.forget_waits(later(1), beyond, SlotSet::ALL).await;
    assert_eq!(forget(later(3630)).await.expect("asked"), 0, "nothing waits for longer");
    assert_eq!(forget(later(3629)).await.expect("written"), 4);
    assert_eq!(poll(&*store, 9, later(1)).await, "c1 e1 e2 e3");
}

fn guard(store: &Arc<dyn Store>) -> ClockGuard {
    let (skew_max, wait_max) = (Duration::from_secs(2), Duration::from_mins(75));
    ClockGuard::new(
        Arc::<dyn Store>::clone(store),
        Arc::<dyn Store>::clone(store),
        skew_max,
        wait_max,
    )
}

async fn judge_at(guard: &mut ClockGuard, now: Timestamp, steady: Instant) -> usize {
    guard.check(now, steady, SlotSet::ALL).await.expect("judged")
}

async fn judge(guard: &mut ClockGuard, now: Timestamp) -> usize {
    judge_at(guard, now, clock::instant()).await
}

/// The clock was an hour fast and was set back, and SETs came in by the new clock before the daemon was
/// killed. So the newest SET says nothing of the step.
pub(super) async fn a_start_with_a_clock_behind_the_mark_makes_waits_due(backend: impl Backend) {
    let store = filled(&backend).await;
    assert_eq!(judge(&mut guard(&store), later(3600)).await, 0);
    poll(&*store, 9, later(3600)).await;
    append_sets(&*store, vec![in_lane(4, set("st_1", "e4"))]).await;
    assert_eq!(poll(&*store, 9, later(1)).await, "e4");

    assert_eq!(judge(&mut guard(&store), later(2)).await, 5);
    assert_eq!(poll(&*store, 9, later(2)).await, "c1 e1 e2 e3 e4");
    // The daemon was killed again at once.
    assert_eq!(judge(&mut guard(&store), later(3)).await, 5);
}

/// Attempts and polls are under way while the clock is set back.
pub(super) async fn results_of_the_old_clock_that_come_late_are_made_due(backend: impl Backend) {
    let store = filled(&backend).await;
    let (mut running, steady) = (guard(&store), clock::instant());
    let after = |secs| steady + Duration::from_secs(secs);
    assert_eq!(judge_at(&mut running, later(3600), after(0)).await, 0);
    // The other stream's SET waits for a poll since before then.
    assert_eq!(judge_at(&mut running, NOW, after(1)).await, 0);
    poll(&*store, 1, later(3600)).await;
    assert_eq!(poll(&*store, 9, later(5)).await, "e1 e2 e3");
    assert_eq!(judge_at(&mut running, later(5), after(6)).await, 1, "and no wait of the new clock");
    poll(&*store, 1, later(3600)).await;
    assert_eq!(judge_at(&mut running, later(7), after(8)).await, 0);
    assert_eq!(judge_at(&mut running, later(60), after(61)).await, 1);
    // The grace is over: the mark was set back, and a start sees no step.
    poll(&*store, 1, later(3600)).await;
    assert_eq!(judge(&mut guard(&store), later(61)).await, 0);
}

pub(super) async fn a_wait_that_is_longer_than_any_can_be_ends(backend: impl Backend) {
    let store = filled(&backend).await;
    poll(&*store, 9, later(7200)).await;
    let mut running = guard(&store);
    assert_eq!(judge(&mut running, later(1)).await, 4);
    assert_eq!(poll(&*store, 9, later(1)).await, "c1 e1 e2 e3");
    assert_eq!(judge(&mut running, later(2)).await, 0, "what waits for no longer is left");
    assert_eq!(poll(&*store, 9, later(3)).await, "");
}
