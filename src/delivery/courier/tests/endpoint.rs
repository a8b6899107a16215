//! An endpoint that is out of reach, and what has it tried before its time.

use super::*;

/// A Receiver may change its description as often as it likes.
#[test]
fn a_change_that_leaves_endpoint_and_status_does_not_give_a_fresh_start() {
    let mut world = World::new(settings());
    for lane in 0..10 {
        world.append(lane, SetKind::Event);
    }
    world.run(|_| failed(FailureClass::Connect));
    let (opened, made) = (world.courier.report().breaker, world.attempts_made);
    for _ in 0..20 {
        world.change(Flow::All, false);
        world.run(|_| failed(FailureClass::Connect));
    }
    assert_eq!((world.courier.report().breaker, world.attempts_made), (opened, made));
    world.move_to("https://other.example/in");
    world.drain_but_attempts();
    assert_eq!(world.attempts().len(), 3, "another endpoint is tried at once");
    assert!(!world.cut_off());
}

/// A requested verification shows whether the stream works, so it does not wait for the next probe.
#[test]
fn a_verification_is_the_probe_of_an_open_breaker_and_goes_at_once() {
    let mut world = World::new(settings());
    for lane in 0..10 {
        world.append(lane, SetKind::Event);
    }
    world.run(|_| failed(FailureClass::Connect));
    let opened = world.courier.report().breaker;
    assert!(world.cut_off() && world.attempts().is_empty());
    for lane in 0..3 {
        let verification = world.append(CONTROL_LANE + lane, SetKind::Control);
        world.drain_but_attempts();
        assert_eq!(world.attempts(), [verification], "alone, and at once");
        world.run(|_| failed(FailureClass::Timeout));
        assert_eq!(world.courier.report().breaker, opened, "the regular probe stays where it was");
    }
    let verification = world.append(CONTROL_LANE + 3, SetKind::Control);
    world.drain_but_attempts();
    world.attempt_ends(verification, &ACCEPTED);
    world.drain_but_attempts();
    assert!(!world.cut_off() && 3 <= world.attempts().len(), "all others go out");
}
